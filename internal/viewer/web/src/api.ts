import { type AdminListQuery, type AuditLogFacetList, type AuditLogHistogram, type Client, createClient, type ExportQuery, type ExportStream, ProblemError } from "@ocore/audit";
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

const numberAt = (json: Json, name: string) => Number(text(member(json, name)) ?? NaN);
const itemsAt = (json: Json, name: string): readonly Json[] => {
  const items = member(json, name);
  if (items?.kind !== "array") throw new NotJson("the service's answer has another form than its document says");
  return items.items;
};

/** Bytes to values that keep their digits. */
const readBytes = ({ data }: { data?: ArrayBuffer }): Json => read(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));

/**
 * The service, seen by one token, by way of the generated client. Whatever holds entries is
 * read as bytes: numbers keep their digits, and proofs are of these very bytes.
 */
export class Api {
  readonly client: Client;
  readonly baseUrl: string;

  constructor(token: string, readonly organization: string | undefined, page = document.baseURI) {
    this.baseUrl = new URL("../api", new URL(".", page)).href;
    this.client = createClient({ baseUrl: this.baseUrl, token, ...(organization && { organization }) });
  }

  async list(query: FilterQuery, page: number, perPage: number, signal: AbortSignal): Promise<Page> {
    const json = readBytes(await this.client.http.GET("/audit-logs", { params: { query: { ...query, page, per_page: perPage } }, parseAs: "arrayBuffer", signal }));
    return { json, entries: itemsAt(json, "items").map(entryOf), total: numberAt(json, "total"), page: numberAt(json, "page"), perPage: numberAt(json, "perPage") };
  }

  async entry(id: string, signal: AbortSignal): Promise<Entry> {
    if (id === "." || id === "..") throw new Error(`No entry can have the id ${id}.`); // fetch would ask for another path
    return entryOf(readBytes(await this.client.http.GET("/audit-logs/entries/{id}", { params: { path: { id } }, parseAs: "arrayBuffer", signal })));
  }

  async proof(id: string, signal: AbortSignal): Promise<Uint8Array> {
    const { data } = await this.client.http.GET("/audit-logs/entries/{id}/proof", { params: { path: { id } }, parseAs: "arrayBuffer", signal });
    return new Uint8Array(data!);
  }

  /** The lines of the verifier keys. */
  async keys(signal: AbortSignal): Promise<string[]> {
    return (await this.client.listAuditLogKeys({ signal })).items.map(({ key }) => key);
  }

  /** The admin trail, as `check` asks for its proofs and keys. */
  readonly ofAdmin = {
    proof: async (id: string, signal: AbortSignal): Promise<Uint8Array> => {
      const { data } = await this.client.http.GET("/admin/audit-logs/entries/{id}/proof", { params: { path: { id } }, parseAs: "arrayBuffer", signal });
      return new Uint8Array(data!);
    },
    keys: async (signal: AbortSignal): Promise<string[]> => (await this.client.listAdminAuditLogKeys({ signal })).items.map(({ key }) => key),
  };

  histogram(query: FilterQuery, buckets: number, signal: AbortSignal): Promise<AuditLogHistogram> {
    return this.client.getAuditLogHistogram({ ...query, buckets }, { signal });
  }

  facets(query: FilterQuery, field: Field, signal: AbortSignal): Promise<AuditLogFacetList> {
    return this.client.listAuditLogFacets({ ...query, field }, { signal });
  }

  async values(field: Field, prefix: string, signal: AbortSignal): Promise<string[]> {
    return (await this.client.listAuditLogValues({ field, ...(prefix && { prefix }) }, { signal })).items;
  }

  async admin(query: AdminListQuery, signal: AbortSignal): Promise<AdminPage> {
    const json = readBytes(await this.client.http.GET("/admin/audit-logs", { params: { query }, parseAs: "arrayBuffer", signal }));
    return { logs: itemsAt(json, "logs"), total: numberAt(json, "total") };
  }

  export(query: ExportQuery, signal: AbortSignal): Promise<ExportStream> {
    return this.client.streamAuditLogs(query, { signal });
  }

  /** One connection to the live trail, from behind an event's id. The client's own tail would read numbers as doubles. */
  async tail(query: FilterQuery, lastId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<ServerEvent>> {
    const header = lastId === undefined ? {} : { "Last-Event-ID": Number(lastId) };
    const { data } = await this.client.http.GET("/audit-logs/tail", { params: { query, header }, parseAs: "stream", signal });
    return parseEvents(texts(data!));
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
