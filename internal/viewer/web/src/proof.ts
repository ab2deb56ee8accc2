/**
 * Verification of one entry's proof in the browser, after docs/format.md alone. It trusts
 * nothing that the service says but the keys that it is given.
 */
import { type Json, type Member, NotJson, read } from "./json.js";

/** What was given isn't in the format, or isn't what it claims to be. */
export class Refused extends Error {
  override readonly name = "Refused";
}

function need(holds: unknown, reason: string): asserts holds {
  if (!holds) throw new Refused(reason);
}

/** The browser lacks what is needed to check; that says nothing about the entry. */
export class Unable extends Error {
  override readonly name = "Unable";
}

const encoder = new TextEncoder();

function subtle(): SubtleCrypto {
  if (!globalThis.crypto?.subtle) throw new Unable("this page was not loaded over HTTPS, so the browser offers no cryptography to it");
  return globalThis.crypto.subtle;
}

// One form of everything.

const largest = 2n ** 63n - 1n;

function whole(text: string): bigint {
  need(/^(0|[1-9][0-9]{0,18})$/.test(text) && BigInt(text) <= largest, `${text} is not a number in its one form`);
  return BigInt(text);
}

function fromBase64(text: string, length?: number): Uint8Array<ArrayBuffer> {
  let decoded: string;
  try {
    decoded = atob(text);
  } catch {
    throw new Refused(`${text} is not base64`);
  }
  need(btoa(decoded) === text, `${text} is not base64 in its one form`);
  need(length === undefined || decoded.length === length, `${text} has ${decoded.length} bytes`);
  return Uint8Array.from(decoded, (character) => character.charCodeAt(0));
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function salt(value: Json): Uint8Array<ArrayBuffer> {
  need(value.kind === "string" && /^[A-Za-z0-9_-]{22}$/.test(value.value), "a salt has another form");
  const bytes = fromBase64(`${value.value.replaceAll("-", "+").replaceAll("_", "/")}==`, 16);
  return bytes;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await subtle().digest("SHA-256", joined));
}

function strictly(text: string): Json {
  try {
    return read(text);
  } catch (error) {
    if (error instanceof NotJson) throw new Refused(error.message);
    throw error;
  }
}

function membersOf(value: Json): readonly Member[] {
  need(value.kind === "object", "not a JSON object");
  return value.members;
}

/** fields are the values of an object that has exactly these members. */
function fields(value: Json, ...names: string[]): Json[] {
  const members = new Map(membersOf(value).map((one) => [one.name, one.value]));
  need(members.size === names.length && names.every((name) => members.has(name)), `the members are ${[...members.keys()]}, not ${names}`);
  return names.map((name) => members.get(name)!);
}

// The leaf.

const plain = ["id", "action", "resourceType", "occurredAt", "importedAt"];
const committed = ["userId", "userName", "recordedBy", "resourceId", "resourceName", "ipAddress", "userAgent", "beforeState", "afterState", "details"];
const adminPlain = ["id", "action", "importedAt"];
const adminCommitted = ["userId", "userName", "recordedBy", "ipAddress", "userAgent", "details"];

function splitEntry(entry: Json): { own: readonly Member[]; position: string; createdAt: string } {
  const members = membersOf(entry);
  const [position, createdAt] = members.slice(-2);
  need(position?.name === "position" && createdAt?.name === "createdAt", "an entry doesn't end with position and createdAt");
  need(/^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"$/.test(createdAt.value.raw), `createdAt is ${createdAt.value.raw}`);
  return { own: members.slice(0, -2), position: position.value.raw, createdAt: createdAt.value.raw };
}

/** leafHash is the hash under which the tree has an entry. */
export async function leafHash(organization: string, entry: Json, salts: Json): Promise<Uint8Array<ArrayBuffer>> {
  const { own, createdAt } = splitEntry(entry);
  const admin = organization === "_admin";
  const leaf: [name: string, key: string, value: string][] = [
    ["v", '"v"', "1"],
    ["organization", '"organization"', JSON.stringify(organization)],
    ["createdAt", '"createdAt"', createdAt],
  ];
  const hidden: [name: string, key: string, value: string][] = [];
  const others: string[] = [];
  for (const { name, key, value } of own) {
    if ((admin ? adminPlain : plain).includes(name)) leaf.push([name, key, value.raw]);
    else if ((admin ? adminCommitted : committed).includes(name)) hidden.push([name, key, value.raw]);
    else others.push(`${key}:${value.raw}`);
  }
  if (others.length > 0) hidden.push(["otherMembers", '"otherMembers"', `{${others.join()}}`]);
  const bySalt = new Map(membersOf(salts).map((one) => [one.name, salt(one.value)]));
  need(bySalt.size === hidden.length && hidden.every(([name]) => bySalt.has(name)), "the salts are not those of the entry's members");
  for (const [name, key, value] of hidden) {
    const secret = await subtle().importKey("raw", bySalt.get(name)!, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const code = await subtle().sign("HMAC", secret, encoder.encode(`${name}\0${value}`));
    leaf.push([name, key, `"${toBase64Url(new Uint8Array(code))}"`]);
  }
  leaf.sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256(Uint8Array.of(0), encoder.encode(`{${leaf.map(([, key, value]) => `${key}:${value}`).join()}}`));
}

const node = (left: Uint8Array, right: Uint8Array) => sha256(Uint8Array.of(1), left, right);

// Keys and checkpoints.

export interface Key {
  readonly name: string;
  readonly id: string;
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

/** readKey reads a verifier key's line. Throws `Refused`. */
export async function readKey(line: string): Promise<Key> {
  const [, name, id, encoded] = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(line.trim()) ?? [];
  need(name !== undefined && id !== undefined && encoded !== undefined, "this is no verifier key");
  const raw = fromBase64(encoded, 33);
  need(raw[0] === 1, "this is no Ed25519 key");
  const sum = await sha256(encoder.encode(`${name}\n`), raw);
  need(hex(sum.slice(0, 4)) === id, "the key has another id than its line says");
  return { name, id, publicKey: raw.slice(1) };
}

export interface Checkpoint {
  readonly origin: string;
  readonly organization: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** False where the browser has no Ed25519. */
  readonly signatureChecked: boolean;
}

/** openCheckpoint opens a signed note by keys that are trusted. Throws `Refused`. */
export async function openCheckpoint(note: string, keys: readonly Key[]): Promise<Checkpoint> {
  need(!/[\x00-\x09\x0b-\x1f]/.test(note), "a control character stands in the checkpoint");
  const split = note.lastIndexOf("\n\n");
  need(split >= 0 && note.endsWith("\n"), "the checkpoint is no signed note");
  const signed = note.slice(0, split + 1);
  const lines = note.slice(split + 2).split("\n").slice(0, -1);
  const signers = new Set<string>();
  const seen = new Set<string>();
  let signatureChecked = true;
  for (const line of lines) {
    const [, name, encoded] = /^— ([^ +]+) ([^ ]+)$/.exec(line) ?? [];
    need(name !== undefined && encoded !== undefined, "a signature line has another form");
    const signature = fromBase64(encoded);
    need(signature.length > 4, "a signature is too short");
    const id = hex(signature.slice(0, 4));
    need(!seen.has(`${name}+${id}`), "two signatures are by one key");
    seen.add(`${name}+${id}`);
    const key = keys.find((one) => one.name === name && one.id === id);
    if (!key) continue;
    const verifies = await verifySignature(key, signature.slice(4), signed);
    need(verifies !== false, `the checkpoint's signature by ${name}+${id} is wrong`);
    if (verifies === undefined) signatureChecked = false;
    signers.add(name);
  }
  const [origin, size, root, end] = signed.split("\n");
  need(origin !== undefined && size !== undefined && root !== undefined && end === "" && signed.split("\n").length === 4, "a checkpoint has three lines");
  need(signers.has(origin), "no trusted key signed the checkpoint");
  const slash = origin.lastIndexOf("/");
  need(slash > 0, "the checkpoint's origin has no organization");
  const organization = origin.slice(slash + 1);
  need(/^(_admin|[A-Za-z0-9.~-]{1,64})$/.test(organization), "the checkpoint's origin has no organization");
  const checkpoint = { origin, organization, size: whole(size), root: fromBase64(root, 32), signatureChecked };
  need(checkpoint.size > 0n || same(checkpoint.root, await sha256()), "no entries have another root");
  return checkpoint;
}

/** undefined where the browser has no Ed25519 (Web Cryptography level 2). */
async function verifySignature(key: Key, signature: Uint8Array<ArrayBuffer>, signed: string): Promise<boolean | undefined> {
  let imported: CryptoKey;
  try {
    imported = await subtle().importKey("raw", key.publicKey, "Ed25519", false, ["verify"]);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") return undefined;
    throw error;
  }
  return subtle().verify("Ed25519", imported, signature, encoder.encode(signed));
}

// The proof.

export interface Verified {
  readonly checkpoint: Checkpoint;
  readonly position: bigint;
  readonly entry: Json;
}

/**
 * verifyEntry verifies an answer of `GET /audit-logs/entries/{id}/proof`, byte for byte.
 * Throws `Refused` where anything isn't as it was recorded, `Unable` where the browser can't tell.
 */
export async function verifyEntry(bytes: Uint8Array, keys: readonly Key[]): Promise<Verified> {
  let answer: string;
  try {
    answer = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused("the proof is not UTF-8");
  }
  const [entry, salts, proof] = fields(strictly(answer), "entry", "salts", "proof") as [Json, Json, Json];
  need(proof.kind === "string", "the proof is no text");
  const [, head, note] = /^c2sp\.org\/tlog-proof@v1\n(.*?)\n\n(.*)$/s.exec(proof.value) ?? [];
  need(head !== undefined && note !== undefined, "the proof is no tlog-proof");
  const [index, ...path] = head.split("\n");
  need(index!.startsWith("index "), "the proof has no index");
  const position = whole(index!.slice("index ".length));
  const hashes = path.map((line) => fromBase64(line, 32));
  const checkpoint = await openCheckpoint(note, keys);
  need(whole(splitEntry(entry).position) === position, "the proof is that of another position");
  need(position < checkpoint.size, "the position is beyond the signed tree");
  const root = await rootOf(position, checkpoint.size, await leafHash(checkpoint.organization, entry, salts), hashes);
  need(same(root, checkpoint.root), "the entry, as it is shown, is not in the signed trail");
  return { checkpoint, position, entry };
}

/** The root to which an inclusion proof leads (RFC 9162, section 2.1.3.2). */
async function rootOf(position: bigint, size: bigint, leaf: Uint8Array<ArrayBuffer>, hashes: readonly Uint8Array[]): Promise<Uint8Array> {
  let [fn, sn, r] = [position, size - 1n, leaf];
  for (const p of hashes) {
    need(sn !== 0n, "the inclusion proof is too long");
    if (fn % 2n === 1n || fn === sn) {
      r = await node(p, r);
      while (fn % 2n === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      r = await node(r, p);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  need(sn === 0n, "the inclusion proof is too short");
  return r;
}
