import { html, nothing } from "lit";
import type { Api } from "./api.js";
import { exportCommand, type Format } from "./commands.js";
import { failure, Load } from "./load.js";
import { count, Part, save } from "./part.js";
import { type FilterQuery, fieldNames, fields, toQuery } from "./state.js";
import { zoneName } from "./time.js";
import { joinCSV, joinJSON } from "./parts.js";

/** Beyond this many entries a browser is the wrong tool, and the dialog says which is the right one. */
const most = 100_000;

/** textOf reads a stream to its end; it throws where the answer was cut off. */
async function textOf(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const reader = body.getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
  }
}

/** Takes out what is on the screen: says first how many entries that is, and afterwards whether that many came. */
export class ExportDialog extends Part {
  static override properties = { ...Part.properties, api: { attribute: false }, format: { state: true }, done: { state: true }, running: { state: true }, error: { state: true }, result: { state: true } };

  declare api: Api;
  declare format: Format;
  declare done: number;
  declare running: AbortController | undefined;
  declare error: unknown;
  declare result: string | undefined;
  private query: FilterQuery = {};
  private total = new Load<number>(this, "the number of entries");

  constructor() {
    super();
    this.format = "json";
    this.done = 0;
  }

  private get dialog(): HTMLDialogElement {
    return this.querySelector("dialog")!;
  }

  open(): void {
    this.error = undefined;
    this.result = undefined;
    const now = Date.now();
    this.query = toQuery(this.state.filter, now);
    // Entries recorded while the export runs would make it another one than was announced.
    if (!this.query.end_date) this.query = { ...this.query, end_date: new Date(now).toISOString() };
    void this.total.run(async (signal) => (await this.api.list(this.query, 1, 1, signal)).total);
    this.dialog.showModal();
  }

  private async start(): Promise<void> {
    const running = (this.running = new AbortController());
    this.error = this.result = undefined;
    this.done = 0;
    try {
      const parts: string[] = [];
      let cursor: string | undefined;
      do {
        const { body, nextCursor } = await this.api.export(
          { ...this.query, format: this.format === "csv" ? "csv" : "json", ...(this.format === "proof" && { with_proof: true }), ...(cursor && { cursor }) },
          running.signal,
        );
        parts.push(await textOf(body));
        cursor = nextCursor;
        this.done = Math.min(this.total.value ?? 0, parts.length * 10_000);
      } while (cursor);
      const joined = this.format === "csv" ? joinCSV(parts) : joinJSON(parts);
      const name = `audit-${this.api.organization ?? this.app.claims.organizations[0] ?? "trail"}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}Z.${this.format === "csv" ? "csv" : "json"}`;
      save(name, [joined.text], this.format === "csv" ? "text/csv" : "application/json");
      const announced = this.total.value!;
      this.result =
        joined.items === announced
          ? `${count(joined.items)} entries, all that were announced, are in ${name}.`
          : `The file ${name} holds ${count(joined.items)} entries, but ${count(announced)} were announced. Don't take it for the whole.`;
    } catch (error) {
      if (!running.signal.aborted) this.error = error;
    } finally {
      this.running = undefined;
    }
  }

  private close(): void {
    this.running?.abort();
  }

  private command(): string {
    return exportCommand(this.api.baseUrl, this.api.organization, this.format, this.query);
  }

  protected override render() {
    const total = this.total.value;
    const known = this.total.status === "done" && total !== undefined;
    const { include, exclude } = this.state.filter;
    const told = [
      ...fields.flatMap((field) => (include[field] ? [`${fieldNames[field]} is ${include[field]}`] : [])),
      ...fields.flatMap((field) => (exclude[field] ?? []).map((one) => `${fieldNames[field]} is not ${one}`)),
      ...(this.query.start_date ? [`from ${this.query.start_date}`] : []),
      ...(this.query.end_date ? [`up to ${this.query.end_date}`] : []),
    ];
    return html`<dialog class="small" aria-labelledby="export-title" @close=${this.close}>
      <h2 id="export-title">Export</h2>
      ${this.total.notice}
      ${known ? html`<p class="big"><strong>${count(total)}</strong> ${total === 1 ? "entry" : "entries"} will be exported</p>` : nothing}
      ${told.length ? html`<ul class="told">${told.map((one) => html`<li>${one}</li>`)}</ul>` : nothing}
      <fieldset ?disabled=${this.running !== undefined}>
        <legend>Format</legend>
        ${([["json", "JSON", "as recorded, digit for digit"], ["proof", "JSON with proofs", "verifiable without the service"], ["csv", "CSV", "for spreadsheets; cells that they would run get an apostrophe"]] as const).map(
          ([format, name, about]) => html`<label class="tick"><input type="radio" name="format" .checked=${this.format === format} @change=${() => (this.format = format)} /> <span>${name} <span class="quiet">${about}</span></span></label>`,
        )}
      </fieldset>
      <p class="quiet">Times in the file are UTC${zoneName(this.preferences.zone) === "UTC" ? "" : `, whereas the screen shows ${zoneName(this.preferences.zone)}`}. Exports are recorded in the platform's admin trail.</p>
      ${this.error ? failure(this.error, "the export", () => void this.start()) : nothing}
      ${this.running ? html`<p role="status">Exporting: ${count(this.done)} of ${count(total ?? 0)}</p><progress max=${total ?? 1} .value=${this.done} aria-label="Exported"></progress>` : nothing}
      ${this.result ? html`<p class="result" role="status">${this.result}</p>` : nothing}
      ${known && total > most ? html`<div class="notice"><p>That is more than a browser should hold. The command streams files of any size.</p></div>` : nothing}
      ${known
        ? html`<details class="command" ?open=${total > most}><summary>The same by the command line</summary>
            <code class="block">${this.command()}</code>
            <button type="button" @click=${() => this.app.copy(this.command(), "the command")}>Copy the command</button></details>`
        : nothing}
      <div class="buttons">
        <button type="button" @click=${() => this.dialog.close()}>${this.running ? "Cancel" : "Close"}</button>
        <button type="button" class="main" ?disabled=${!known || total > most || this.running !== undefined} @click=${this.start}>Export</button>
      </div>
    </dialog>`;
  }
}

customElements.define("export-dialog", ExportDialog);
