/** Times are kept and sent in UTC, and shown in the zone that the person chose. */
export type Zone = string; // "local", "UTC", or a name of the IANA database

export const zoneName = (zone: Zone): string => (zone === "local" ? Intl.DateTimeFormat().resolvedOptions().timeZone : zone);

export function validZone(zone: string): boolean {
  try {
    return Boolean(Intl.DateTimeFormat("en", { timeZone: zoneName(zone) }));
  } catch {
    return false;
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();

function partsOf(instant: number, zone: Zone): Record<string, string> {
  const name = zoneName(zone);
  let format = formats.get(name);
  if (!format) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone: name, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "longOffset",
    });
    formats.set(name, format);
  }
  return Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
}

/** wall is `2026-11-23 06:05:00` as clocks of the zone show it. */
export function wall(instant: number | string, zone: Zone): string {
  const p = partsOf(typeof instant === "number" ? instant : Date.parse(instant), zone);
  return `${p["year"]!.padStart(4, "0")}-${p["month"]}-${p["day"]} ${p["hour"]}:${p["minute"]}:${p["second"]}`;
}

/** offset is `+01:00`, or `+00:00`. */
export function offset(instant: number | string, zone: Zone): string {
  const name = partsOf(typeof instant === "number" ? instant : Date.parse(instant), zone)["timeZoneName"]!;
  return name.replace("GMT", "").slice(0, 6) || "+00:00";
}

/** exact is the time with all digits that were recorded, and its offset. */
export function exact(recorded: string, zone: Zone): string {
  const fraction = /\.\d+/.exec(recorded)?.[0] ?? "";
  return `${wall(recorded, zone)}${fraction} ${offset(recorded, zone)}`;
}

/**
 * instantOf is the instant at which clocks of the zone show a `datetime-local` value. An
 * hour that clocks skip is taken as the one after it, one that comes twice as the first.
 */
export function instantOf(local: string, zone: Zone): Date | undefined {
  const asUTC = Date.parse(`${local.length === 16 ? `${local}:00` : local}Z`);
  if (Number.isNaN(asUTC)) return undefined;
  const shift = (instant: number) => Date.parse(`${wall(instant, zone).replace(" ", "T")}Z`) - Math.floor(instant / 1000) * 1000;
  const candidates = [asUTC - 86_400_000, asUTC + 86_400_000].map((day) => asUTC - shift(day)).sort((a, b) => a - b);
  return new Date(candidates.find((candidate) => candidate + shift(candidate) === asUTC) ?? candidates.at(-1)!);
}

/** The value of a `datetime-local` input for an instant. */
export const localInput = (instant: string, zone: Zone): string => wall(instant, zone).replace(" ", "T");

export const presets = { "15m": "Last 15 minutes", "1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days" } as const;
export type Preset = keyof typeof presets;

const unit = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** since is when a preset begins, seen from now. */
export const since = (preset: Preset, now: number): string =>
  new Date(now - parseInt(preset, 10) * unit[preset.at(-1) as keyof typeof unit]).toISOString();
