import { type Api, ProblemError } from "./api.js";
import type { Json } from "./json.js";
import { type Key, readKey, Refused, Unable, verifyEntry } from "./proof.js";

/** What checking an entry came to. Only `verified` says anything good of it, and only `mismatch` anything bad. */
export type Evidence =
  | { readonly kind: "verified"; readonly origin: string; readonly size: string; readonly pinned: boolean; readonly signature: boolean; readonly keys: readonly string[] }
  | { readonly kind: "unsigned"; readonly reason: string }
  | { readonly kind: "unable"; readonly reason: string }
  /** `altered`: the service says so itself, and gives no proof that could be saved. */
  | { readonly kind: "mismatch"; readonly reason: string; readonly altered?: true };

/** What can be proved: an entry of a trail, and where its proof and the trail's keys come from. */
export interface Provable {
  readonly id: string;
  readonly position: string;
  readonly json: Json;
}

export type Source = Pick<Api, "proof" | "keys">;

/**
 * check proves the entry that is on the screen: the proof must be of these very bytes, of
 * this organization, and lead to a checkpoint signed by a key that is trusted: the pinned
 * ones if there are any for its trail, else those that the service names.
 */
export async function check(api: Source, entry: Provable, organization: string | undefined, pinned: readonly string[], signal: AbortSignal): Promise<Evidence> {
  let bytes: Uint8Array;
  let offered: string[];
  try {
    [bytes, offered] = await Promise.all([api.proof(entry.id, signal), api.keys(signal)]);
  } catch (error) {
    if (error instanceof ProblemError && error.problem.type.endsWith("/problems/altered")) return { kind: "mismatch", altered: true, reason: withoutEnd(error.problem.detail ?? error.problem.title) };
    if (error instanceof ProblemError && error.status === 503) return { kind: "unsigned", reason: error.problem.detail ?? "the service hasn't signed for this entry yet" };
    if (error instanceof ProblemError && error.status === 401) throw error;
    return { kind: "unable", reason: error instanceof Error ? `its proof could not be loaded: ${error.message}` : "its proof could not be loaded" };
  }
  try {
    const own = await readable(pinned);
    const names = new Set((await readable(offered)).map((key) => key.name));
    const relevant = own.filter((key) => names.has(key.name) || (organization && key.name.endsWith(`/${organization}`)));
    const keys = relevant.length > 0 ? relevant : await readable(offered);
    const { checkpoint, entry: proven, position } = await verifyEntry(bytes, keys);
    if (proven.raw !== entry.json.raw) throw new Refused("what was proved is not the entry on the screen");
    if (organization && checkpoint.organization !== organization) throw new Refused(`the proof is of the organization ${checkpoint.organization}`);
    if (String(position) !== entry.position) throw new Refused("the proof is of another position");
    return { kind: "verified", origin: checkpoint.origin, size: String(checkpoint.size), pinned: relevant.length > 0, signature: checkpoint.signatureChecked, keys: offered };
  } catch (error) {
    if (error instanceof Unable) return { kind: "unable", reason: error.message };
    if (error instanceof Refused) return { kind: "mismatch", reason: error.message };
    return { kind: "unable", reason: error instanceof Error ? error.message : String(error) };
  }
}

const withoutEnd = (text: string) => text.replace(/[.\s]+$/, "");

async function readable(lines: readonly string[]): Promise<Key[]> {
  return Promise.all(lines.map(readKey));
}
