import { html, nothing, type PropertyValues } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { type Api, expired, ProblemError } from "./api.js";
import { actorOf, type Entry, entryOf, sentence } from "./entry.js";
import { read } from "./json.js";
import { failure } from "./load.js";
import { count, Part, save } from "./part.js";
import { fieldNames, fields, toQuery } from "./state.js";
import { follow } from "./tail.js";
import { wall, zoneName } from "./time.js";
import { value } from "./trail.js";

/** How many entries are kept, so that a page left open doesn't grow for ever, and how many are drawn. */
const kept = 10_000;
const drawn = 200;

/**
 * The trail as it grows, newest first. While it is paused entries are kept and counted, not
 * shown; screen readers hear how many came, now and then, and not each.
 */
export class TailView extends Part {
  static override properties = { ...Part.properties, api: { attribute: false }, entries: { state: true }, waiting: { state: true }, paused: { state: true }, trouble: { state: true }, error: { state: true }, heard: { state: true } };

  declare api: Api;
  declare entries: Entry[];
  /** What arrived while paused. */
  declare waiting: Entry[];
  declare paused: boolean;
  declare trouble: string | undefined;
  declare error: unknown;
  declare heard: string;
  private received = 0;
  private told = 0;
  private following: AbortController | undefined;
  private telling: number | undefined;
  private drawing = 0;
  private arrived: Entry[] = [];
  private shownFilter = "";

  constructor() {
    super();
    this.entries = [];
    this.waiting = [];
    this.paused = false;
    this.trouble = "Connecting…";
    this.heard = "";
    this.addEventListener("move-key", (event) => this.move((event as CustomEvent<KeyboardEvent>).detail));
  }

  private move(event: KeyboardEvent): void {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const links = [...this.querySelectorAll<HTMLElement>("a.open")];
    if (!step || links.length === 0) return;
    event.preventDefault();
    const at = links.findIndex((link) => link.closest("tr")!.contains(document.activeElement));
    links[at < 0 ? 0 : Math.max(0, Math.min(links.length - 1, at + step))]!.focus();
  }

  /** neighbour is the entry before or behind one of those that are shown, for the open entry's keys. */
  neighbour(id: string, step: 1 | -1): Entry | undefined {
    const at = this.entries.findIndex((entry) => entry.id === id);
    return at < 0 ? undefined : this.entries[at + step];
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.telling = window.setInterval(() => this.tell(), 5000);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.following?.abort();
    clearInterval(this.telling);
    this.shownFilter = "";
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const filter = JSON.stringify([this.state.filter.include, this.state.filter.exclude]);
    if (changed.has("api") || filter !== this.shownFilter) void this.follow();
    this.shownFilter = filter;
  }

  private tell(): void {
    if (this.received === this.told) return;
    this.heard = `${count(this.received - this.told)} new ${this.received - this.told === 1 ? "entry" : "entries"}`;
    this.told = this.received;
  }

  private async follow(): Promise<void> {
    this.following?.abort();
    const following = (this.following = new AbortController());
    this.entries = [];
    this.waiting = [];
    this.arrived = [];
    this.received = this.told = 0;
    this.error = undefined;
    this.trouble = "Connecting…";
    const query = toQuery({ ...this.state.filter, range: { kind: "all" } }, 0);
    try {
      await follow(
        {
          connect: (last, signal) => this.api.tail(query, last, signal),
          entry: (data) => this.take(entryOf(read(data))),
          status: (trouble) => (this.trouble = trouble),
          final: (error) => error instanceof ProblemError && error.status < 500 && error.status !== 429,
        },
        following.signal,
      );
    } catch (error) {
      if (this.following !== following) return;
      this.error = error;
      if (expired(error)) this.dispatchEvent(new CustomEvent("token-refused", { bubbles: true, detail: error }));
    }
  }

  /** Entries are drawn by the frame, however fast they come. */
  private take(entry: Entry): void {
    this.received++;
    this.arrived.push(entry);
    this.drawing ||= window.setTimeout(() => {
      this.drawing = 0;
      const arrived = this.arrived.reverse();
      this.arrived = [];
      if (this.paused) this.waiting = [...arrived, ...this.waiting].slice(0, kept);
      else this.entries = [...arrived, ...this.entries].slice(0, kept);
    }, 50);
  }

  private toggle = (): void => {
    this.paused = !this.paused;
    if (this.paused) return;
    this.entries = [...this.waiting, ...this.entries].slice(0, kept);
    this.waiting = [];
  };

  private keep = (): void => {
    const oldestFirst = [...this.entries].reverse();
    save("live.ndjson", oldestFirst.map((entry) => `${entry.json.raw}\n`), "application/x-ndjson");
  };

  protected override render() {
    const { include, exclude } = this.state.filter;
    const told = fields.flatMap((field) => [...(include[field] ? [`${fieldNames[field]} is ${include[field]}`] : []), ...(exclude[field] ?? []).map((one) => `${fieldNames[field]} is not ${one}`)]);
    return html`<div class="bar">
        <h1 class="total">${this.error ? "Stopped" : this.trouble ? html`<span class="dot cut"></span>${this.trouble}` : this.paused ? html`<span class="dot paused"></span>Paused` : html`<span class="dot live"></span>Live`}
          <span class="quiet">${count(this.received)} received</span></h1>
        <div class="actions">
          <button type="button" class="main" data-key="p" @click=${this.toggle} aria-pressed=${this.paused}>${this.paused ? `Go on${this.waiting.length ? ` (${count(this.waiting.length)} new)` : ""}` : "Pause"}</button>
          <button type="button" ?disabled=${this.entries.length === 0} @click=${this.keep}>Save what is shown</button>
        </div>
      </div>
      <p class="hidden" role="status">${this.heard}</p>
      ${told.length ? html`<p class="quiet">Only where ${told.join(" and ")}. <button type="button" class="plain" @click=${() => this.app.filter({ ...this.state.filter, include: {}, exclude: {} })}>Show all</button></p>` : nothing}
      ${this.error ? failure(this.error, "the live trail", () => void this.follow()) : nothing}
      ${this.entries.length === 0 && !this.error
        ? html`<div class="notice"><h3>Waiting for the next entry</h3><p>Entries stand here the moment they are recorded. What is older is in the <a href=${this.app.link({ tab: "trail" })} @click=${(event: MouseEvent) => this.app.follow(event, { tab: "trail" })}>trail</a>.</p></div>`
        : html`<div class="scroll" role="region" aria-label="Live entries" tabindex="0"><table class="entries ${this.preferences.density}">
            <thead><tr><th scope="col">Time <span class="quiet">${zoneName(this.preferences.zone)}</span></th><th scope="col">What</th><th scope="col">Who</th><th scope="col">Action</th><th scope="col">Position</th></tr></thead>
            <tbody>${repeat(this.entries.slice(0, drawn), ({ position }) => position, (entry) => html`<tr>
              <td><a class="open" href=${this.app.link({ entry: entry.id })} @click=${(event: MouseEvent) => this.app.follow(event, { entry: entry.id })}>${wall(entry.createdAt, this.preferences.zone)}</a></td>
              <td data-title="What">${sentence(entry)}</td><td data-title="Who">${value("user_id", entry.userId, actorOf(entry))}</td><td data-title="Action">${value("action", entry.action)}</td><td data-title="Position">${entry.position}</td>
            </tr>`)}</tbody>
          </table></div>
          ${this.entries.length > drawn ? html`<p class="quiet">The newest ${drawn} of ${count(this.entries.length)} kept here${this.received > kept ? `; the oldest of ${count(this.received)} received are in the trail alone` : ""}.</p>` : nothing}`}`;
  }
}

customElements.define("tail-view", TailView);
