/**
 * The commands that the page prints. Each runs as it stands in a shell that has the token in
 * $TOKEN, and no value means anything to that shell or its terminal, whoever chose it: values
 * come out of entries and of links.
 */
import type { FilterQuery } from "./state.js";

const escaped = (text: string) => [...new TextEncoder().encode(text)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");

/** One word of a shell. Control characters are written out: a terminal would act on them when they are pasted. */
export function quoted(text: string): string {
  if (/\p{Cc}/u.test(text)) return `$'${text.replaceAll(/[\\']/g, "\\$&").replaceAll(/\p{Cc}/gu, escaped)}'`;
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export function curlCommand(baseUrl: string, organization: string | undefined, path: string): string {
  const slug = organization ? ` -H ${quoted(`X-Org-Slug: ${organization}`)}` : "";
  return `curl -sS -H "Authorization: Bearer $TOKEN"${slug} '${`${baseUrl}${path}`.replaceAll("'", "%27")}'`;
}

/** Formats of an export. */
export type Format = "json" | "proof" | "csv";

export function exportCommand(baseUrl: string, organization: string | undefined, format: Format, query: FilterQuery): string {
  const file = format === "csv" ? "csv" : "json";
  const filters = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => `--${name.replaceAll("_", "-")} ${quoted(String(one))}`),
  );
  return [
    "ocore-audit export",
    `--url ${quoted(baseUrl.replace(/\/api$/, ""))}`,
    '--token "$TOKEN"',
    ...(organization ? [`--organization ${quoted(organization)}`] : []),
    `--format ${file}`,
    ...(format === "proof" ? ["--with-proof"] : []),
    ...filters,
    `--output trail.${file}`,
  ].join(" ");
}

/** The command that finds what a service says is altered, from outside, and names the first such entry. */
export function verifyTrailCommand(baseUrl: string, organization: string | undefined, keys: readonly string[]): string {
  return [
    "ocore-audit verify trail",
    `--service ${quoted(baseUrl.replace(/\/api$/, ""))}`,
    '--token "$TOKEN"',
    ...(organization ? [`--organization ${quoted(organization)}`] : []),
    keysOf(keys),
  ].join(" ");
}

const keysOf = (keys: readonly string[]): string => (keys.length ? keys.map((key) => `--key ${quoted(key)}`).join(" ") : "--keys-file keys.txt");

/** The command that repeats a check: with the keys, or with a file of them where the page knows none. */
export function verifyCommand(file: string, keys: readonly string[]): string {
  return ["ocore-audit verify entry", quoted(file), keysOf(keys)].join(" ");
}
