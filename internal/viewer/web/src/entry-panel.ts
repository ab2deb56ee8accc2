import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import type { Api, Page } from "./api.js";
import { verifyCommand, verifyTrailCommand } from "./commands.js";
import { type Change, diff, written } from "./diff.js";
import { actorOf, type Entry, resourceOf, sentence } from "./entry.js";
import { check, type Evidence } from "./evidence.js";
import { type Json, pretty } from "./json.js";
import { Load } from "./load.js";
import { count, Part, save } from "./part.js";
import { readKey } from "./proof.js";
import { only, everything } from "./state.js";
import { exact, wall } from "./time.js";
import type { TailView } from "./tail-view.js";
import { type TrailView, value } from "./trail.js";

const minutes = 5;
const perPage = 10;

const titles = { verified: "Verified", unsigned: "Not signed yet", unable: "Cannot check", mismatch: "MISMATCH" };
const marks = { verified: "✓", unsigned: "…", unable: "?", mismatch: "✕" };

/** One entry, over what was shown: what it says, what changed, whether it is as it was recorded, and what is around it. */
export class EntryPanel extends Part {
  static override properties = { ...Part.properties, api: { attribute: false }, from: { state: true }, to: { state: true } };

  declare api: Api;
  /** The two moments of the resource's history that are compared: ids of entries. */
  declare from: Entry | undefined;
  declare to: Entry | undefined;
  private entry = new Load<Entry>(this, "the entry");
  private evidence = new Load<Evidence>(this, "the proof");
  private history = new Load<Page>(this, "the history");
  private around = new Load<Page>(this, "what else happened");
  private shown: string | undefined;

  private get dialog(): HTMLDialogElement | null {
    return this.querySelector("dialog");
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const id = this.state.entry;
    if (id === this.shown && !(id && changed.has("api"))) return;
    this.shown = id;
    this.evidence.reset();
    this.history.reset();
    this.around.reset();
    this.from = this.to = undefined;
    if (id) void this.load(id);
  }

  private async load(id: string): Promise<void> {
    this.entry.reset();
    this.querySelector(".drawer-body")?.scrollTo(0, 0);
    await this.entry.run((signal) => this.api.entry(id, signal));
    if (this.entry.status !== "done" || this.shown !== id) return;
    this.verify();
    const open = (name: string) => this.querySelector<HTMLDetailsElement>(`details.${name}`)?.open;
    await this.updateComplete;
    if (open("history")) this.loadHistory();
    if (open("around")) this.loadAround();
  }

  protected override updated(): void {
    const { dialog } = this;
    if (!dialog) return;
    if (this.state.entry && !dialog.open) dialog.showModal();
    if (!this.state.entry && dialog.open) dialog.close();
  }

  private verify = (): void => {
    const entry = this.entry.value!;
    const organization = this.api.organization ?? (this.app.claims.organizations.length === 1 ? this.app.claims.organizations[0] : undefined);
    void this.evidence.run((signal) => check(this.api, entry, organization, this.preferences.keys, signal));
  };

  /** The history, at the page that has the open entry unless another is asked for. */
  private loadHistory(wanted?: number): void {
    const { resourceType, resourceId, createdAt } = this.entry.value!;
    if (resourceId === undefined) return;
    const query = { resource_type: resourceType, resource_id: resourceId };
    void this.history.run(async (signal) => {
      const since = wanted ? undefined : await this.api.list({ ...query, start_date: createdAt }, 1, 1, signal);
      return this.api.list(query, wanted ?? Math.max(1, Math.ceil(since!.total / perPage)), perPage, signal);
    }).then(() => {
      const page = this.history.value;
      if (this.history.status !== "done" || !page) return;
      const at = page.entries.findIndex(({ id }) => id === this.shown);
      this.to ??= page.entries[Math.max(at, 0)];
      this.from ??= page.entries[Math.max(at, 0) + 1];
    });
  }

  private loadAround(): void {
    const { userId, createdAt } = this.entry.value!;
    if (userId === undefined) return;
    const bound = (by: number) => new Date(Date.parse(createdAt) + by * 60_000).toISOString();
    void this.around.run((signal) => this.api.list({ user_id: userId, start_date: bound(-minutes), end_date: bound(minutes) }, 1, 100, signal));
  }

  private step(by: 1 | -1): void {
    const next = document.querySelector<TrailView | TailView>("trail-view, tail-view")?.neighbour(this.state.entry ?? "", by);
    if (next) this.app.go({ entry: next.id }, true);
    else this.app.say(`No ${by === 1 ? "older" : "newer"} entry is on this page`);
  }

  private onClose = (event: Event): void => {
    if (event.target !== this.dialog || !this.state.entry) return;
    const id = this.state.entry;
    this.app.go({ entry: undefined });
    // Back to where it was opened from.
    document.querySelector<HTMLElement>(`a.open[href="${CSS.escape(new URL(this.app.link({ entry: id })).search)}"], tr[aria-current] a.open`)?.focus();
  };

  // What changed.

  private shownValue(of: Json | undefined) {
    return of === undefined ? html`<span class="quiet">nothing</span>` : html`<code>${of.kind === "string" ? JSON.stringify(of.value) : pretty(of)}</code>`;
  }

  private changes(changes: readonly Change[], before: string, after: string): TemplateResult {
    const marks = { added: "+ added", removed: "− removed", changed: "~ changed" };
    return changes.length === 0
      ? html`<p class="quiet">Nothing differs.</p>`
      : html`<div class="scroll" role="region" aria-label="Changes" tabindex="0"><table class="changes">
          <thead><tr><th scope="col">What</th><th scope="col">${before}</th><th scope="col">${after}</th></tr></thead>
          <tbody>${changes.map((change) => html`<tr class=${change.kind}>
            <th scope="row">${written(change.path) || "all of it"} <span class="mark">${marks[change.kind]}</span></th>
            <td>${this.shownValue(change.before)}</td><td>${this.shownValue(change.after)}</td></tr>`)}</tbody>
        </table></div>`;
  }

  private difference(entry: Entry) {
    if (!entry.before && !entry.after) return html`<p class="quiet">This entry was recorded without a state of the resource before or after.</p>`;
    if (!entry.before || !entry.after) {
      const state = (entry.after ?? entry.before)!;
      return html`<p>${entry.after ? "Only the state after it was recorded: everything in it may be new." : "Only the state before it was recorded: nothing is said to remain."}</p><pre>${pretty(state)}</pre>`;
    }
    return html`${this.changes(diff(entry.before, entry.after), "Before", "After")}
      <details class="whole"><summary>Both states, whole</summary>
        <div class="sides"><div><h4>Before</h4><pre>${pretty(entry.before)}</pre></div><div><h4>After</h4><pre>${pretty(entry.after)}</pre></div></div></details>`;
  }

  // Evidence.

  private proof(entry: Entry) {
    const evidence = this.evidence.value;
    if (this.evidence.status !== "done" || !evidence) return this.evidence.notice;
    return html`<div class="evidence ${evidence.kind}" role=${evidence.kind === "mismatch" ? "alert" : "status"}>
        <h3><span aria-hidden="true">${marks[evidence.kind]}</span> ${evidence.kind === "verified" && !evidence.signature ? "Verified, but for the signature" : titles[evidence.kind]}</h3>
        ${evidence.kind === "verified"
          ? html`<p>Every value above stands at position ${entry.position} of the trail <code>${evidence.origin}</code>, unaltered since it was recorded: this browser computed it from the entry's own bytes up to the root of ${count(Number(evidence.size))} entries.</p>
              ${evidence.signature ? nothing : html`<p>This browser has no Ed25519, so the signature was not checked here. The command below checks it.</p>`}
              ${evidence.pinned
                ? html`<p>The root is signed by a key that you pinned in this browser.</p>`
                : html`<p>The root is signed by the key that the service itself names. That proves more once you compare the key with one that you got by another way, and pin it.</p>`}`
          : evidence.kind === "mismatch"
            ? html`<p><strong>This entry is not what was signed</strong>: ${evidence.reason}.</p>
                <p>Don't rely on it. ${evidence.altered ? "Copy the entry and this text as they are" : "Save the proof and the entry as they are"}, and show them to whoever is responsible for the trail.</p>`
            : evidence.kind === "unsigned"
              ? html`<p>The service gives no signed proof of it now: ${evidence.reason}. This says nothing against the entry.</p>`
              : html`<p>This could not be checked: ${evidence.reason}. This says nothing for or against the entry.</p>`}
        <div class="buttons"><button type="button" @click=${this.verify}>Check again</button>
          ${evidence.kind === "mismatch" && evidence.altered ? nothing : html`<button type="button" @click=${() => void this.saveProof(entry)}>Save the proof</button>`}</div>
      </div>
      <details class="keys-of"><summary>Keys, and the command that repeats this</summary>
        ${evidence.kind === "verified" ? this.keyList(evidence.keys) : this.keyList([])}
        <p>${evidence.kind === "mismatch" && evidence.altered ? "Elsewhere, without this page, for the whole trail:" : "Elsewhere, without this page and without the service, once the proof is saved:"}</p>
        <code class="block">${this.command(entry)}</code>
        ${this.trusted(evidence).length === 0 ? html`<p class="quiet"><code>keys.txt</code> has the keys that you trust, one a line.</p>` : nothing}
        <button type="button" @click=${() => this.app.copy(this.command(entry), "the command")}>Copy the command</button>
      </details>`;
  }

  /** What the proof came to, where it can't be overlooked. */
  private badge() {
    const evidence = this.evidence.status === "done" ? this.evidence.value : undefined;
    if (!evidence) return html`<span class="badge">Checking the proof…</span>`;
    const name = evidence.kind === "verified" && !evidence.signature ? "Verified, but for the signature" : titles[evidence.kind];
    return html`<a class="badge ${evidence.kind}" href="#proof-title" @click=${this.toProof}><span aria-hidden="true">${marks[evidence.kind]}</span> ${name}</a>`;
  }

  private toProof = (event: Event): void => {
    event.preventDefault(); // the address is the page's state
    const title = this.querySelector<HTMLElement>("#proof-title")!;
    title.scrollIntoView();
    title.focus();
  };

  /** The keys that the check relied on: the pinned ones of the trail before those that the service names. */
  private trusted(evidence: Evidence | undefined): readonly string[] {
    const pinned = this.preferences.keys;
    if (evidence?.kind !== "verified") return pinned;
    const own = pinned.filter((key) => key.startsWith(`${evidence.origin}+`));
    return own.length > 0 ? own : evidence.keys;
  }

  private command(entry: Entry): string {
    const evidence = this.evidence.value;
    return evidence?.kind === "mismatch" && evidence.altered
      ? verifyTrailCommand(this.api.baseUrl, this.api.organization, this.trusted(evidence))
      : verifyCommand(this.proofName(entry), this.trusted(evidence));
  }

  private proofName(entry: Entry): string {
    return `proof-${entry.id.replaceAll(/[^\w.-]/g, "_")}.json`;
  }

  private async saveProof(entry: Entry): Promise<void> {
    try {
      save(this.proofName(entry), [new Uint8Array(await this.api.proof(entry.id, new AbortController().signal))], "application/json");
    } catch (error) {
      this.app.say(error instanceof Error ? error.message : String(error));
    }
  }

  private keyList(offered: readonly string[]) {
    const pinned = this.preferences.keys;
    const all = [...new Set([...pinned, ...offered])];
    return html`${all.length ? html`<ul class="key-list">${all.map((line) => html`<li><code class="block">${line}</code>
        ${pinned.includes(line)
          ? html`<span>Pinned in this browser</span> <button type="button" @click=${() => this.pin(pinned.filter((one) => one !== line))}>Unpin</button>`
          : html`<span>Named by the service</span> <button type="button" @click=${() => this.pin([...pinned, line])}>Pin this key</button>`}</li>`)}</ul>` : nothing}
      <form class="row" @submit=${this.pinPasted}><label class="grow">A key that you got by another way <input name="key" autocomplete="off" spellcheck="false" placeholder="audit.ocore.dev/trails/acme+b592adfe+AQ…" /></label><button type="submit">Pin</button></form>`;
  }

  private pin(keys: readonly string[]): void {
    this.app.prefer({ keys });
    void this.updateComplete.then(this.verify);
  }

  private pinPasted = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const line = String(new FormData(form).get("key")).trim();
    try {
      await readKey(line);
    } catch (error) {
      this.app.say(error instanceof Error ? `That key can't be pinned: ${error.message}` : "That key can't be pinned");
      return;
    }
    form.reset();
    if (!this.preferences.keys.includes(line)) this.pin([...this.preferences.keys, line]);
  };

  // What is around it.

  private historyOf(entry: Entry) {
    if (entry.resourceId === undefined) return html`<p class="quiet">The entry names no resource id, so it has no history.</p>`;
    const page = this.history.value;
    const last = page ? Math.ceil(page.total / perPage) : 1;
    return html`${this.history.notice}
      ${page && this.history.status !== "failed"
        ? html`<p>${count(page.total)} ${page.total === 1 ? "entry" : "entries"} of ${resourceOf(entry)}. Choose two moments to compare.</p>
            <ol class="moments">${page.entries.map((one) => html`<li aria-current=${one.id === entry.id ? "true" : nothing}>
              <span class="pick"><label><input type="radio" name="from" .checked=${this.from?.id === one.id} @change=${() => (this.from = one)} aria-label="Compare from ${wall(one.createdAt, this.preferences.zone)}" /> A</label>
              <label><input type="radio" name="to" .checked=${this.to?.id === one.id} @change=${() => (this.to = one)} aria-label="Compare to ${wall(one.createdAt, this.preferences.zone)}" /> B</label></span>
              <a href=${this.app.link({ entry: one.id })} @click=${(event: MouseEvent) => this.app.follow(event, { entry: one.id })}>${wall(one.createdAt, this.preferences.zone)}</a>
              <span>${sentence(one)}</span></li>`)}</ol>
            ${last > 1 ? html`<nav class="pager" aria-label="Pages of the history"><button type="button" ?disabled=${page.page <= 1} @click=${() => this.loadHistory(page.page - 1)}>Newer</button>
              <span>Page ${page.page} of ${last}</span><button type="button" ?disabled=${page.page >= last} @click=${() => this.loadHistory(page.page + 1)}>Older</button></nav>` : nothing}
            ${this.between()}`
        : nothing}
      <button type="button" @click=${() => this.app.go({ entry: undefined, tab: "trail", page: 1, filter: only(only(everything, "resource_type", entry.resourceType), "resource_id", entry.resourceId!) })}>Show its entries in the trail</button>`;
  }

  /** The state after an entry: what it recorded as such. */
  private between() {
    const [from, to] = [this.from, this.to];
    if (!from || !to) return nothing;
    if (from.id === to.id) return html`<p class="quiet">A and B are the same moment.</p>`;
    const at = (entry: Entry) => wall(entry.createdAt, this.preferences.zone);
    const without = [from, to].filter((entry) => !entry.after);
    return html`<h4>From A to B</h4>
      ${without.map((entry) => html`<p class="quiet">The entry of ${at(entry)} recorded no state after it${entry.before ? ": the resource may have been deleted" : ""}.</p>`)}
      ${this.changes(diff(from.after, to.after), `A, after ${at(from)}`, `B, after ${at(to)}`)}`;
  }

  private aroundOf(entry: Entry) {
    if (entry.userId === undefined) return html`<p class="quiet">The entry names no user.</p>`;
    const page = this.around.value;
    return html`${this.around.notice}
      ${page && this.around.status === "done"
        ? html`<p>${count(page.total)} ${page.total === 1 ? "entry" : "entries"} of ${actorOf(entry)} within ${minutes} minutes before and after${page.total > page.entries.length ? `, the newest ${page.entries.length} of them here` : ""}.</p>
          <ol class="moments">${page.entries.map((one) => html`<li aria-current=${one.id === entry.id ? "true" : nothing}>
            <a href=${this.app.link({ entry: one.id })} @click=${(event: MouseEvent) => this.app.follow(event, { entry: one.id })}>${wall(one.createdAt, this.preferences.zone)}</a> <span>${sentence(one)}</span></li>`)}</ol>`
        : nothing}`;
  }

  private facts(entry: Entry) {
    const { zone } = this.preferences;
    const facts: [string, unknown][] = [
      ["When", html`<time datetime=${entry.createdAt}>${exact(entry.createdAt, zone)}</time>`],
      ["Who", html`${value("user_id", entry.userId)}${entry.userName ? html` ${entry.userName}` : nothing}`],
      ["Action", value("action", entry.action)],
      ["Resource", html`${value("resource_type", entry.resourceType)} ${value("resource_id", entry.resourceId)}${entry.resourceName ? html` ${entry.resourceName}` : nothing}`],
      ...(entry.ipAddress ? [["From", entry.ipAddress] as [string, unknown]] : []),
      ...(entry.userAgent ? [["With", entry.userAgent] as [string, unknown]] : []),
      ...(entry.occurredAt ? [["Occurred, as told", exact(entry.occurredAt, zone)] as [string, unknown]] : []),
      ...(entry.importedAt ? [["Imported", exact(entry.importedAt, zone)] as [string, unknown]] : []),
      ["Recorded by", entry.recordedBy],
      ["Position", entry.position],
      ["Id", html`<code>${entry.id}</code>`],
    ];
    return html`<dl class="facts">${facts.map(([name, fact]) => html`<div><dt>${name}</dt><dd>${fact}</dd></div>`)}</dl>`;
  }

  private onToggle(event: Event, load: Load<Page>, fetch: () => void): void {
    if ((event.target as HTMLDetailsElement).open && load.status === "idle" && this.entry.status === "done") fetch();
  }

  private whole(entry: Entry) {
    return html`
      <div><p class="sentence">${sentence(entry)}</p>${this.badge()}</div>
      ${this.facts(entry)}
      <section aria-labelledby="changes-title"><h2 id="changes-title">What changed</h2>${this.difference(entry)}</section>
      <section aria-labelledby="proof-title"><h2 id="proof-title" tabindex="-1">Is it as it was recorded?</h2>${this.proof(entry)}</section>
      <details class="section history" @toggle=${(event: Event) => this.onToggle(event, this.history, () => this.loadHistory())}><summary>History of this resource</summary>${this.historyOf(entry)}</details>
      <details class="section around" @toggle=${(event: Event) => this.onToggle(event, this.around, () => this.loadAround())}><summary>The same user around that time</summary>${this.aroundOf(entry)}</details>
      <details class="section raw"><summary>As JSON</summary><pre>${pretty(entry.json)}</pre></details>`;
  }

  protected override render() {
    const entry = this.entry.status === "done" ? this.entry.value : undefined;
    return html`<dialog class="drawer" aria-label=${entry ? sentence(entry) : "Entry"} @close=${this.onClose}>
      <div class="drawer-bar">
        <button type="button" data-key="[ k" @click=${() => this.step(-1)}>Newer</button>
        <button type="button" data-key="] j" @click=${() => this.step(1)}>Older</button>
        <span class="space"></span>
        ${entry
          ? html`<button type="button" @click=${() => this.app.copy(this.app.link(), "the link")}>Copy link</button>
              <button type="button" @click=${() => this.app.copy(this.app.curl(`/audit-logs/entries/${encodeURIComponent(entry.id)}`), "the curl command")}>Copy as curl</button>
              <button type="button" @click=${() => this.app.copy(pretty(entry.json), "the entry as JSON")}>Copy as JSON</button>`
          : nothing}
        <button type="button" @click=${() => this.dialog!.close()}>Close</button>
      </div>
      <div class="drawer-body">${this.state.entry ? html`${this.entry.notice}${entry ? this.whole(entry) : nothing}` : nothing}</div>
    </dialog>`;
  }
}

customElements.define("entry-panel", EntryPanel);
