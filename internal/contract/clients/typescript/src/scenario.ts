/**
 * Plays the scenario of internal/contract through @ocore/audit, in Node and in a browser
 * alike. `call` maps an operation to the client's method; everything else knows no operation.
 */
import { createClient, ProblemError, type Client, type AdminListQuery, type ConsistencyQuery, type ExportQuery, type FacetQuery, type HistogramQuery, type ListQuery, type TailEvent, type TailQuery, type ValueQuery, type NewAdminAuditLog, type NewAuditLog } from "@ocore/audit";
import { parse } from "csv-parse/sync";

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Values = { [key: string]: Json };

export interface Scenario {
  variables: Values;
  steps: Step[];
}

interface Step {
  name: string;
  as?: string;
  call: string;
  walk?: boolean;
  contentType?: string;
  arguments?: Values;
  body?: Json;
  expect: {
    status: number;
    problem?: string;
    headers?: Values;
    equal?: Values;
    present?: string[];
    length?: Record<string, number>;
    ids?: Json[];
    instant?: Values;
    save?: Record<string, string>;
  };
}

interface Answer {
  status: number;
  headers: Headers;
  problem: string | undefined;
  value: Json;
}

/** Returns how many steps failed. */
export async function play(scenario: Scenario, environment: Record<string, string | undefined>, client: string, log: (line: string) => void): Promise<number> {
  const saved: Values = { run: client.slice(0, 2) + Date.now().toString(36) };
  for (const [name, value] of Object.entries(scenario.variables)) saved[name] = expand(value, saved);
  let failed = 0;
  for (const step of scenario.steps) {
    try {
      const holder = step.as ?? "TOKEN";
      hold(step, await answer(step, environment["OCORE_AUDIT_URL"] + "/api", environment[holder] ?? holder, saved), saved);
      log(`ok   ${client}: ${step.name}`);
    } catch (error) {
      failed++;
      log(`FAIL ${client}: ${step.name}: ${String(error)}`);
    }
  }
  log(`${client}: ${scenario.steps.length - failed} passed, ${failed} failed`);
  return failed;
}

async function answer(step: Step, baseUrl: string, token: string, saved: Values): Promise<Answer> {
  let response = new Response();
  const { "X-Org-Slug": organization, ...given } = expand(step.arguments ?? {}, saved) as Values;
  const client = createClient({
    baseUrl,
    token: async () => token,
    ...(typeof organization === "string" && { organization }),
    fetch: async (request) => (response = await fetch(request)),
  });
  const headers = step.contentType === undefined ? {} : { "Content-Type": step.contentType };
  try {
    const value = step.walk ? await walk(client, step, given) : await call(client, step, given, expand(step.body ?? null, saved), headers);
    return { status: response.status, headers: response.headers, problem: undefined, value: plain(value) };
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return { status: error.status, headers: error.response.headers, problem: error.kind, value: plain(error.problem) };
  }
}

async function call(client: Client, step: Step, given: Values, body: Json, headers: Record<string, string>): Promise<unknown> {
  const { id, type, ...query } = given;
  switch (step.call) {
    case "createAuditLog":
      return client.createAuditLog(body as unknown as NewAuditLog, { headers });
    case "createAuditLogBatch":
      return client.createAuditLogBatch((body as { items: Json }).items as unknown as NewAuditLog[]);
    case "getAuditLog":
      return client.getAuditLog(String(id));
    case "getAuditLogProof":
      return client.getAuditLogProof(String(id));
    case "getAuditLogCheckpoint":
      return client.getAuditLogCheckpoint();
    case "getAuditLogConsistency":
      return client.getAuditLogConsistency(query as unknown as ConsistencyQuery);
    case "listAuditLogKeys":
      return client.listAuditLogKeys();
    case "listAuditLogs":
      return client.listAuditLogs(query as ListQuery);
    case "listResourceAuditLogs":
      return client.listResourceAuditLogs(String(type), String(id), query as ListQuery);
    case "exportAuditLogs":
      if (query["format"] !== "csv") return client.exportAuditLogs(query as ExportQuery);
      return rows(await text((await client.streamAuditLogs(query as ExportQuery)).body));
    case "getAuditLogHistogram":
      return client.getAuditLogHistogram(query as HistogramQuery);
    case "listAuditLogFacets":
      return client.listAuditLogFacets(query as FacetQuery);
    case "listAuditLogValues":
      return client.listAuditLogValues(query as ValueQuery);
    case "tailAuditLogs":
      return events(client.tailAuditLogs(query as TailQuery));
    case "createAdminAuditLog":
      return client.createAdminAuditLog(body as unknown as NewAdminAuditLog);
    case "listAdminAuditLogs":
      return client.listAdminAuditLogs(query as AdminListQuery);
    case "getAdminAuditLogProof":
      return client.getAdminAuditLogProof(String(id));
    case "listAdminAuditLogKeys":
      return client.listAdminAuditLogKeys();
  }
  throw new Error(`no operation ${step.call}`);
}

async function walk(client: Client, step: Step, given: Values): Promise<unknown> {
  const { id, type, ...query } = given;
  switch (step.call) {
    case "listAuditLogs":
      return { items: await collect(client.walkAuditLogs(query as ListQuery)) };
    case "listResourceAuditLogs":
      return { items: await collect(client.walkResourceAuditLogs(String(type), String(id), query as ListQuery)) };
    case "listAdminAuditLogs":
      return { logs: await collect(client.walkAdminAuditLogs(query as AdminListQuery)) };
  }
  throw new Error(`no walk of ${step.call}`);
}

/** A tail's entries as the items of an object, and its end as a member. */
async function events(tail: AsyncIterable<TailEvent>): Promise<unknown> {
  const all = [];
  for await (const event of tail) all.push(event);
  return {
    items: all.filter(({ event }) => event === "entry").map(({ data }) => data),
    end: all.find(({ event }) => event === "end")?.data,
  };
}

async function collect<Entry>(entries: AsyncIterable<Entry>): Promise<Entry[]> {
  const all: Entry[] = [];
  for await (const entry of entries) {
    all.push(entry);
    if (all.length > 1000) throw new Error("the walk doesn't end");
  }
  return all;
}

async function text(body: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(body).text();
}

function rows(text: string): Json {
  const [header, ...lines] = parse(text) as string[][];
  if (header === undefined) throw new Error("no CSV");
  return { header, rows: lines.map((line) => Object.fromEntries(header.map((name, i) => [name, line[i] ?? null]))) };
}

function hold(step: Step, got: Answer, saved: Values): void {
  const { status, problem, headers, equal, present, length, ids, instant, save } = step.expect;
  if (got.status !== status || got.problem !== problem) fail(`status ${got.status} ${got.problem ?? ""}`, got.value, `${status} ${problem ?? ""}`);
  for (const [name, wanted] of Object.entries(headers ?? {})) {
    const found = got.headers.get(name);
    if (wanted === "*" ? found === null : found !== wanted) fail(name, found, wanted);
  }
  for (const [pointer, wanted] of Object.entries(equal ?? {})) {
    if (!same(at(got.value, pointer), expand(wanted, saved))) fail(pointer, at(got.value, pointer), expand(wanted, saved));
  }
  for (const pointer of present ?? []) if (at(got.value, pointer) === null) fail(pointer, null, "anything");
  for (const [pointer, wanted] of Object.entries(length ?? {})) {
    const list = at(got.value, pointer);
    if (!Array.isArray(list) || list.length !== wanted) fail(pointer, list, `${wanted} elements`);
  }
  if (ids !== undefined) {
    const list = ["/items", "/logs", "/rows"].map((member) => at(got.value, member)).find(Array.isArray) ?? [];
    const found = list.map((entry) => at(entry, "/id"));
    if (!Array.isArray(list) || !same(found, expand(ids, saved))) fail("the ids", found, expand(ids, saved));
  }
  for (const [pointer, wanted] of Object.entries(instant ?? {})) {
    if (microseconds(at(got.value, pointer)) !== microseconds(expand(wanted, saved))) fail(pointer, at(got.value, pointer), expand(wanted, saved));
  }
  for (const [name, pointer] of Object.entries(save ?? {})) saved[name] = at(got.value, pointer);
}

function fail(what: string, found: unknown, wanted: unknown): never {
  throw new Error(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}

/** Date ends at milliseconds; the digits behind them are compared too. */
function microseconds(time: Json): string {
  const [, fraction = ""] = /\.(\d+)/.exec(String(time)) ?? [];
  const seconds = Date.parse(String(time).replace(/\.\d+/, ""));
  if (Number.isNaN(seconds)) throw new Error(`${String(time)} is no time`);
  return `${seconds}.${fraction.padEnd(9, "0")}`;
}

function at(value: Json, pointer: string): Json {
  for (const part of pointer.slice(1).split("/")) {
    value = (typeof value === "object" && value !== null ? (value as Values)[part] : undefined) ?? null;
  }
  return value;
}

function same(a: Json, b: Json): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a as Values, b as Values];
  return Object.keys(left).length === Object.keys(right).length && Object.keys(left).every((key) => key in right && same(left[key] ?? null, right[key] ?? null));
}

/** Puts in what was saved. A text that is one variable takes its value's type. */
function expand(value: Json, saved: Values): Json {
  if (Array.isArray(value)) return value.map((element) => expand(element, saved));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, expand(member, saved)]));
  }
  if (typeof value !== "string") return value;
  const whole = /^\$\{(\w+)\}$/.exec(value)?.[1];
  if (whole !== undefined) {
    const found = saved[whole];
    if (found === undefined || found === null) throw new Error(`nothing was saved as ${whole}`);
    return found;
  }
  return value
    .replace(/\$\{x\*(\d+)\}/g, (_, count: string) => "x".repeat(Number(count)))
    .replace(/\$\{(\w+)\}/g, (_, name: string) => String(saved[name]));
}

function plain(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
