import { type Client, createClient, type ExportStream, ProblemError } from "@ocore/audit";
import { type Entry, entryOf } from "./entry.js";
import { type Json, member, NotJson, read, text } from "./json.js";
import type { Field, FilterQuery } from "./state.js";
import { parseEvents, type ServerEvent } from "./tail.js";

export interface Page {
  readonly entries: readonly Entry[];
  readonly total: number;
  readonly page: number;
  readonly perPage: number;
  /** The answer itself. */
  readonly json: Json;
}

export interface AdminPage {
  readonly logs: readonly Json[];
  readonly total: number;
}

export interface Histogram {
  readonly start: string | undefined;
  readonly end: string | undefined;
  readonly items: readonly { readonly start: string; readonly count: number }[];
  readonly total: number;
}

export interface Facets {
  readonly items: readonly { readonly value: string; readonly count: number }[];
  readonly of: number;
  readonly exact: boolean;
}

const numberAt = (json: Json, name: string) => Number(text(member(json, name)) ?? NaN);
const itemsAt = (json: Json, name: string): readonly Json[] => {
  const items = member(json, name);
  if (items?.kind !== "array") throw new NotJson("the service's answer has another form than its document says");
  return items.items;
};

type Query = Record<string, unknown>;
type Untyped = (path: string, init: object) => Promise<{ data?: unknown; response: Response }>;

/**
 * The service, seen by one token. It reads by the generated client, but as text: numbers keep
 * their digits, and proofs their bytes.
 */
export class Api {
  readonly client: Client;
  readonly baseUrl: string;

  constructor(token: string, readonly organization: string | undefined, page = document.baseURI) {
    this.baseUrl = new URL("../api", new URL(".", page)).href;
    this.client = createClient({ baseUrl: this.baseUrl, token, ...(organization && { organization }) });
  }

  private async bytes(path: string, query: Query, signal: AbortSignal): Promise<Uint8Array> {
    const { data } = await (this.client.http.GET as Untyped)(path, { params: { query }, parseAs: "arrayBuffer", signal, cache: "no-store" });
    return new Uint8Array(data as ArrayBuffer);
  }

  private async json(path: string, query: Query, signal: AbortSignal): Promise<Json> {
    return read(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await this.bytes(path, query, signal)));
  }

  async list(query: FilterQuery, page: number, perPage: number, signal: AbortSignal): Promise<Page> {
    const json = await this.json("/audit-logs", { ...query, page, per_page: perPage }, signal);
    return { json, entries: itemsAt(json, "items").map(entryOf), total: numberAt(json, "total"), page: numberAt(json, "page"), perPage: numberAt(json, "perPage") };
  }

  async entry(id: string, signal: AbortSignal): Promise<Entry> {
    return entryOf(await this.json(`/audit-logs/entries/${encodeURIComponent(id)}`, {}, signal));
  }

  /** The bytes as they came, since that is what is proved. */
  proof(id: string, signal: AbortSignal): Promise<Uint8Array> {
    return this.bytes(`/audit-logs/entries/${encodeURIComponent(id)}/proof`, {}, signal);
  }

  /** The lines of the verifier keys. */
  async keys(signal: AbortSignal): Promise<string[]> {
    return itemsAt(await this.json("/audit-logs/keys", {}, signal), "items").map((item) => text(member(item, "key")) ?? "");
  }

  async histogram(query: FilterQuery, buckets: number, signal: AbortSignal): Promise<Histogram> {
    const json = await this.json("/audit-logs/histogram", { ...query, buckets }, signal);
    return {
      start: text(member(json, "start")),
      end: text(member(json, "end")),
      items: itemsAt(json, "items").map((item) => ({ start: text(member(item, "start")) ?? "", count: numberAt(item, "count") })),
      total: numberAt(json, "total"),
    };
  }

  async facets(query: FilterQuery, field: Field, signal: AbortSignal): Promise<Facets> {
    const json = await this.json("/audit-logs/facets", { ...query, field }, signal);
    return {
      items: itemsAt(json, "items").map((item) => ({ value: text(member(item, "value")) ?? "", count: numberAt(item, "count") })),
      of: numberAt(json, "of"),
      exact: text(member(json, "exact")) === "true",
    };
  }

  async values(field: Field, prefix: string, signal: AbortSignal): Promise<string[]> {
    const json = await this.json("/audit-logs/values", { field, ...(prefix && { prefix }) }, signal);
    return itemsAt(json, "items").map((item) => text(item) ?? "");
  }

  async admin(query: Query, signal: AbortSignal): Promise<AdminPage> {
    const json = await this.json("/admin/audit-logs", query, signal);
    return { logs: itemsAt(json, "logs"), total: numberAt(json, "total") };
  }

  export(query: Query, signal: AbortSignal): Promise<ExportStream> {
    return this.client.streamAuditLogs(query as never, { signal });
  }

  async tail(query: Query, lastId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<ServerEvent>> {
    const { data } = await (this.client.http.GET as Untyped)("/audit-logs/tail", {
      params: { query },
      headers: lastId === undefined ? {} : { "Last-Event-ID": lastId },
      parseAs: "stream",
      signal,
      cache: "no-store",
    });
    return parseEvents(texts(data as ReadableStream<Uint8Array>));
  }
}

async function* texts(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have broken already
  }
}

/** Whether an error says that the token isn't accepted, or no longer. */
export const expired = (error: unknown): boolean => error instanceof ProblemError && error.status === 401;

export { ProblemError };

/** What a token says of itself, for the page's comfort alone: the service decides. */
export interface Claims {
  readonly organizations: readonly string[];
  readonly subject: string | undefined;
  readonly expires: number | undefined;
}

export function claimsOf(token: string): Claims {
  const none: Claims = { organizations: [], subject: undefined, expires: undefined };
  try {
    const body = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(body), (c) => c.charCodeAt(0)))) as Record<string, unknown>;
    const several = Array.isArray(claims["org_ids"]) ? claims["org_ids"] : [claims["org_id"]];
    return {
      organizations: several.filter((one) => typeof one === "string"),
      subject: typeof claims["sub"] === "string" ? claims["sub"] : undefined,
      expires: typeof claims["exp"] === "number" ? claims["exp"] * 1000 : undefined,
    };
  } catch {
    return none; // an opaque key is a good token too
  }
}
