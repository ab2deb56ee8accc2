/**
 * JSON as text. An auditor has to see the digits that were recorded, and a proof covers the
 * bytes that were sent, so nothing here turns a number into a double or an object into one
 * whose keys are in another order: each value keeps its own text.
 */
export type Json = { readonly raw: string } & (
  | { readonly kind: "object"; readonly members: readonly Member[] }
  | { readonly kind: "array"; readonly items: readonly Json[] }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "number" | "literal" }
);

export interface Member {
  readonly name: string;
  /** The name as it is written, with quotes and escapes. */
  readonly key: string;
  readonly value: Json;
}

export class NotJson extends Error {
  override readonly name = "NotJson";
}

const space = /[ \t\n\r]*/y;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// Everything but quotes, backslashes and control characters, and the escapes of RFC 8259.
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const literal = /true|false|null/y;

/**
 * read makes values of a JSON text; `raw` of each is its text without white space between
 * tokens. Strict as docs/format.md is: no member twice, no half of a surrogate pair, nothing
 * behind the end. Throws `NotJson`.
 */
export function read(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.skip();
  if (reader.at !== text.length) throw new NotJson("something stands behind the end");
  return value;
}

class Reader {
  at = 0;

  constructor(private readonly text: string) {}

  skip(): void {
    space.lastIndex = this.at;
    space.test(this.text);
    this.at = space.lastIndex;
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    if (!pattern.test(this.text)) return undefined;
    const found = this.text.slice(this.at, pattern.lastIndex);
    this.at = pattern.lastIndex;
    return found;
  }

  private takes(character: string): boolean {
    this.skip();
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private fail(): never {
    throw new NotJson(`not JSON at character ${this.at}`);
  }

  value(depth: number): Json {
    if (depth > 1000) throw new NotJson("nested too deep to be read here");
    this.skip();
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth);
      case "[":
        return this.array(depth);
      case '"': {
        const raw = this.string();
        return { kind: "string", raw, value: decode(raw) };
      }
    }
    const word = this.take(literal);
    if (word !== undefined) return { kind: "literal", raw: word };
    const raw = this.take(number);
    return raw === undefined ? this.fail() : { kind: "number", raw };
  }

  private string(): string {
    this.skip();
    return this.take(string) ?? this.fail();
  }

  private object(depth: number): Json {
    this.at++;
    const members: Member[] = [];
    const names = new Set<string>();
    if (!this.takes("}")) {
      do {
        const key = this.string();
        const name = decode(key);
        if (names.has(name)) throw new NotJson(`${key} stands twice in an object`);
        names.add(name);
        if (!this.takes(":")) this.fail();
        members.push({ name, key, value: this.value(depth + 1) });
      } while (this.takes(","));
      if (!this.takes("}")) this.fail();
    }
    return { kind: "object", members, raw: `{${members.map(({ key, value }) => `${key}:${value.raw}`).join()}}` };
  }

  private array(depth: number): Json {
    this.at++;
    const items: Json[] = [];
    if (!this.takes("]")) {
      do items.push(this.value(depth + 1));
      while (this.takes(","));
      if (!this.takes("]")) this.fail();
    }
    return { kind: "array", items, raw: `[${items.map((item) => item.raw).join()}]` };
  }
}

function decode(raw: string): string {
  const value = JSON.parse(raw) as string;
  if (!value.isWellFormed()) throw new NotJson(`${raw} holds half of a surrogate pair`);
  return value;
}

/** member is the value of an object's member, or undefined. */
export function member(of: Json | undefined, name: string): Json | undefined {
  return of?.kind === "object" ? of.members.find((one) => one.name === name)?.value : undefined;
}

/** text is what a string says, and any other value's own text. */
export function text(of: Json | undefined): string | undefined {
  return of === undefined ? undefined : of.kind === "string" ? of.value : of.raw;
}

/** pretty is the value over several lines, each scalar as it is written. */
export function pretty(of: Json, indent = ""): string {
  const inner = `${indent}  `;
  if (of.kind === "object" && of.members.length > 0) {
    return `{\n${of.members.map(({ key, value }) => `${inner}${key}: ${pretty(value, inner)}`).join(",\n")}\n${indent}}`;
  }
  if (of.kind === "array" && of.items.length > 0) {
    return `[\n${of.items.map((item) => inner + pretty(item, inner)).join(",\n")}\n${indent}]`;
  }
  return of.raw;
}
