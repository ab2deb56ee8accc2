import assert from "node:assert/strict";
import { test } from "node:test";
import { diff, written } from "../src/diff.js";
import { NotJson, pretty, read } from "../src/json.js";

const told = (before: string | undefined, after: string | undefined) =>
  diff(before === undefined ? undefined : read(before), after === undefined ? undefined : read(after)).map(
    (change) => `${change.kind} ${written(change.path)}: ${change.before?.raw ?? ""} -> ${change.after?.raw ?? ""}`,
  );

test("numbers keep their digits and names their order", () => {
  const source = '{ "10": 12345678901234567890, "9": 1.10, "e": 1E+2, "deep": [ {"a/b": -0} ], "empty": {}, "none": [] }';
  assert.equal(read(source).raw, '{"10":12345678901234567890,"9":1.10,"e":1E+2,"deep":[{"a/b":-0}],"empty":{},"none":[]}');
  assert.equal(pretty(read('{"a":[1.0,{"b":null}],"c":{}}')), '{\n  "a": [\n    1.0,\n    {\n      "b": null\n    }\n  ],\n  "c": {}\n}');
});

test("what isn't JSON in one form is refused", () => {
  for (const bad of ["", "{", "[1,]", '{"a":1,}', "01", "1.", ".5", "+1", "NaN", '"\\x"', '"\u0001"', "'a'", '{"a":1,"\\u0061":2}', '"\\ud800"', "1 2", "nul", "\ufeff1", '{"a" 1}', '{"a":1 "b":2}', "\u00a01", "[".repeat(5000)]) {
    assert.throws(() => read(bad), NotJson, bad.slice(0, 30));
  }
});

test("members were added, removed and changed", () => {
  assert.deepEqual(told('{"a":1,"b":{"c":2,"d":3},"e":4}', '{"e":4,"b":{"c":2.0,"f":5}}'), [
    "removed a: 1 -> ",
    "changed b.c: 2 -> 2.0",
    "removed b.d: 3 -> ",
    "added b.f:  -> 5",
  ]);
  assert.deepEqual(told('{"a":{"b":1},"c":[],"d":null}', '{"a":[1],"c":{},"d":false}'), [
    'changed a: {"b":1} -> [1]',
    "changed c: [] -> {}",
    "changed d: null -> false",
  ]);
});

test("numbers beyond what a double holds differ", () => {
  assert.deepEqual(told('{"serial":9007199254740993}', '{"serial":9007199254740992}'), ["changed serial: 9007199254740993 -> 9007199254740992"]);
});

test("the same in another order or with other escapes is no change", () => {
  assert.deepEqual(told('{"a":1,"b":"\\u0061"}', '{"b":"a","a":1}'), []);
  assert.deepEqual(told(undefined, undefined), []);
});

test("items are matched, not counted", () => {
  assert.deepEqual(told('["a","b","c"]', '["x","a","b","c"]'), ['added [0]:  -> "x"']);
  assert.deepEqual(told('["a","b","c"]', '["a","c"]'), ['removed [1]: "b" -> ']);
  assert.deepEqual(told('[{"id":1,"on":true},{"id":2}]', '[{"id":1,"on":false},{"id":2}]'), ["changed [0].on: true -> false"]);
  assert.deepEqual(told("[1,2]", "[3,4,5]"), ["changed [0]: 1 -> 3", "changed [1]: 2 -> 4", "added [2]:  -> 5"]);
});

test("a state that came or went is one change", () => {
  assert.deepEqual(told(undefined, '{"a":1}'), ['added :  -> {"a":1}']);
  assert.deepEqual(told('{"a":1}', undefined), ['removed : {"a":1} -> ']);
});

test("paths are written so that they can be told apart", () => {
  assert.equal(written(["a", 2, "b c", "x.y", "k-d"]), 'a[2]["b c"]["x.y"].k-d');
});
