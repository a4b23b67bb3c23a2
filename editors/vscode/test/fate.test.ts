import assert from "node:assert/strict";
import { test } from "node:test";
import { afterChanges, type Change, type Shown, surePart } from "../src/fate";

const SHOWN: Shown = { id: "1", uri: "file:///a", offset: 10, texts: ["sum(values)"], taken: "" };

function put(text: string, offset = 10, removed = 0): Change {
  return { offset, removed, text };
}

test("a key of the suggestion keeps it, one further on", () => {
  assert.deepEqual(afterChanges(SHOWN, [put("s")]), { kind: "kept", shown: { ...SHOWN, offset: 11, texts: ["um(values)"], taken: "s" } });
});

test("a word taken is a part, with its length", () => {
  assert.deepEqual(afterChanges(SHOWN, [put("sum(")]), { kind: "part", shown: { ...SHOWN, offset: 14, texts: ["values)"], taken: "sum(" }, put: "sum(" });
});

test("another key, another place, a deletion and two changes at once turn it down", () => {
  for (const changes of [[put("x")], [put("s", 3)], [put("", 9, 1)], [put("s", 10, 2)], [put("s"), put("s", 20)], []]) {
    assert.deepEqual(afterChanges(SHOWN, changes), { kind: "rejected" });
  }
});

test("line ends of the document are no difference", () => {
  const shown = { ...SHOWN, texts: ["a\nb"] };
  const fate = afterChanges(shown, [put("a\r\nb")]);
  assert.deepEqual(fate, { kind: "part", shown: { ...shown, offset: 14, texts: [""], taken: "a\r\nb" }, put: "a\nb" });
});

test("of several candidates those go on that begin with what was put in", () => {
  const shown = { ...SHOWN, texts: ["a + b", "a - b", "b"] };
  const fate = afterChanges(shown, [put("a ")]);
  assert.deepEqual(fate, { kind: "part", shown: { ...shown, offset: 12, texts: ["+ b", "- b"], taken: "a " }, put: "a " });
});

test("a character of two units is one key", () => {
  const shown = { ...SHOWN, texts: ["😀 = 1"] };
  assert.deepEqual(afterChanges(shown, [put("😀")]), { kind: "kept", shown: { ...shown, offset: 12, texts: [" = 1"], taken: "😀" } });
});

test("the sure part is the model's own of one candidate, and of several what all begin with", () => {
  const of = (...texts: string[]) => surePart(texts.map((text, at) => ({ text, confident: at === 0 ? 6 : 0 })));
  assert.equal(of("a + bc + d"), 6);
  assert.equal(of("a + bc + d", "a + c"), 4);
  assert.equal(of("a", "b"), 0);
  assert.equal(of("'😀'", "'😁'"), 1);
  assert.equal(of(), 0);
});

test("what was taken may be put in once more, with the rest", () => {
  const shown = { ...SHOWN, offset: 14, texts: ["values)"], taken: "sum(" };
  const fate = afterChanges(shown, [put("sum(values)", 10, 4)]);
  assert.deepEqual(fate, { kind: "part", shown: { ...shown, offset: 21, texts: [""], taken: "sum(values)" }, put: "values)" });
  assert.deepEqual(afterChanges(shown, [put("mean(values)", 10, 4)]), { kind: "rejected" });
});
