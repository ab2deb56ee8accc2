/**
 * Client of the oCore Audit API. Types and paths come from `openapi.yaml` by way of
 * `schema.ts`, which is generated and never edited. This file adds what a generator does
 * badly: a source of tokens, problems as one typed error, walks by cursor, and exports that
 * stream. A new operation gets a method of its own name in `createClient` and nothing else.
 */
import createFetchClient, {} from "openapi-fetch";
/** Every answer that isn't a success: the service's problem document, or one made of the status where a proxy answered. */
export class ProblemError extends Error {
    problem;
    response;
    name = "ProblemError";
    constructor(problem, 
    /** The answer itself, for its headers; its body has been read. */
    response) {
        super(`${problem.status} ${problem.detail ?? problem.title} (request ${problem.requestId || "unknown"})`);
        this.problem = problem;
        this.response = response;
    }
    get status() {
        return this.problem.status;
    }
    /** The last segment of the problem's type: `conflict`, `unprocessable-content`, … */
    get kind() {
        return this.problem.type.slice(this.problem.type.lastIndexOf("/") + 1);
    }
    /** The seconds that the service asks to wait before the next attempt. */
    get retryAfter() {
        const seconds = Number(this.response.headers.get("Retry-After") ?? NaN);
        return Number.isFinite(seconds) ? seconds : undefined;
    }
}
export function createClient(options) {
    const http = createFetchClient({
        baseUrl: options.baseUrl,
        ...(options.fetch && { fetch: options.fetch }),
        ...(options.organization !== undefined && { headers: { "X-Org-Slug": options.organization } }),
    });
    http.use(authorize(options.token), throwProblems);
    const client = {
        http,
        createAuditLog: async (body, call) => dataOf(await http.POST("/audit-logs", { ...call, body })),
        createAuditLogBatch: async (items, call) => dataOf(await http.POST("/audit-logs/batch", { ...call, body: { items } })),
        getAuditLog: async (id, call) => dataOf(await http.GET("/audit-logs/entries/{id}", { ...call, params: { path: { id } } })),
        getAuditLogProof: async (id, call) => dataOf(await http.GET("/audit-logs/entries/{id}/proof", { ...call, params: { path: { id } } })),
        getAuditLogCheckpoint: async (call) => dataOf(await http.GET("/audit-logs/checkpoint", { ...call })),
        getAuditLogConsistency: async (query, call) => dataOf(await http.GET("/audit-logs/consistency", { ...call, params: { query } })),
        listAuditLogKeys: async (call) => dataOf(await http.GET("/audit-logs/keys", { ...call })),
        listAuditLogs: async (query = {}, call) => dataOf(await http.GET("/audit-logs", { ...call, params: { query } })),
        listResourceAuditLogs: async (type, id, query = {}, call) => dataOf(await http.GET("/audit-logs/resource/{type}/{id}", { ...call, params: { path: { type, id }, query } })),
        // The document gives this answer two media types; without `format` it is the first, JSON.
        exportAuditLogs: async (query = {}, call) => dataOf(await http.GET("/audit-logs/export", { ...call, params: { query } })),
        createAdminAuditLog: async (body, call) => dataOf(await http.POST("/admin/audit-logs", { ...call, body })),
        listAdminAuditLogs: async (query = {}, call) => dataOf(await http.GET("/admin/audit-logs", { ...call, params: { query } })),
        streamAuditLogs: async (query = {}, call) => {
            const { data, response } = await http.GET("/audit-logs/export", { ...call, params: { query }, parseAs: "stream" });
            return {
                body: dataOf({ data }),
                total: Number(response.headers.get("X-Total-Count")),
                truncated: response.headers.get("X-Truncated") === "true",
                nextCursor: cursorOf(response),
            };
        },
        walkAuditLogs: (query, call) => walk(query, async (next) => {
            const page = await client.listAuditLogs(next, call);
            return [page.items, page.nextCursor];
        }),
        walkResourceAuditLogs: (type, id, query, call) => walk(query, async (next) => {
            const page = await client.listResourceAuditLogs(type, id, next, call);
            return [page.items, page.nextCursor];
        }),
        walkAdminAuditLogs: (query, call) => walk(query, async (next) => {
            const page = await client.listAdminAuditLogs(next, call);
            return [page.logs, page.nextCursor];
        }),
    };
    return client;
}
async function* walk(query, page) {
    let cursor = query?.cursor;
    do {
        const [entries, next] = await page({ ...query, ...(cursor !== undefined && { cursor }) });
        yield* entries;
        cursor = next;
    } while (cursor !== undefined);
}
function authorize(source) {
    return {
        async onRequest({ request }) {
            const token = typeof source === "string" ? source : await source();
            request.headers.set("Authorization", `Bearer ${token}`);
        },
    };
}
const throwProblems = {
    async onResponse({ response }) {
        if (!response.ok)
            throw new ProblemError(await problemOf(response), response);
    },
};
async function problemOf(response) {
    const unknown = {
        type: "about:blank",
        title: response.statusText || `Status ${response.status}`,
        status: response.status,
        requestId: response.headers.get("X-Request-Id") ?? "",
    };
    if (!response.headers.get("Content-Type")?.startsWith("application/problem+json"))
        return unknown;
    try {
        return { ...unknown, ...(await response.json()) };
    }
    catch {
        return unknown;
    }
}
function dataOf(answer) {
    if (answer.data === undefined || answer.data === null)
        throw new TypeError("the answer has no body");
    return answer.data;
}
function cursorOf(response) {
    const link = response.headers.get("Link")?.match(/<([^>]*)>\s*;\s*rel="next"/)?.[1];
    return link === undefined ? undefined : (new URL(link, "http://localhost").searchParams.get("cursor") ?? undefined);
}
