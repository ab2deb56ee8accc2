/** An export comes in parts of 10,000 entries; these join them to one file of the same format. */
import { member, NotJson, read } from "./json.js";

export interface Joined {
  readonly text: string;
  readonly items: number;
}

/** joinJSON puts the items one behind the other, as they are written, and the proofs behind them. `total` is the first part's. */
export function joinJSON(parts: readonly string[]): Joined {
  const items: string[] = [];
  const proofs: string[] = [];
  let total = "0";
  parts.forEach((part, i) => {
    const json = read(part);
    const [its, count, proven] = ["items", "total", "proofs"].map((name) => member(json, name));
    if (its?.kind !== "array" || count === undefined) throw new NotJson("the export has another form than the document says");
    if (i === 0) total = count.raw;
    items.push(...its.items.map(({ raw }) => raw));
    if (proven?.kind === "array") proofs.push(...proven.items.map(({ raw }) => raw));
  });
  const proven = proofs.length > 0 ? `,"proofs":[${proofs.join()}]` : "";
  return { text: `{"items":[${items.join()}],"total":${total}${proven}}`, items: items.length };
}

/** joinCSV leaves the header out of all parts but the first. Records end with CRLF; line breaks may stand within quotes. */
export function joinCSV(parts: readonly string[]): Joined {
  let items = 0;
  const kept = parts.map((part, i) => {
    const ends = recordEnds(part);
    items += Math.max(0, ends.length - 1);
    return i === 0 ? part : part.slice(ends[0] ?? part.length);
  });
  return { text: kept.join(""), items };
}

function recordEnds(text: string): number[] {
  const ends: number[] = [];
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') quoted = !quoted;
    else if (character === "\n" && !quoted) ends.push(at + 1);
  }
  return ends;
}
