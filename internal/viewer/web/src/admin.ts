import { html, nothing, type PropertyValues } from "lit";
import type { AdminPage, Api } from "./api.js";
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

  protected override willUpdate(changed: PropertyValues<this>): void {
    const query = { page: this.state.page, limit, ...(this.state.adminAction && { action: this.state.adminAction }), ...(this.state.adminSearch && { search: this.state.adminSearch }) };
    const wanted = JSON.stringify(query);
    if (changed.has("api") || wanted !== this.shown) void this.list.run((signal) => this.api.admin(query, signal));
    this.shown = wanted;
  }

  private search(event: SubmitEvent): void {
    event.preventDefault();
    const data = new FormData(event.target as HTMLFormElement);
    this.app.go({ adminAction: String(data.get("action")), adminSearch: String(data.get("search")), page: 1 });
  }

  private row(log: Json) {
    const get = (name: string) => text(member(log, name));
    const details = member(log, "details");
    return html`<tr>
      <td><time datetime=${get("createdAt") ?? ""}>${wall(get("createdAt") ?? "", this.preferences.zone)}</time></td>
      <td data-title="Who">${get("userName") ?? get("userId") ?? html`<span class="quiet">–</span>`}</td>
      <td data-title="Action">${get("action")}</td>
      <td data-title="Organization">${get("organizationId") ?? html`<span class="quiet">–</span>`}</td>
      <td data-title="Details"><details><summary>${details ? details.raw.slice(0, 60) + (details.raw.length > 60 ? "…" : "") : "All members"}</summary><pre>${pretty(log)}</pre></details></td>
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
