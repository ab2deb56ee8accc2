/**
 * What the page shows, as its address says it, so that a link shows a colleague the same.
 * Names and values are those of the API's parameters. Never in it: the token.
 */
import type { ListQuery } from "@ocore/audit";
import { type Preset, presets, since } from "./time.js";

export const fields = ["action", "resource_type", "resource_id", "user_id"] as const;
export type Field = (typeof fields)[number];

export const fieldNames: Record<Field, string> = { action: "Action", resource_type: "Resource type", resource_id: "Resource id", user_id: "User id" };

export type Range =
  | { readonly kind: "all" }
  | { readonly kind: "last"; readonly preset: Preset }
  | { readonly kind: "between"; readonly start?: string; readonly end?: string };

export interface Filter {
  readonly include: Readonly<Partial<Record<Field, string>>>;
  readonly exclude: Readonly<Partial<Record<Field, readonly string[]>>>;
  readonly range: Range;
}

export const tabs = { trail: "Trail", tail: "Live", admin: "Admin trail" } as const;
export type Tab = keyof typeof tabs;

export interface State {
  readonly tab: Tab;
  readonly filter: Filter;
  readonly page: number;
  readonly perPage: number;
  readonly entry: string | undefined;
  readonly organization: string | undefined;
  readonly columns: readonly string[] | undefined;
  readonly adminAction: string;
  readonly adminSearch: string;
}

export const everything: Filter = { include: {}, exclude: {}, range: { kind: "all" } };
export const start: State = {
  tab: "trail", filter: everything, page: 1, perPage: 50, entry: undefined,
  organization: undefined, columns: undefined, adminAction: "", adminSearch: "",
};

export const pageSizes = [20, 50, 100, 200];

export function readState(search: string): State {
  const query = new URLSearchParams(search);
  const include: Partial<Record<Field, string>> = {};
  const exclude: Partial<Record<Field, string[]>> = {};
  for (const field of fields) {
    const value = query.get(field);
    if (value) include[field] = value;
    const values = query.getAll(`exclude_${field}`).filter(Boolean);
    if (values.length) exclude[field] = values;
  }
  const whole = (name: string, otherwise: number) => {
    const value = Number(query.get(name));
    return Number.isSafeInteger(value) && value > 0 ? value : otherwise;
  };
  const perPage = whole("per_page", start.perPage);
  return {
    tab: Object.hasOwn(tabs, query.get("tab") ?? "") ? (query.get("tab") as Tab) : "trail",
    filter: { include, exclude, range: readRange(query) },
    page: whole("page", 1),
    perPage: pageSizes.includes(perPage) ? perPage : start.perPage,
    entry: query.get("entry") || undefined,
    organization: query.get("org") || undefined,
    columns: query.get("columns")?.split(",") || undefined,
    adminAction: query.get("admin_action") ?? "",
    adminSearch: query.get("admin_search") ?? "",
  };
}

function readRange(query: URLSearchParams): Range {
  const last = query.get("last") ?? "";
  if (Object.hasOwn(presets, last)) return { kind: "last", preset: last as Preset };
  const [from, to] = ["start_date", "end_date"].map((name) => query.get(name) || undefined);
  if (!from && !to) return { kind: "all" };
  return { kind: "between", ...(from && { start: from }), ...(to && { end: to }) };
}

/** writeState is the query of the page's address: only what isn't as at the start. */
export function writeState(state: State): string {
  const query = new URLSearchParams();
  const set = (name: string, value: string | undefined, otherwise = "") => {
    if (value !== undefined && value !== otherwise) query.set(name, value);
  };
  set("tab", state.tab, start.tab);
  set("org", state.organization);
  for (const field of fields) {
    set(field, state.filter.include[field]);
    for (const value of state.filter.exclude[field] ?? []) query.append(`exclude_${field}`, value);
  }
  const { range } = state.filter;
  if (range.kind === "last") set("last", range.preset);
  if (range.kind === "between") {
    set("start_date", range.start);
    set("end_date", range.end);
  }
  set("page", String(state.page), "1");
  set("per_page", String(state.perPage), String(start.perPage));
  set("columns", state.columns?.join());
  set("admin_action", state.adminAction);
  set("admin_search", state.adminSearch);
  set("entry", state.entry);
  const text = query.toString();
  return text ? `?${text}` : "";
}

export type FilterQuery = Omit<ListQuery, "page" | "per_page" | "cursor">;

/** toQuery says a filter to the API; what is relative is counted back from now. */
export function toQuery(filter: Filter, now: number): FilterQuery {
  const query: Record<string, string | readonly string[]> = { ...filter.include };
  for (const field of fields) {
    const values = filter.exclude[field];
    if (values?.length) query[`exclude_${field}`] = values;
  }
  const { range } = filter;
  if (range.kind === "last") query["start_date"] = since(range.preset, now);
  if (range.kind === "between") {
    if (range.start) query["start_date"] = range.start;
    if (range.end) query["end_date"] = range.end;
  }
  return query as FilterQuery;
}

/** The same query as part of an address. */
export function toSearch(query: Record<string, unknown>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) search.append(name, String(one));
  }
  return search.toString();
}

/** only narrows a filter to a value of a field, which it no longer excludes. */
export function only(filter: Filter, field: Field, value: string): Filter {
  return { ...filter, include: { ...filter.include, [field]: value }, exclude: { ...filter.exclude, [field]: without(filter.exclude[field], value) } };
}

/** not excludes a value of a field, which is no longer the only one. */
export function not(filter: Filter, field: Field, value: string): Filter {
  const { [field]: included, ...rest } = filter.include;
  return {
    ...filter,
    include: included === value ? rest : filter.include,
    exclude: { ...filter.exclude, [field]: [...without(filter.exclude[field], value), value] },
  };
}

/** neither takes a value's filters away. */
export function neither(filter: Filter, field: Field, value: string): Filter {
  const { [field]: included, ...rest } = filter.include;
  return { ...filter, include: included === value ? rest : filter.include, exclude: { ...filter.exclude, [field]: without(filter.exclude[field], value) } };
}

const without = (values: readonly string[] = [], value: string) => values.filter((one) => one !== value);

/** What the page ships with: the customer's vocabulary, a filter each. */
export const views: readonly { readonly group: string; readonly name: string; readonly filter: Filter }[] = (
  [
    ["Security", "Failed logins", "auth.login_failed"],
    ["Security", "Permission changes", "member.role_changed"],
    ["Security", "Password resets", "auth.password_reset"],
    ["Deletions", "Deleted servers", "server.deleted"],
    ["Deletions", "Deleted instances", "instance.deleted"],
    ["Deletions", "Removed members", "member.removed"],
    ["Deployments", "Failed deployments", "deployment.failed"],
  ] as const
).map(([group, name, action]) => ({ group, name, filter: { ...everything, include: { action } } }));
