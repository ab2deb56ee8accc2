import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { curlCommand, exportCommand, quoted, verifyCommand } from "../src/commands.js";

/** What a command's program gets, by the shell that people paste into. */
const words = (command: string): string[] =>
  execFileSync("/bin/bash", ["--norc", "-c", `curl() { printf '%s\\0' "$@"; }; ocore-audit() { curl "$@"; }; ${command}`], { env: { TOKEN: "t.o-k" }, encoding: "utf8" }).split("\0").slice(0, -1);

const awkward = ["plain", "", "it's", "$(touch /tmp/x)", "`id`", '"', "a b,c", "\\", "\\n", "!!", "*", "~", "-x", "#x", "x\n\u001b[201~id\n", "it's\u0007", "\u009bc", "ünï 🦆", "a=b&c;d|e>f"];

test("a value is one word to the shell, whatever it holds, and no control character is pasted", () => {
  for (const value of awkward) {
    assert.deepEqual(words(`curl ${quoted(value)} end`), [value, "end"], JSON.stringify(value));
    assert.doesNotMatch(quoted(value), /\p{Cc}/u);
  }
});

test("commands ask for what the page asks for", () => {
  for (const value of awkward.filter(Boolean)) {
    const [, , , , slug, address] = words(curlCommand("http://it's.example/api", value, "/audit-logs?action='"));
    assert.deepEqual([slug, address], [`X-Org-Slug: ${value}`, "http://it%27s.example/api/audit-logs?action=%27"]);
    const command = exportCommand("http://127.0.0.1:8080/x/api", value, "proof", { action: value, exclude_user_id: [value, "b"], end_date: "2026-11-24T00:00:00.000Z" });
    assert.deepEqual(words(command), [
      "export", "--url", "http://127.0.0.1:8080/x", "--token", "t.o-k", "--organization", value, "--format", "json", "--with-proof",
      "--action", value, "--exclude-user-id", value, "--exclude-user-id", "b", "--end-date", "2026-11-24T00:00:00.000Z", "--output", "trail.json",
    ]);
  }
  assert.deepEqual(words(exportCommand("http://a/api", undefined, "csv", {})), ["export", "--url", "http://a", "--token", "t.o-k", "--format", "csv", "--output", "trail.csv"]);
  assert.deepEqual(words(verifyCommand("proof-e.json", ["a/b+1f+AQ/+="])), ["verify", "entry", "proof-e.json", "--key", "a/b+1f+AQ/+="]);
  assert.deepEqual(words(verifyCommand("proof-e.json", [])), ["verify", "entry", "proof-e.json", "--keys-file", "keys.txt"]);
});
