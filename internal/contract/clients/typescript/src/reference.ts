/**
 * reference.js: the four operations of the customer's reference, called by a client that is
 * generated from the reference alone and knows nothing of ours. `reference.gen.ts` comes from
 * internal/testkit/reference.yaml and is made anew for each check.
 */
import createClient from "openapi-fetch";
import type { components, paths } from "./reference.gen.js";

type AuditLog = components["schemas"]["AuditLog"];

const base = `${process.env["OCORE_AUDIT_URL"] ?? ""}/api`;
const client = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${process.env["TOKEN"] ?? ""}` } });
const run = `ref${Date.now().toString(36)}`;

// The reference can't record, so the entries come by plain calls.
for (const [id, resourceId] of [["1", "web 1"], ["2", "web/2"]] as const) {
  await record("/audit-logs", { id: `${run}-${id}`, action: `${run}.updated`, resourceType: "server", resourceId, userId: run, userName: "Ada", beforeState: { a: 1 }, afterState: { a: 2 } });
}
await record("/admin/audit-logs", { id: `${run}-a`, action: `${run}.granted`, details: { to: run } });

const now = new Date();
const window = { start_date: new Date(now.getTime() - 3_600_000).toISOString(), end_date: new Date(now.getTime() + 3_600_000).toISOString() };
const checks: [string, () => Promise<boolean>][] = [
  ["list with the sample call's zeros", async () => {
    const { data } = await client.GET("/audit-logs", { params: { query: { page: 0, per_page: 0, user_id: run } } });
    return data?.page === 1 && data.perPage === 20 && data.total === 2 && ids(data.items) === "2 1" && data.items?.[0]?.userName === "Ada" && typeof data.items[0].createdAt === "string";
  }],
  ["list with every filter", async () => {
    const query = { page: 1, per_page: 10, resource_type: "server", resource_id: "web/2", action: `${run}.updated`, user_id: run, ...window };
    const { data } = await client.GET("/audit-logs", { params: { query } });
    return data?.total === 1 && ids(data.items) === "2" && data.items?.[0]?.beforeState?.["a"] === 1 && data.items[0].afterState?.["a"] === 2;
  }],
  ["export as JSON", async () => {
    const { data } = await client.GET("/audit-logs/export", { params: { query: { format: "json", resource_type: "server", action: `${run}.updated`, ...window } } });
    return data?.total === 2 && ids(data.items) === "2 1";
  }],
  ["export as CSV", async () => {
    const { data } = await client.GET("/audit-logs/export", { params: { query: { format: "csv", action: `${run}.updated` } }, parseAs: "text" });
    return data !== undefined && data.startsWith("action,afterState,beforeState,createdAt,id,ipAddress,resourceId,resourceName,resourceType,userAgent,userId,userName,") && data.split("\r\n").length === 4;
  }],
  ["a resource's history", async () => {
    const { data } = await client.GET("/audit-logs/resource/{type}/{id}", { params: { path: { type: "server", id: "web/2" }, query: { page: 0, per_page: 0 } } });
    return data?.page === 1 && data.items?.[0]?.id === `${run}-2` && data.items[0].resourceId === "web/2";
  }],
  ["list admin entries", async () => {
    const { data } = await client.GET("/admin/audit-logs", { params: { query: { page: 0, limit: 0, action: `${run}.granted`, search: run } } });
    return data?.total === 1 && data.logs?.[0]?.["id"] === `${run}-a`;
  }],
];

let failed = 0;
for (const [name, check] of checks) {
  const held = await check();
  if (!held) failed++;
  console.log(`${held ? "ok  " : "FAIL"} reference: ${name}`);
}
console.log(`reference: ${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function ids(items: AuditLog[] | undefined): string {
  return (items ?? []).map(({ id }) => id?.replace(`${run}-`, "")).join(" ");
}

async function record(path: string, body: unknown): Promise<void> {
  const headers = { Authorization: `Bearer ${process.env["TOKEN"] ?? ""}`, "Content-Type": "application/json" };
  const answer = await fetch(base + path, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
}
