import type { Json } from "./json.js";

/**
 * What became of a value between two moments. Members are matched by name, whatever their
 * order, and items of arrays by longest common subsequence, so that one item put in front
 * isn't a change of all behind it. Numbers are compared as text: 1.10 became 1.1 is a change.
 */
export interface Change {
  readonly path: readonly (string | number)[];
  readonly kind: "added" | "removed" | "changed";
  readonly before?: Json;
  readonly after?: Json;
}

export function diff(before: Json | undefined, after: Json | undefined): Change[] {
  const changes: Change[] = [];
  compare(before, after, [], changes);
  return changes;
}

type Path = readonly (string | number)[];

function compare(before: Json | undefined, after: Json | undefined, path: Path, into: Change[]): void {
  if (before?.raw === after?.raw) return;
  if (before === undefined) into.push({ path, kind: "added", after: after! });
  else if (after === undefined) into.push({ path, kind: "removed", before });
  else if (before.kind === "object" && after.kind === "object") compareMembers(before, after, path, into);
  else if (before.kind === "array" && after.kind === "array") compareItems(before.items, after.items, path, into);
  else if (before.kind !== "string" || after.kind !== "string" || before.value !== after.value) {
    into.push({ path, kind: "changed", before, after }); // strings may differ in their escapes alone
  }
}

type Object = Extract<Json, { kind: "object" }>;

function compareMembers(before: Object, after: Object, path: Path, into: Change[]): void {
  const left = new Map(before.members.map(({ name, value }) => [name, value]));
  const right = new Map(after.members.map(({ name, value }) => [name, value]));
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    compare(left.get(name), right.get(name), [...path, name], into);
  }
}

/** Beyond this many comparisons, items are compared by their index. */
const most = 1_000_000;

function compareItems(before: readonly Json[], after: readonly Json[], path: Path, into: Change[]): void {
  if (before.length * after.length > most) {
    for (let i = 0; i < Math.max(before.length, after.length); i++) compare(before[i], after[i], [...path, i], into);
    return;
  }
  let b = 0;
  let a = 0;
  for (const [nextBefore, nextAfter] of [...common(before, after), [before.length, after.length] as const]) {
    // Between two common items: those at hand on both sides were changed, the others came or went.
    while (b < nextBefore && a < nextAfter) {
      compare(before[b], after[a], [...path, a], into);
      b++;
      a++;
    }
    for (; b < nextBefore; b++) compare(before[b], undefined, [...path, b], into);
    for (; a < nextAfter; a++) compare(undefined, after[a], [...path, a], into);
    b = nextBefore + 1;
    a = nextAfter + 1;
  }
}

/** common are the pairs of indices of a longest common subsequence. */
function common(before: readonly Json[], after: readonly Json[]): (readonly [number, number])[] {
  const width = after.length + 1;
  const length = new Uint32Array((before.length + 1) * width);
  for (let b = before.length - 1; b >= 0; b--) {
    for (let a = after.length - 1; a >= 0; a--) {
      length[b * width + a] =
        before[b]!.raw === after[a]!.raw
          ? length[(b + 1) * width + a + 1]! + 1
          : Math.max(length[(b + 1) * width + a]!, length[b * width + a + 1]!);
    }
  }
  const pairs: (readonly [number, number])[] = [];
  for (let b = 0, a = 0; b < before.length && a < after.length; ) {
    if (before[b]!.raw === after[a]!.raw) pairs.push([b++, a++]);
    else if (length[(b + 1) * width + a]! >= length[b * width + a + 1]!) b++;
    else a++;
  }
  return pairs;
}

/** written is a path as people write it: `limits.cpu`, `tags[2]`, `["a.b"]`. */
export function written(path: Path): string {
  return path
    .map((step, i) =>
      typeof step === "number" ? `[${step}]` : /^[A-Za-z_$][\w$-]*$/.test(step) ? (i ? "." : "") + step : `[${JSON.stringify(step)}]`,
    )
    .join("");
}
