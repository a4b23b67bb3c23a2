import assert from "node:assert/strict";
import { test } from "node:test";
import { afterChanges, type Change, type Shown } from "../src/fate";

const SHOWN: Shown = { id: "1", uri: "file:///a", offset: 10, text: "sum(values)" };

function put(text: string, offset = 10, removed = 0): Change {
  return { offset, removed, text };
}

test("a key of the suggestion keeps it, one further on", () => {
  assert.deepEqual(afterChanges(SHOWN, [put("s")]), { kind: "kept", shown: { ...SHOWN, offset: 11, text: "um(values)" } });
});

test("a word taken is a part, with its length", () => {
  assert.deepEqual(afterChanges(SHOWN, [put("sum(")]), { kind: "part", shown: { ...SHOWN, offset: 14, text: "values)" }, characters: 4 });
});

test("another key, another place, a deletion and two changes at once turn it down", () => {
  for (const changes of [[put("x")], [put("s", 3)], [put("", 9, 1)], [put("s", 10, 2)], [put("s"), put("s", 20)], []]) {
    assert.deepEqual(afterChanges(SHOWN, changes), { kind: "rejected" });
  }
});

test("line ends of the document are no difference", () => {
  const shown = { ...SHOWN, text: "a\nb" };
  const fate = afterChanges(shown, [put("a\r\nb")]);
  assert.deepEqual(fate, { kind: "part", shown: { ...shown, offset: 14, text: "" }, characters: 3 });
});
