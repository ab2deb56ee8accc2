import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { member, read, text } from "../src/json.js";
import { type Key, leafHash, readKey, Refused, verifyEntry } from "../src/proof.js";

const vectors = process.env["VECTORS"] ?? "../../../docs/vectors";
const bytes = (name: string) => readFileSync(join(vectors, name));
const keysOf = (name: string): Promise<Key[]> =>
  Promise.all(
    bytes(name)
      .toString()
      .split("\n")
      .filter((line) => line && !line.startsWith("#"))
      .map(readKey),
  );

test("every leaf of the vectors has its hash", async () => {
  const leaves = read(bytes("leaves.json").toString());
  assert(leaves.kind === "array" && leaves.items.length > 10);
  for (const leaf of leaves.items) {
    const hash = await leafHash(text(member(leaf, "organization"))!, member(leaf, "entry")!, member(leaf, "salts")!);
    assert.equal(Buffer.from(hash).toString("base64"), text(member(leaf, "hash")), text(member(leaf, "leaf")));
  }
});

test("every entry's proof of the vectors verifies", async () => {
  const keys = await keysOf("keys.txt");
  const names = readdirSync(vectors).filter((name) => name.startsWith("entry"));
  assert(names.length >= 4);
  for (const name of names) {
    const { checkpoint, position } = await verifyEntry(bytes(name), keys);
    assert(checkpoint.signatureChecked && position < checkpoint.size, name);
  }
  await verifyEntry(bytes("entry-rotated.json"), await keysOf("keys-next.txt"));
});

test("every alteration of an entry's proof is refused", async () => {
  const keys = await keysOf("keys.txt");
  const alterations = JSON.parse(bytes("alterations.json").toString()) as { of: string; what: string; edits: { find: string; put: string }[] }[];
  const ours = alterations.filter(({ of }) => of.startsWith("entry"));
  assert(ours.length > 50, `${ours.length} alterations`);
  for (const { of, what, edits } of ours) {
    let altered = bytes(of);
    for (const { find, put } of edits) {
      const at = find ? altered.indexOf(surrogates(find)) : altered.length;
      assert(at >= 0, what);
      altered = Buffer.concat([altered.subarray(0, at), surrogates(put), altered.subarray(at + surrogates(find).length)]);
    }
    await assert.rejects(verifyEntry(altered, keys), Refused, `${of} verifies although ${what}`);
  }
});

/** The bytes of a text, with half a surrogate pair as UTF-8 would have it if it could. */
function surrogates(of: string): Buffer {
  return Buffer.concat(
    [...of].map((character) => {
      const code = character.codePointAt(0)!;
      return code >= 0xd800 && code < 0xe000 ? Buffer.of(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)) : Buffer.from(character);
    }),
  );
}

test("another key's checkpoint is refused", async () => {
  await assert.rejects(verifyEntry(bytes("entry.json"), []), /no trusted key/);
  await assert.rejects(verifyEntry(bytes("entry.json"), await keysOf("keys-next.txt")), /no trusted key/);
  await assert.rejects(readKey("audit.ocore.dev/trails/acme+b592adff+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"), /another id/);
});
