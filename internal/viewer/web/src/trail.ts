import { html, nothing, type PropertyValues } from "lit";
import { live } from "lit/directives/live.js";
import { repeat } from "lit/directives/repeat.js";
import type { AuditLogFacetList, AuditLogHistogram } from "@ocore/audit";
import type { Api, Page } from "./api.js";
import { type Change, diff, written } from "./diff.js";
import { actorOf, type Entry, sentence } from "./entry.js";
import { type Json, pretty } from "./json.js";
import { Load } from "./load.js";
import { count, option, Part } from "./part.js";
import { everything, type Field, fieldNames, fields, type Filter, neither, not, only, pageSizes, type Range, toQuery, toSearch, views } from "./state.js";
import { exact, instantOf, localInput, type Preset, presets, wall, zoneName } from "./time.js";
import "./chart.js";
import "./export-dialog.js";
import type { ExportDialog } from "./export-dialog.js";

/** Stands where an entry has nothing; a narrow page leaves it out. */
const none = html`<span class="quiet none">–</span>`;

/** value is a member that one can filter by: a button that opens the menu of what to do with it. */
export const value = (field: Field, of: string | undefined, shown: unknown = of) =>
  of === undefined ? none : html`<button type="button" class="value" data-field=${field} data-value=${of} aria-haspopup="true">${shown}</button>`;

/** Longer states are compared in the open entry alone: the table has fifty of them. */
const longest = 20_000;
const differences = new WeakMap<Entry, readonly Change[]>();

/** The first two changes of an entry, on a line of the table. */
function changesOf(entry: Entry): unknown {
  const { before, after } = entry;
  if (!before || !after) return none;
  if (before.raw.length + after.raw.length > longest) return html`<span class="quiet">open to compare</span>`;
  let changes = differences.get(entry);
  if (!changes) differences.set(entry, (changes = diff(before, after)));
  const short = (of: Json | undefined) => (of === undefined ? "nothing" : of.raw.length > 24 ? `${of.raw.slice(0, 22)}…` : of.raw);
  if (changes.length === 0) return html`<span class="quiet">nothing</span>`;
  return html`${changes.slice(0, 2).map((change) => html`<span class="change">${written(change.path) || "all of it"} <span class="quiet">${short(change.before)}</span> → ${short(change.after)}</span>`)}
    ${changes.length > 2 ? html`<span class="quiet">and ${changes.length - 2} more</span>` : nothing}`;
}

interface Column {
  readonly title: string;
  readonly cell: (entry: Entry) => unknown;
}

const columns: Record<string, Column> = {
  user: { title: "Who", cell: (entry) => value("user_id", entry.userId, actorOf(entry)) },
  action: { title: "Action", cell: (entry) => value("action", entry.action) },
  type: { title: "Resource type", cell: (entry) => value("resource_type", entry.resourceType) },
  resource: { title: "Resource", cell: (entry) => (entry.resourceId === undefined ? value("resource_type", entry.resourceType) : value("resource_id", entry.resourceId, entry.resourceName ?? entry.resourceId)) },
  changes: { title: "What changed", cell: changesOf },
  ip: { title: "From", cell: (entry) => entry.ipAddress ?? none },
  recorder: { title: "Recorded by", cell: (entry) => entry.recordedBy },
  position: { title: "Position", cell: (entry) => entry.position },
};

/** The trail: what is filtered, how much there was when, and the entries by page. */
export class TrailView extends Part {
  static override properties = { ...Part.properties, api: { attribute: false }, facetField: { state: true }, excluding: { state: true }, field: { state: true }, completions: { state: true }, current: { state: true } };

  declare api: Api;
  declare facetField: Field;
  declare field: Field;
  declare excluding: boolean;
  declare completions: readonly string[];
  /** The index of the row that the keyboard is on. */
  declare current: number;
  /** From when relative times are counted: the same for all parts of what is shown. */
  private now = Date.now();
  private list = new Load<Page>(this, "the entries");
  private histogram = new Load<AuditLogHistogram>(this, "the activity");
  private facets = new Load<AuditLogFacetList>(this, "the counts");
  private shownFilter = "";
  /** Settles when the first rows of the filter are there, or failed. */
  private rows: Promise<void> = Promise.resolve();
  private completing: AbortController | undefined;

  constructor() {
    super();
    this.facetField = "action";
    this.field = "action";
    this.excluding = false;
    this.completions = [];
    this.current = 0;
    this.addEventListener("move-key", (event) => this.move((event as CustomEvent<KeyboardEvent>).detail));
  }

  private get query() {
    return toQuery(this.state.filter, this.now);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get("state") as typeof this.state | undefined;
    const filter = JSON.stringify(this.state.filter);
    const newApi = changed.has("api");
    if (newApi || filter !== this.shownFilter) {
      this.now = Date.now();
      this.loadAll();
    } else if (before && (before.page !== this.state.page || before.perPage !== this.state.perPage)) {
      void this.loadPage();
    }
    this.shownFilter = filter;
  }

  /** The rows come first: what counts over many entries is asked for when they are there, the commonest values once somebody looks. */
  private loadAll(): void {
    const { query } = this;
    const buckets = this.clientWidth && this.clientWidth < 600 ? 30 : 60;
    this.rows = this.loadPage();
    void this.histogram.run(async (signal) => {
      await this.rows;
      return this.api.histogram(query, buckets, signal);
    });
    this.facets.reset();
    if (this.querySelector<HTMLDetailsElement>("details.facets")?.open) this.loadFacets();
  }

  private loadPage(): Promise<void> {
    this.current = 0;
    return this.list.run((signal) => this.api.list(this.query, this.state.page, this.state.perPage, signal));
  }

  private loadFacets(): void {
    const { query, facetField } = this;
    void this.facets.run(async (signal) => {
      await this.rows;
      return this.api.facets(query, facetField, signal);
    });
  }

  private refresh = (): void => {
    this.now = Date.now();
    this.loadAll();
  };

  // Keys.

  private move(event: KeyboardEvent): void {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const rows = this.list.value?.entries.length ?? 0;
    if (!step || !rows || this.list.status !== "done") return;
    event.preventDefault();
    const onRow = Boolean(document.activeElement?.closest(".entries tbody tr"));
    this.current = onRow ? Math.max(0, Math.min(rows - 1, this.current + step)) : Math.min(this.current, rows - 1);
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(`.entries tbody tr:nth-child(${this.current + 1}) a.open`)?.focus());
  }

  // The filter.

  private add(event: SubmitEvent): void {
    event.preventDefault();
    const input = (event.target as HTMLFormElement).elements.namedItem("value") as HTMLInputElement;
    const text = input.value;
    if (!text) return;
    input.value = "";
    this.completions = [];
    this.app.filter((this.excluding ? not : only)(this.state.filter, this.field, text));
  }

  private async complete(prefix: string): Promise<void> {
    this.completing?.abort();
    const completing = (this.completing = new AbortController());
    try {
      const values = await this.api.values(this.field, prefix, completing.signal);
      if (this.completing === completing) this.completions = values;
    } catch {
      // Completion is a comfort: what is typed can be sent without it.
    }
  }

  private setRange(range: Range): void {
    this.app.filter({ ...this.state.filter, range });
  }

  private setBounds(event: SubmitEvent): void {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const at = (name: string) => {
      const typed = (form.elements.namedItem(name) as HTMLInputElement).value;
      return typed ? instantOf(typed, this.preferences.zone)?.toISOString() : undefined;
    };
    const [start, end] = [at("start"), at("end")];
    if (start && end && start > end) {
      this.app.say("The start is behind the end");
      return;
    }
    this.setRange(start || end ? { kind: "between", ...(start && { start }), ...(end && { end }) } : { kind: "all" });
    form.closest("details")?.removeAttribute("open");
  }

  private filterBar() {
    const { filter } = this.state;
    const set = JSON.stringify(filter.include);
    const excluding = Object.values(filter.exclude).some((values) => values.length > 0);
    const own = set === "{}" ? excluding : !views.some((view) => set === JSON.stringify(view.filter.include));
    return html`<section class="filters" aria-label="Filter">
      <div class="row">
        <label>View
          <select class="view" @change=${(event: Event) => {
            const chosen = views[Number((event.target as HTMLSelectElement).value)];
            if (chosen) this.app.filter({ ...chosen.filter, range: filter.range });
            else this.app.filter({ ...everything, range: filter.range });
          }}>
            ${own ? option("own", true, "Your own filter") : nothing}
            ${option(-1, !own && set === "{}", "Everything")}
            ${[...new Set(views.map(({ group }) => group))].map(
              (group) => html`<optgroup label=${group}>
                ${views.map((view, i) => (view.group === group ? option(i, set === JSON.stringify(view.filter.include), view.name) : nothing))}
              </optgroup>`,
            )}
          </select></label>
        <label>Time
          <select class="range" @change=${(event: Event) => {
            const chosen = (event.target as HTMLSelectElement).value;
            if (chosen === "all") this.setRange({ kind: "all" });
            else if (chosen in presets) this.setRange({ kind: "last", preset: chosen as Preset });
            else {
              this.querySelector<HTMLDetailsElement>(".bounds")!.open = true;
              this.requestUpdate(); // until it is applied, it isn't what is shown
            }
          }}>
            ${option("all", filter.range.kind === "all", "All time")}
            ${Object.entries(presets).map(([preset, name]) => option(preset, filter.range.kind === "last" && filter.range.preset === preset, name))}
            ${option("between", filter.range.kind === "between", "Between…")}
          </select></label>
        ${this.bounds()}
        <form class="add" @submit=${this.add}>
          <label>Filter by
            <select @change=${(event: Event) => { this.field = (event.target as HTMLSelectElement).value as Field; this.completions = []; }}>
              ${fields.map((one) => option(one, one === this.field, fieldNames[one]))}
            </select></label>
          <label><span class="hidden">Whether it is or is not</span>
            <select @change=${(event: Event) => (this.excluding = (event.target as HTMLSelectElement).value === "not")}>
              <option value="is">is</option><option value="not">is not</option>
            </select></label>
          <label class="grow"><span class="hidden">Value</span>
            <input name="value" list="completions" autocomplete="off" spellcheck="false" placeholder="exactly, for example ${{ action: "server.updated", resource_type: "server", resource_id: "web-01", user_id: "ada@acme.example" }[this.field]}" data-key="/"
              @focus=${(event: Event) => void this.complete((event.target as HTMLInputElement).value)} @input=${(event: Event) => void this.complete((event.target as HTMLInputElement).value)} /></label>
          <datalist id="completions">${this.completions.map((one) => html`<option value=${one}></option>`)}</datalist>
          <button type="submit">Add</button>
        </form>
      </div>
      ${this.chips()}
    </section>`;
  }

  private bounds() {
    const { range } = this.state.filter;
    const { zone } = this.preferences;
    const [start, end] = range.kind === "between" ? [range.start, range.end] : [];
    const shown = (instant: string | undefined) => (instant ? localInput(instant, zone) : "");
    return html`<details class="bounds">
      <summary>From … to</summary>
      <form @submit=${this.setBounds}>
        <label>From <input type="datetime-local" name="start" step="1" .value=${shown(start)} /></label>
        <label>To, inclusive <input type="datetime-local" name="end" step="1" .value=${shown(end)} /></label>
        <p class="quiet">In ${zoneName(zone)}. Leave one empty for no bound.</p>
        <button type="submit" class="main">Apply</button>
      </form>
    </details>`;
  }

  private chips() {
    const { filter } = this.state;
    const chip = (text: unknown, name: string, kind: string, without: Filter) =>
      html`<li class="chip ${kind}"><span>${text}</span><button type="button" aria-label="Remove ${name}" @click=${() => this.app.filter(without)}>×</button></li>`;
    const all = [
      ...fields.flatMap((field) => {
        const included = filter.include[field];
        return [
          ...(included === undefined ? [] : [chip(html`${fieldNames[field]} is <strong>${included}</strong>`, `${fieldNames[field]} is ${included}`, "include", neither(filter, field, included))]),
          ...(filter.exclude[field] ?? []).map((one) => chip(html`${fieldNames[field]} is not <strong>${one}</strong>`, `${fieldNames[field]} is not ${one}`, "exclude", neither(filter, field, one))),
        ];
      }),
      ...(filter.range.kind === "all" ? [] : [chip(this.rangeText(filter.range), "the time range", "time", { ...filter, range: { kind: "all" } })]),
    ];
    return all.length === 0
      ? nothing
      : html`<ul class="chips" aria-label="Filters">${all}<li><button type="button" class="plain" @click=${() => this.app.filter(everything)}>Clear all</button></li></ul>`;
  }

  private rangeText(range: Range) {
    if (range.kind === "last") return `${presets[range.preset]}, until ${wall(this.now, this.preferences.zone)}`;
    if (range.kind === "all") return "All time";
    const { zone } = this.preferences;
    return [range.start && `from ${exact(range.start, zone)}`, range.end && `to ${exact(range.end, zone)}`].filter(Boolean).join(" ");
  }

  // The table.

  private get columns(): readonly string[] {
    return (this.state.columns ?? this.preferences.columns).filter((name) => Object.hasOwn(columns, name));
  }

  private toggleColumn(name: string, on: boolean): void {
    const chosen = Object.keys(columns).filter((one) => (one === name ? on : this.columns.includes(one)));
    this.app.prefer({ columns: chosen });
    if (this.state.columns) this.app.go({ columns: undefined }, true);
  }

  private table(page: Page) {
    const { zone, density } = this.preferences;
    const shown = this.columns.map((name) => [name, columns[name]!] as const);
    return html`<div class="scroll" role="region" aria-label="Entries" tabindex="0">
      <table class="entries ${density}" role="table" aria-busy=${this.list.status === "loading"}>
        <caption class="hidden">Entries ${(page.page - 1) * page.perPage + 1} to ${(page.page - 1) * page.perPage + page.entries.length} of ${page.total}, newest first</caption>
        <thead><tr>
          <th scope="col">Time <span class="quiet">${zoneName(zone)}</span></th>
          ${shown.map(([, { title }]) => html`<th scope="col">${title}</th>`)}
        </tr></thead>
        <tbody @focusin=${this.onFocus}>
          ${repeat(page.entries, ({ id }) => id, (entry, i) => html`<tr aria-current=${this.state.entry === entry.id ? "true" : nothing}>
            <td><a class="open" href=${this.app.link({ entry: entry.id })} tabindex=${i === this.current ? 0 : -1} aria-label="${wall(entry.createdAt, zone)}: ${sentence(entry)}"
              @click=${(event: MouseEvent) => this.app.follow(event, { entry: entry.id })}><time datetime=${entry.createdAt} title=${exact(entry.createdAt, zone)}>${wall(entry.createdAt, zone)}</time></a></td>
            ${shown.map(([name, { title, cell }]) => html`<td class=${name} data-title=${title}>${cell(entry)}</td>`)}
          </tr>`)}
        </tbody>
      </table>
    </div>`;
  }

  private onFocus = (event: FocusEvent): void => {
    const row = (event.target as HTMLElement).closest("tr");
    if (row) this.current = [...row.parentElement!.children].indexOf(row);
  };

  protected override updated(): void {
    // Only the row that the keyboard is on has stops for Tab: fifty rows of five buttons would be a maze.
    this.querySelectorAll(".entries tbody tr").forEach((row, i) => row.querySelectorAll<HTMLElement>("button").forEach((button) => (button.tabIndex = i === this.current ? 0 : -1)));
  }

  private pager(page: Page) {
    const last = Math.max(1, Math.ceil(page.total / page.perPage));
    const to = (number: number) => this.app.go({ page: Math.max(1, Math.min(last, number)) });
    const at = this.state.page;
    return html`<nav class="pager" aria-label="Pages">
      <button type="button" ?disabled=${at <= 1} @click=${() => to(1)}>Newest</button>
      <button type="button" data-key="[" ?disabled=${at <= 1} @click=${() => to(at - 1)}>Newer</button>
      <label>Page <input type="number" min="1" max=${last} .value=${live(String(at))} @change=${(event: Event) => { to(Math.round(Number((event.target as HTMLInputElement).value)) || 1); this.requestUpdate(); }} /> of ${count(last)}</label>
      <button type="button" data-key="]" ?disabled=${at >= last} @click=${() => to(at + 1)}>Older</button>
      <button type="button" ?disabled=${at >= last} @click=${() => to(last)}>Oldest</button>
      <label>Rows <select @change=${(event: Event) => this.app.go({ perPage: Number((event.target as HTMLSelectElement).value), page: 1 })}>
        ${pageSizes.map((size) => option(size, size === this.state.perPage))}
      </select></label>
    </nav>`;
  }

  private get filtered(): boolean {
    const { include, exclude, range } = this.state.filter;
    return range.kind !== "all" || Object.keys(include).length > 0 || Object.values(exclude).some((values) => values.length > 0);
  }

  private empty(page: Page) {
    if (page.total > 0) {
      return html`<div class="notice"><h3>There is no page ${count(this.state.page)}</h3><p>${count(page.total)} entries match; the last page is ${count(Math.ceil(page.total / page.perPage))}.</p>
        <button type="button" @click=${() => this.app.go({ page: 1 })}>Go to the newest</button></div>`;
    }
    return this.filtered
      ? html`<div class="notice"><h3>Nothing matches</h3><p>No entry of this trail matches all of the filters. They compare whole values, and case counts.</p>
          <button type="button" @click=${() => this.app.filter(everything)}>Clear all filters</button></div>`
      : html`<div class="notice"><h3>Nothing was recorded yet</h3><p>As soon as a service records an entry, it stands here. <a href="../docs/guides/recording">How to record</a></p></div>`;
  }

  private copies(page: Page) {
    const query = { ...this.query, page: this.state.page, per_page: this.state.perPage };
    return html`<details class="chooser">
      <summary>Copy</summary>
      <div>
        <button type="button" @click=${() => this.app.copy(this.app.link({ columns: this.columns }), "the link")}>Copy link</button>
        <button type="button" @click=${() => this.app.copy(this.app.curl(`/audit-logs?${toSearch(query)}`), "the curl command")}>Copy as curl</button>
        <button type="button" ?disabled=${this.list.status !== "done"} @click=${() => this.app.copy(pretty(page.json), "this page as JSON")}>Copy this page as JSON</button>
      </div>
    </details>`;
  }

  private bar(page: Page | undefined) {
    const { density } = this.preferences;
    const current = this.list.status === "done" && page;
    return html`<div class="bar">
      <h1 class="total" role="status">${current ? html`<strong>${count(page.total)}</strong> ${page.total === 1 ? "entry" : "entries"}${this.filtered ? (page.total === 1 ? " matches" : " match") : ""}` : this.list.status === "failed" ? "No answer" : html`${page && !this.list.slow ? html`<span class="spinner" aria-hidden="true"></span>` : nothing} Counting…`}
        ${current ? html`<span class="quiet">as of ${wall(this.list.at, this.preferences.zone).slice(11)}</span>` : nothing}</h1>
      <div class="actions">
        <button type="button" data-key="r" @click=${this.refresh}>Refresh</button>
        ${page ? this.copies(page) : nothing}
        <button type="button" data-key="e" @click=${() => this.querySelector<ExportDialog>("export-dialog")!.open()}>Export…</button>
        <details class="chooser">
          <summary>Columns</summary>
          <fieldset><legend class="hidden">Columns</legend>
            ${Object.entries(columns).map(([name, { title }]) => html`<label class="tick"><input type="checkbox" .checked=${this.columns.includes(name)} @change=${(event: Event) => this.toggleColumn(name, (event.target as HTMLInputElement).checked)} /> ${title}</label>`)}
            <label class="tick"><input type="checkbox" .checked=${density === "compact"} @change=${(event: Event) => this.app.prefer({ density: (event.target as HTMLInputElement).checked ? "compact" : "comfortable" })} /> Compact rows</label>
          </fieldset>
        </details>
      </div>
    </div>`;
  }

  private facetPanel() {
    const facets = this.facets.value;
    const done = this.facets.status === "done" && facets;
    const most = Math.max(1, ...(facets?.items.map((item) => item.count) ?? []));
    return html`<details class="facets" @toggle=${(event: Event) => { if ((event.target as HTMLDetailsElement).open && this.facets.status === "idle") this.loadFacets(); }}>
      <summary>Most frequent values</summary>
      <label>Of
        <select @change=${(event: Event) => { this.facetField = (event.target as HTMLSelectElement).value as Field; this.loadFacets(); }}>
          ${fields.map((field) => option(field, field === this.facetField, fieldNames[field]))}
        </select></label>
      ${this.facets.notice}
      ${done
        ? html`<p class="quiet">${facets.exact ? `Of all ${count(facets.of)} that match.` : `Of the newest ${count(facets.of)} that match, not of all.`}${facets.distinct > facets.items.length ? ` The ${facets.items.length} commonest of ${count(facets.distinct)} values.` : ""}</p>
            <ul>${facets.items.map((item) => html`<li>${value(this.facetField, item.value)}<meter min="0" max=${most} value=${item.count} aria-label="${item.count} of ${facets.of}"></meter><span>${count(item.count)}</span></li>`)}</ul>`
        : nothing}
    </details>`;
  }

  protected override render() {
    const page = this.list.value;
    return html`${this.filterBar()}
      ${this.list.status === "failed" || (this.list.status === "done" && page?.total === 0) ? nothing : this.activity()}
      ${this.bar(page)}
      ${this.list.lateNotice}
      ${page && this.list.status !== "failed"
        ? html`<div class=${this.list.status === "loading" ? "stale" : ""}>
            ${page.entries.length > 0 ? this.table(page) : this.list.status === "done" ? this.empty(page) : nothing}
            ${page.entries.length > 0 ? this.pager(page) : nothing}
          </div>`
        : nothing}
      <export-dialog .app=${this.app} .api=${this.api} .state=${this.state} .preferences=${this.preferences}></export-dialog>`;
  }

  private activity() {
    const { value, status } = this.histogram;
    const loading = status === "loading";
    return html`<section class="activity" aria-label="Activity" aria-busy=${loading}>
        ${value && status !== "failed"
          ? html`<time-chart class=${loading ? "stale" : ""} .histogram=${value} .zone=${this.preferences.zone} .theme=${this.preferences.theme}
              @range-chosen=${(event: CustomEvent<Range>) => this.setRange(event.detail)}></time-chart>`
          : nothing}
        ${value ? this.histogram.lateNotice : html`<div class="plot-place">${this.histogram.notice}</div>`}
        ${this.facetPanel()}
      </section>`;
  }

  /** neighbour is the entry before or behind one on this page, for the open entry's keys. */
  neighbour(id: string, step: 1 | -1): Entry | undefined {
    const entries = this.list.value?.entries ?? [];
    const at = entries.findIndex((entry) => entry.id === id);
    return at < 0 ? undefined : entries[at + step];
  }
}

customElements.define("trail-view", TrailView);
