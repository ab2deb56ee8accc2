import { html, nothing, type PropertyValues } from "lit";
import type { AdminPage, Api } from "./api.js";
import { check, type Evidence } from "./evidence.js";
import { type Json, member, pretty, text } from "./json.js";
import { Load } from "./load.js";
import { count, Part } from "./part.js";
import { wall, zoneName } from "./time.js";

const limit = 50;

/** The platform's own trail, for those who hold its permission. Its entries are open objects, so all of each can be seen. */
export class AdminView extends Part {
  static override properties = { ...Part.properties, api: { attribute: false } };

  declare api: Api;
  private list = new Load<AdminPage>(this, "the admin trail");
  private shown = "";
  /** By id; undefined while it is checked. */
  private evidence = new Map<string, Evidence | undefined>();

  protected override willUpdate(changed: PropertyValues<this>): void {
    const query = { page: this.state.page, limit, ...(this.state.adminAction && { action: this.state.adminAction }), ...(this.state.adminSearch && { search: this.state.adminSearch }) };
    const wanted = JSON.stringify(query);
    if (changed.has("api") || wanted !== this.shown) {
      this.evidence.clear();
      void this.list.run((signal) => this.api.admin(query, signal));
    }
    this.shown = wanted;
  }

  private search(event: SubmitEvent): void {
    event.preventDefault();
    const data = new FormData(event.target as HTMLFormElement);
    this.app.go({ adminAction: String(data.get("action")), adminSearch: String(data.get("search")), page: 1 });
  }

  private async verify(log: Json): Promise<void> {
    const [id, position] = [text(member(log, "id"))!, text(member(log, "position"))!];
    const { evidence } = this;
    evidence.set(id, undefined);
    this.requestUpdate();
    try {
      evidence.set(id, await check(this.api.ofAdmin, { id, position, json: log }, "_admin", this.preferences.keys, new AbortController().signal));
    } catch (error) {
      evidence.set(id, { kind: "unable", reason: error instanceof Error ? error.message : String(error) });
    }
    this.requestUpdate();
  }

  /** Whether the entry is as it was recorded, for who asks. */
  private proof(log: Json) {
    const id = text(member(log, "id"))!;
    const evidence = this.evidence.get(id);
    if (!evidence) return html`<button type="button" ?disabled=${this.evidence.has(id)} @click=${() => void this.verify(log)}>${this.evidence.has(id) ? "Checking the proof…" : "Verify"}</button>`;
    return html`<div class="evidence ${evidence.kind}" role=${evidence.kind === "mismatch" ? "alert" : "status"}>
      <p><strong>${
        evidence.kind === "verified"
          ? `✓ Verified${evidence.signature ? "" : ", but for the signature"}`
          : { unsigned: "… Not signed yet", unable: "? Cannot check", mismatch: "✕ MISMATCH: this entry is not what was signed" }[evidence.kind]
      }</strong>${evidence.kind === "verified" ? html`: it stands in the trail <code>${evidence.origin}</code>, unaltered since it was recorded. The root is signed by a key ${evidence.pinned ? "that you pinned" : "that the service itself names"}.` : `: ${evidence.reason}.`}</p>
      <button type="button" @click=${() => void this.verify(log)}>Check again</button></div>`;
  }

  private row(log: Json) {
    const get = (name: string) => text(member(log, name));
    const details = member(log, "details");
    return html`<tr>
      <td><time datetime=${get("createdAt") ?? ""}>${wall(get("createdAt") ?? "", this.preferences.zone)}</time></td>
      <td class="user" data-title="Who">${get("userName") ?? get("userId") ?? html`<span class="quiet">–</span>`}</td>
      <td class="action" data-title="Action">${get("action")}</td>
      <td data-title="Organization">${get("organizationId") ?? html`<span class="quiet">–</span>`}</td>
      <td data-title="Details"><details><summary>${details ? details.raw.slice(0, 60) + (details.raw.length > 60 ? "…" : "") : "All members"}</summary><pre>${pretty(log)}</pre>${this.proof(log)}</details></td>
    </tr>`;
  }

  protected override render() {
    const page = this.list.value;
    const current = this.list.status === "done" && page;
    const last = page ? Math.max(1, Math.ceil(page.total / limit)) : 1;
    const at = this.state.page;
    return html`<form class="filters row" @submit=${this.search} aria-label="Filter the admin trail">
        <label>Action <input name="action" .value=${this.state.adminAction} placeholder="exactly" autocomplete="off" data-key="/" /></label>
        <label class="grow">Search in details and action <input name="search" .value=${this.state.adminSearch} autocomplete="off" /></label>
        <button type="submit">Search</button>
        ${this.state.adminAction || this.state.adminSearch ? html`<button type="button" class="plain" @click=${() => this.app.go({ adminAction: "", adminSearch: "", page: 1 })}>Clear</button>` : nothing}
      </form>
      <div class="bar"><h1 class="total" role="status">${current ? html`<strong>${count(page.total)}</strong> admin ${page.total === 1 ? "entry" : "entries"}` : "Admin trail"}</h1>
        <div class="actions"><button type="button" data-key="r" @click=${this.list.retry}>Refresh</button></div></div>
      ${this.list.notice}
      ${page && this.list.status !== "failed"
        ? page.logs.length === 0
          ? html`<div class="notice"><h3>Nothing matches</h3><p>${this.state.adminAction || this.state.adminSearch ? "No admin entry matches." : "No administrator did anything that was recorded."}</p></div>`
          : html`<div class=${this.list.status === "loading" ? "stale" : ""}>
              <div class="scroll" role="region" aria-label="Admin entries" tabindex="0"><table class="entries ${this.preferences.density}">
                <thead><tr><th scope="col">Time <span class="quiet">${zoneName(this.preferences.zone)}</span></th><th scope="col">Who</th><th scope="col">Action</th><th scope="col">Organization</th><th scope="col">Details</th></tr></thead>
                <tbody>${page.logs.map((log) => this.row(log))}</tbody>
              </table></div>
              <nav class="pager" aria-label="Pages">
                <button type="button" data-key="[" ?disabled=${at <= 1} @click=${() => this.app.go({ page: at - 1 })}>Newer</button>
                <span>Page ${count(at)} of ${count(last)}</span>
                <button type="button" data-key="]" ?disabled=${at >= last} @click=${() => this.app.go({ page: at + 1 })}>Older</button>
              </nav>
            </div>`
        : nothing}`;
  }
}

customElements.define("admin-view", AdminView);
