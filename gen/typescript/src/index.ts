/**
 * Client of the oCore Audit API. Types and paths come from `openapi.yaml` by way of
 * `schema.ts`, which is generated and never edited. This file adds what a generator does
 * badly: a source of tokens, problems as one typed error, walks by cursor, and exports that
 * stream. A new operation gets a method of its own name in `createClient` and nothing else.
 */
import createFetchClient, { type Client as FetchClient, type Middleware } from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

export type { components, operations, paths };

type Schemas = components["schemas"];
export type AuditLog = Schemas["AuditLog"];
export type NewAuditLog = Schemas["NewAuditLog"];
export type AuditLogList = Schemas["AuditLogList"];
export type AuditLogExport = Schemas["AuditLogExport"];
export type AuditLogReceipt = Schemas["AuditLogReceipt"];
export type AuditLogReceiptList = Schemas["AuditLogReceiptList"];
export type AdminAuditLog = Schemas["AdminAuditLog"];
export type NewAdminAuditLog = Schemas["NewAdminAuditLog"];
export type AdminAuditLogList = Schemas["AdminAuditLogList"];
export type AdminAuditLogProof = Schemas["AdminAuditLogProof"];
export type AuditLogProof = Schemas["AuditLogProof"];
export type AuditLogCheckpoint = Schemas["AuditLogCheckpoint"];
export type AuditLogConsistency = Schemas["AuditLogConsistency"];
export type AuditLogKeyList = Schemas["AuditLogKeyList"];
export type AuditLogField = Schemas["AuditLogField"];
export type AuditLogHistogram = Schemas["AuditLogHistogram"];
export type AuditLogFacetList = Schemas["AuditLogFacetList"];
export type AuditLogValueList = Schemas["AuditLogValueList"];
export type ExportFormat = Schemas["ExportFormat"];
export type Problem = Schemas["Problem"];
export type ProblemFault = Schemas["ProblemFault"];

type Query<Operation extends keyof operations> = NonNullable<operations[Operation]["parameters"]["query"]>;
export type ListQuery = Query<"listAuditLogs">;
export type ResourceQuery = Query<"listResourceAuditLogs">;
export type AdminListQuery = Query<"listAdminAuditLogs">;
export type HistogramQuery = Query<"getAuditLogHistogram">;
export type FacetQuery = Query<"listAuditLogFacets">;
export type ValueQuery = Query<"listAuditLogValues">;
export type TailQuery = Query<"tailAuditLogs">;
export type ExportQuery = Query<"exportAuditLogs">;
export type ConsistencyQuery = Query<"getAuditLogConsistency">;

/** A bearer token, or what fetches one: it is asked before each request, so keep the token there until it runs out. */
export type TokenSource = string | (() => string | Promise<string>);

export interface Options {
  /** Where the API is, `/api` included: `https://audit.acme.example/api`. */
  baseUrl: string;
  token: TokenSource;
  /** Sent as `X-Org-Slug`; required where the token names several organizations. */
  organization?: string;
  /** Instead of the platform's own `fetch`. */
  fetch?: (request: Request) => Promise<Response>;
}

/**
 * An event of a tail. `id` is the position up to which the trail is dealt with: hand the last one
 * to the next tail as `lastEventId`, and nothing is missed or repeated.
 */
export type TailEvent =
  | { event: "entry"; id: number; data: AuditLog }
  | { event: "at"; id: number; data: { next: number; size: number } }
  | { event: "end"; id?: undefined; data: { reason: string; next: number } };

/** What each call takes beside its own arguments. */
export interface CallOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** Every answer that isn't a success: the service's problem document, or one made of the status where a proxy answered. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly problem: Problem,
    /** The answer itself, for its headers; its body has been read. */
    readonly response: Response,
  ) {
    super(`${problem.status} ${problem.detail ?? problem.title} (request ${problem.requestId || "unknown"})`);
  }

  get status(): number {
    return this.problem.status;
  }

  /** The last segment of the problem's type: `conflict`, `unprocessable-content`, … */
  get kind(): string {
    return this.problem.type.slice(this.problem.type.lastIndexOf("/") + 1);
  }

  /** The seconds that the service asks to wait before the next attempt. */
  get retryAfter(): number | undefined {
    const seconds = Number(this.response.headers.get("Retry-After") ?? NaN);
    return Number.isFinite(seconds) ? seconds : undefined;
  }
}

/** An export as it arrives. Reading `body` fails where the answer was cut off: only a body that ended is whole. */
export interface ExportStream {
  body: ReadableStream<Uint8Array>;
  /** How many entries match. */
  total: number;
  /** Whether more match than are sent. */
  truncated: boolean;
  /** The cursor that goes on where a truncated export ends. */
  nextCursor: string | undefined;
}

export interface Client {
  /** Every operation by its path, with the whole answer. It throws `ProblemError` too, so `error` is never set. */
  readonly http: FetchClient<paths>;

  createAuditLog(entry: NewAuditLog, options?: CallOptions): Promise<AuditLog>;
  createAuditLogBatch(items: NewAuditLog[], options?: CallOptions): Promise<AuditLogReceiptList>;
  getAuditLog(id: string, options?: CallOptions): Promise<AuditLog>;
  /** To keep a proof as evidence take `http.GET(…, { parseAs: "text" })`: numbers of a parsed one may have lost digits. */
  getAuditLogProof(id: string, options?: CallOptions): Promise<AuditLogProof>;
  getAuditLogCheckpoint(options?: CallOptions): Promise<AuditLogCheckpoint>;
  getAuditLogConsistency(query: ConsistencyQuery, options?: CallOptions): Promise<AuditLogConsistency>;
  listAuditLogKeys(options?: CallOptions): Promise<AuditLogKeyList>;
  listAuditLogs(query?: ListQuery, options?: CallOptions): Promise<AuditLogList>;
  listResourceAuditLogs(type: string, id: string, query?: ResourceQuery, options?: CallOptions): Promise<AuditLogList>;
  exportAuditLogs(query?: Omit<ExportQuery, "format">, options?: CallOptions): Promise<AuditLogExport>;
  getAuditLogHistogram(query?: HistogramQuery, options?: CallOptions): Promise<AuditLogHistogram>;
  listAuditLogFacets(query?: FacetQuery, options?: CallOptions): Promise<AuditLogFacetList>;
  listAuditLogValues(query?: ValueQuery, options?: CallOptions): Promise<AuditLogValueList>;
  createAdminAuditLog(entry: NewAdminAuditLog, options?: CallOptions): Promise<AdminAuditLog>;
  listAdminAuditLogs(query?: AdminListQuery, options?: CallOptions): Promise<AdminAuditLogList>;
  getAdminAuditLogProof(id: string, options?: CallOptions): Promise<AdminAuditLogProof>;
  listAdminAuditLogKeys(options?: CallOptions): Promise<AuditLogKeyList>;

  /** The export in either format without holding it in memory. */
  streamAuditLogs(query?: ExportQuery, options?: CallOptions): Promise<ExportStream>;

  /** One connection to the tail, event by event. A stream that ends without `end` was cut; go on with the last `id`. */
  tailAuditLogs(query?: TailQuery, options?: CallOptions & { lastEventId?: number | undefined }): AsyncGenerator<TailEvent, void, undefined>;

  /** Every entry that matches, newest first, by cursor: entries recorded meanwhile neither shift nor repeat any. */
  walkAuditLogs(query?: Omit<ListQuery, "page">, options?: CallOptions): AsyncGenerator<AuditLog, void, undefined>;
  walkResourceAuditLogs(type: string, id: string, query?: Omit<ResourceQuery, "page">, options?: CallOptions): AsyncGenerator<AuditLog, void, undefined>;
  walkAdminAuditLogs(query?: Omit<AdminListQuery, "page">, options?: CallOptions): AsyncGenerator<AdminAuditLog, void, undefined>;
}

export function createClient(options: Options): Client {
  const http = createFetchClient<paths>({
    baseUrl: options.baseUrl,
    ...(options.fetch && { fetch: options.fetch }),
    ...(options.organization !== undefined && { headers: { "X-Org-Slug": options.organization } }),
  });
  http.use(authorize(options.token), throwProblems);

  const client: Client = {
    http,
    createAuditLog: async (body, call) => dataOf(await http.POST("/audit-logs", { ...call, body })),
    createAuditLogBatch: async (items, call) => dataOf(await http.POST("/audit-logs/batch", { ...call, body: { items } })),
    getAuditLog: async (id, call) => dataOf(await http.GET("/audit-logs/entries/{id}", { ...call, params: { path: { id } } })),
    getAuditLogProof: async (id, call) => dataOf(await http.GET("/audit-logs/entries/{id}/proof", { ...call, params: { path: { id } } })),
    getAuditLogCheckpoint: async (call) => dataOf(await http.GET("/audit-logs/checkpoint", { ...call })),
    getAuditLogConsistency: async (query, call) => dataOf(await http.GET("/audit-logs/consistency", { ...call, params: { query } })),
    listAuditLogKeys: async (call) => dataOf(await http.GET("/audit-logs/keys", { ...call })),
    listAuditLogs: async (query = {}, call) => dataOf(await http.GET("/audit-logs", { ...call, params: { query } })),
    listResourceAuditLogs: async (type, id, query = {}, call) =>
      dataOf(await http.GET("/audit-logs/resource/{type}/{id}", { ...call, params: { path: { type, id }, query } })),
    // The document gives this answer two media types; without `format` it is the first, JSON.
    exportAuditLogs: async (query = {}, call) => dataOf(await http.GET("/audit-logs/export", { ...call, params: { query } })) as AuditLogExport,
    getAuditLogHistogram: async (query = {}, call) => dataOf(await http.GET("/audit-logs/histogram", { ...call, params: { query } })),
    listAuditLogFacets: async (query = {}, call) => dataOf(await http.GET("/audit-logs/facets", { ...call, params: { query } })),
    listAuditLogValues: async (query = {}, call) => dataOf(await http.GET("/audit-logs/values", { ...call, params: { query } })),
    createAdminAuditLog: async (body, call) => dataOf(await http.POST("/admin/audit-logs", { ...call, body })),
    listAdminAuditLogs: async (query = {}, call) => dataOf(await http.GET("/admin/audit-logs", { ...call, params: { query } })),
    getAdminAuditLogProof: async (id, call) => dataOf(await http.GET("/admin/audit-logs/entries/{id}/proof", { ...call, params: { path: { id } } })),
    listAdminAuditLogKeys: async (call) => dataOf(await http.GET("/admin/audit-logs/keys", { ...call })),

    streamAuditLogs: async (query = {}, call) => {
      const { data, response } = await http.GET("/audit-logs/export", { ...call, params: { query }, parseAs: "stream" });
      return {
        body: dataOf({ data }) as ReadableStream<Uint8Array>,
        total: Number(response.headers.get("X-Total-Count")),
        truncated: response.headers.get("X-Truncated") === "true",
        nextCursor: cursorOf(response),
      };
    },

    async *tailAuditLogs(query = {}, { lastEventId, ...call } = {}) {
      const header = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
      const { data } = await http.GET("/audit-logs/tail", { ...call, params: { query, header }, parseAs: "stream" });
      yield* events(dataOf({ data }) as ReadableStream<Uint8Array>);
    },

    walkAuditLogs: (query, call) =>
      walk(query, async (next) => {
        const page = await client.listAuditLogs(next, call);
        return [page.items, page.nextCursor];
      }),
    walkResourceAuditLogs: (type, id, query, call) =>
      walk(query, async (next) => {
        const page = await client.listResourceAuditLogs(type, id, next, call);
        return [page.items, page.nextCursor];
      }),
    walkAdminAuditLogs: (query, call) =>
      walk(query, async (next) => {
        const page = await client.listAdminAuditLogs(next, call);
        return [page.logs, page.nextCursor];
      }),
  };
  return client;
}

/** Reads whole events (HTML, section 9.2, as the service writes them); part of one at the end is dropped. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<TailEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true });
      const whole = text.split("\n\n");
      text = whole.pop() ?? "";
      for (const event of whole) {
        const fields = new Map(event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
        const [kind, id, data] = [fields.get("event"), fields.get("id"), fields.get("data")];
        if (kind === undefined || data === undefined) continue;
        yield { event: kind, ...(id !== undefined && { id: Number(id) }), data: JSON.parse(data) as unknown } as TailEvent;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function* walk<Query extends { cursor?: string }, Entry>(
  query: Query | undefined,
  page: (query: Query) => Promise<[Entry[], string | undefined]>,
): AsyncGenerator<Entry, void, undefined> {
  let cursor = query?.cursor;
  do {
    const [entries, next] = await page({ ...query, ...(cursor !== undefined && { cursor }) } as Query);
    yield* entries;
    cursor = next;
  } while (cursor !== undefined);
}

function authorize(source: TokenSource): Middleware {
  return {
    async onRequest({ request }) {
      const token = typeof source === "string" ? source : await source();
      request.headers.set("Authorization", `Bearer ${token}`);
    },
  };
}

const throwProblems: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw new ProblemError(await problemOf(response), response);
  },
};

async function problemOf(response: Response): Promise<Problem> {
  const unknown: Problem = {
    type: "about:blank",
    title: response.statusText || `Status ${response.status}`,
    status: response.status,
    requestId: response.headers.get("X-Request-Id") ?? "",
  };
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) return unknown;
  try {
    return { ...unknown, ...((await response.json()) as Problem) };
  } catch {
    return unknown;
  }
}

function dataOf<Data>(answer: { data?: Data | undefined }): NonNullable<Data> {
  if (answer.data === undefined || answer.data === null) throw new TypeError("the answer has no body");
  return answer.data;
}

function cursorOf(response: Response): string | undefined {
  const link = response.headers.get("Link")?.match(/<([^>]*)>\s*;\s*rel="next"/)?.[1];
  return link === undefined ? undefined : (new URL(link, "http://localhost").searchParams.get("cursor") ?? undefined);
}
