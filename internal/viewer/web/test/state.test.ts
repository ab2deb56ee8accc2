import assert from "node:assert/strict";
import { test } from "node:test";
import { joinCSV, joinJSON } from "../src/parts.js";
import { everything, neither, not, only, readState, start, toQuery, toSearch, writeState } from "../src/state.js";
import { follow, parseEvents, type ServerEvent } from "../src/tail.js";
import { exact, instantOf, offset, wall } from "../src/time.js";

test("an address says all of the state and comes back the same", () => {
  const state = {
    ...start, tab: "tail" as const, page: 7, perPage: 100, entry: "e&1", organization: "acme", columns: ["user", "ip"], adminAction: "a", adminSearch: "b c",
    filter: { include: { action: "a=b&c", user_id: "ünï" }, exclude: { resource_type: ["x", "y z"] }, range: { kind: "last" as const, preset: "24h" as const } },
  };
  assert.deepEqual(readState(writeState(state)), state);
  assert.equal(writeState(start), "");
  assert.deepEqual(readState("?page=0&per_page=7&last=9y&tab=__proto__&action="), { ...start });
  assert.deepEqual(readState("?start_date=2026-11-23T06:05:00Z").filter.range, { kind: "between", start: "2026-11-23T06:05:00Z" });
});

test("a relative range stays relative, and is counted back from now", () => {
  const { filter } = readState("?last=24h&exclude_action=a&exclude_action=b");
  const query = toQuery(filter, Date.parse("2026-11-23T06:05:00Z"));
  assert.equal(query.start_date, "2026-11-22T06:05:00.000Z");
  assert.equal(toSearch(query), "exclude_action=a&exclude_action=b&start_date=2026-11-22T06%3A05%3A00.000Z");
});

test("a value is included, excluded or neither", () => {
  const included = only(everything, "action", "a");
  assert.deepEqual(included.include, { action: "a" });
  const excluded = not(included, "action", "a");
  assert.deepEqual([excluded.include, excluded.exclude.action], [{}, ["a"]]);
  assert.deepEqual(not(excluded, "action", "a").exclude.action, ["a"]);
  assert.deepEqual(only(excluded, "action", "a").exclude.action, []);
  assert.deepEqual(neither(excluded, "action", "a").exclude.action, []);
});

test("times are those of the zone, across its changes", () => {
  assert.equal(wall("2026-07-01T22:30:00.999999Z", "Europe/Berlin"), "2026-07-02 00:30:00");
  assert.equal(exact("2026-01-01T00:00:00.000001Z", "America/New_York"), "2025-12-31 19:00:00.000001 -05:00");
  assert.equal(offset("2026-01-01T00:00:00Z", "Asia/Kathmandu"), "+05:45");
  assert.equal(offset("2026-01-01T00:00:00Z", "UTC"), "+00:00");
  for (const [local, zone, want] of [
    ["2026-07-02T00:30", "Europe/Berlin", "2026-07-01T22:30:00.000Z"],
    ["2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00.000Z"], // comes twice
    ["2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00.000Z"], // is skipped
    ["2026-01-01T00:00:07", "UTC", "2026-01-01T00:00:07.000Z"],
    ["2026-01-01T05:45", "Asia/Kathmandu", "2026-01-01T00:00:00.000Z"],
  ] as const) {
    assert.equal(instantOf(local, zone)?.toISOString(), want, `${local} in ${zone}`);
  }
  assert.equal(instantOf("yesterday", "UTC"), undefined);
});

const stream = async function* (...chunks: string[]) {
  yield* chunks;
};

test("events are read however the stream is cut", async () => {
  const source = 'retry: 1000\n\n: a comment\nid: 7\nevent: entry\ndata: {"a":1}\r\n\r\nid: 8\ndata:b\ndata: c\n\nid: 9\ndata: unfinished';
  for (let size = 1; size < source.length; size++) {
    const events: ServerEvent[] = [];
    const chunks = Array.from({ length: Math.ceil(source.length / size) }, (_, i) => source.slice(i * size, (i + 1) * size));
    for await (const event of parseEvents(stream(...chunks))) events.push(event);
    assert.deepEqual(events, [{ id: "7", event: "entry", data: '{"a":1}' }, { id: "8", event: "message", data: "b\nc" }], `in pieces of ${size}`);
  }
});

test("a tail that is cut goes on where it was, without gap or repeat", async () => {
  const aborted = new AbortController();
  const got: number[] = [];
  const asked: (string | undefined)[] = [];
  let connections = 0;
  await follow(
    {
      async connect(last) {
        asked.push(last);
        const cut = ++connections;
        if (cut % 3 === 0) throw new TypeError("the network is gone");
        const from = last === undefined ? 0 : Number(last) + 1;
        return (async function* () {
          // The service repeats an entry now and then, as a proxy could.
          for (let i = Math.max(0, from - 2); i < Math.min(5000, from + 400); i++) yield { id: String(i), event: "entry", data: String(i) };
          if (from + 400 >= 5000) aborted.abort();
          else throw new TypeError("cut");
        })();
      },
      entry: (data) => got.push(Number(data)),
      status: () => {},
      final: () => false,
      wait: async () => {},
    },
    aborted.signal,
  );
  assert.deepEqual(got, Array.from({ length: 5000 }, (_, i) => i));
  assert(asked.length > 10 && asked[0] === undefined);
});

test("what will not go away ends a tail", async () => {
  const error = new Error("forbidden");
  await assert.rejects(
    follow({ connect: () => Promise.reject(error), entry: () => {}, status: () => {}, final: () => true }, new AbortController().signal),
    error,
  );
});

test("parts of an export are joined as they are written", () => {
  const joined = joinJSON(['{"items":[{"n":1.0},{"n":12345678901234567890}],"total":3,"proofs":[{"items":2}],"nextCursor":"x"}', '{"items":[{"n":3}],"total":1,"proofs":[{"items":1}]}']);
  assert.deepEqual(joined, { text: '{"items":[{"n":1.0},{"n":12345678901234567890},{"n":3}],"total":3,"proofs":[{"items":2},{"items":1}]}', items: 3 });
  assert.deepEqual(joinJSON(['{"items":[],"total":0}']), { text: '{"items":[],"total":0}', items: 0 });
  assert.deepEqual(joinCSV(['a,b\r\n1,"x\ny"\r\n', "a,b\r\n2,\"q\"\"\r\n\"\r\n"]), { text: 'a,b\r\n1,"x\ny"\r\n2,"q""\r\n"\r\n', items: 2 });
});
