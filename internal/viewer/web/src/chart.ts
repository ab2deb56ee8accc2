import { html, LitElement, nothing, type PropertyValues } from "lit";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { AuditLogHistogram } from "@ocore/audit";
import { count } from "./part.js";
import { wall, type Zone, zoneName } from "./time.js";

/**
 * How many entries there were when: bars, of which a stretch can be dragged over, and the
 * same as a table with buttons, since dragging must never be the only way (WCAG 2.2, 2.5.7).
 */
export class TimeChart extends LitElement {
  static override properties = { histogram: { attribute: false }, zone: { attribute: false }, theme: { attribute: false } };

  declare histogram: AuditLogHistogram;
  declare zone: Zone;
  declare theme: string;
  private plot: uPlot | undefined;
  private readonly resized = new ResizeObserver(() => this.plot?.setSize({ width: this.clientWidth, height: this.plot.height }));
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.resized.observe(this);
    this.dark.addEventListener("change", this.draw);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.draw);
    this.plot?.destroy();
    this.plot = undefined;
  }

  protected override updated(changed: PropertyValues): void {
    if (changed.size > 0) this.draw();
  }

  private endOf(i: number): string | undefined {
    return this.histogram.items[i + 1]?.start ?? this.histogram.end;
  }

  /** choose asks for the bars from one to another; bounds are inclusive, so each ends a microsecond before the next. */
  private choose(from: number, to: number): void {
    const { items, end } = this.histogram;
    const next = items[to + 1]?.start;
    const until = next === undefined ? end : new Date(Date.parse(next) - 1).toISOString().replace("Z", "999Z");
    this.dispatchEvent(new CustomEvent("range-chosen", { detail: { kind: "between", start: items[from]!.start, ...(until && { end: until }) } }));
  }

  private draw = (): void => {
    this.plot?.destroy();
    this.plot = undefined;
    const into = this.querySelector<HTMLElement>(".plot");
    const { items } = this.histogram;
    if (!into || items.length === 0) return;
    const ink = (name: string) => getComputedStyle(into.querySelector(`.ink-${name}`)!).color;
    const axis = { stroke: ink("quiet"), grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const bars = uPlot.paths.bars!({ size: [0.85, 60], align: 1 });
    const times = items.map(({ start }) => Date.parse(start) / 1000);
    const last = this.endOf(items.length - 1);
    this.plot = new uPlot(
      {
        width: Math.max(200, into.clientWidth),
        height: 116,
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
        select: { show: true, left: 0, top: 0, width: 0, height: 0 },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zoneName(this.zone)),
        scales: { x: { range: [times[0]!, last ? Math.max(Date.parse(last) / 1000, times[0]! + 1e-3) : times.at(-1)! + 1] }, y: { range: (_plot, _min, max) => [0, Math.max(1, max)] } },
        axes: [{ ...axis, size: 28, space: 90, values: (_plot, ticks) => ticks.map((tick) => this.label(tick, (ticks.at(-1)! - ticks[0]!) / (ticks.length - 1))) }, { ...axis, size: 52, space: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8], values: (_plot, ticks) => ticks.map((tick) => count(tick)) }],
        series: [{}, { fill: ink("accent"), paths: bars, points: { show: false } }],
        hooks: {
          setSelect: [
            (plot) => {
              if (plot.select.width < 4) return;
              const at = (x: number) => Math.max(0, times.findLastIndex((time) => time <= plot.posToVal(x, "x")));
              this.choose(at(plot.select.left), at(plot.select.left + plot.select.width));
            },
          ],
        },
      },
      [times, items.map((item) => item.count)],
      into,
    );
  };

  /** What a tick says: its day, or its time where ticks are closer. */
  private label(seconds: number, step: number): string {
    const at = wall(seconds * 1000, this.zone);
    return step >= 86_400 ? at.slice(0, 10) : step >= 60 ? at.slice(5, 16) : at.slice(11);
  }

  protected override render() {
    const { items, total } = this.histogram;
    if (items.length === 0 || total === 0) return html`<p class="quiet">No activity to show.</p>`;
    const busiest = items.reduce((a, b) => (b.count > a.count ? b : a));
    return html`
      <div class="plot" role="img" aria-label="${count(total)} entries over time; most of them, ${count(busiest.count)}, from ${wall(busiest.start, this.zone)} on. The table below says the same.">
        <i class="ink-quiet"></i><i class="ink-line"></i><i class="ink-accent"></i>
      </div>
      <details class="numbers">
        <summary>Activity as a table</summary>
        <div class="scroll" role="region" aria-label="Activity as a table" tabindex="0">
          <table>
            <thead><tr><th scope="col">From (${zoneName(this.zone)})</th><th scope="col">Entries</th><th scope="col"><span class="hidden">Show</span></th></tr></thead>
            <tbody>
              ${items.map((item, i) => (item.count === 0 ? nothing : html`<tr><td>${wall(item.start, this.zone)}</td><td>${count(item.count)}</td>
                <td><button type="button" class="plain" aria-label="Show the entries from ${wall(item.start, this.zone)} on" @click=${() => this.choose(i, i)}>Show</button></td></tr>`))}
            </tbody>
          </table>
        </div>
      </details>`;
  }
}

customElements.define("time-chart", TimeChart);
