import assert from "node:assert/strict";
import { test } from "node:test";
import { type Hole, lay, MASK, width } from "../src/canvas";

function drawn(holes: Hole[], lines: string[], tab = 4): string[] {
  const canvas = lay(holes, (line) => lines[line] ?? "", tab, false);
  const rows = Array.from({ length: canvas.lines }, () => "");
  for (const { line, column, text } of canvas.spans) rows[line] = (rows[line] ?? "").padEnd(column) + text;
  return rows;
}

function hole(line: number, start: number, end: [number, number] | null, ...pieces: (string | number)[]): Hole {
  const [endLine, character] = end ?? [line, start];
  const of = <T>(value: T): T[] => pieces.map(() => value);
  return { start: { line, character: start }, end: { line: endLine, character }, pieces, confidence: of(1), fresh: of(false) };
}

test("a hole in the middle of a line pushes its rest along", () => {
  assert.deepEqual(drawn([hole(0, 4, null, "a, ", 2)], ["f(x,)"]), [`    a, ${MASK}${MASK})`]);
});

test("lines of a hole begin at the left edge, and what is replaced is covered", () => {
  const lines = ["def f():", "    pass", "    pass", "    pass"];
  const canvas = lay([hole(1, 4, [3, 8], "x = 1\n    return ", 1)], (line) => lines[line] ?? "", 4, false);
  assert.deepEqual(canvas.spans.map(({ line, column, text }) => [line, column, text]), [
    [0, 4, "x = 1"],
    [1, 0, "    return "],
    [1, 11, MASK],
  ]);
  assert.equal(canvas.lines, 3);
});

test("text between two holes is drawn along, shifted by what the first brings", () => {
  const lines = ["a = ...", "b = 1", "c = ... # end"];
  const holes = [hole(0, 4, [0, 7], "f(\n  1)"), hole(2, 4, [2, 7], 2)];
  assert.deepEqual(drawn(holes, lines), ["    f(", "  1)", "b = 1", `c = ${MASK}${MASK} # end`]);
});

test("tabs and wide characters take the columns that the editor gives them", () => {
  assert.equal(width("\tx", 0, 4), 5);
  assert.equal(width("ab\tx", 0, 4), 5);
  assert.equal(width("日本", 0, 4), 4);
  assert.equal(width("ü😀", 0, 4), 3);
  assert.deepEqual(drawn([hole(0, 1, null, "a\tb")], ["\t"]), ["    a   b"]);
});

test("every kind of line break begins a line", () => {
  assert.deepEqual(drawn([hole(0, 0, null, "a\r\nb\rc\nd")], [""]), ["a", "b", "c", "d"]);
});

test("newest text is told from settled, and heat goes by confidence", () => {
  const one: Hole = { ...hole(0, 0, null, "a", "b", "c", "d", 1), confidence: [0.2, 0.6, 0.8, 0.95, 0], fresh: [true, false, false, false, false] };
  const dresses = (heat: boolean): string[] => lay([one], () => "", 4, heat).spans.map((span) => span.dress);
  assert.deepEqual(dresses(false), ["fresh", "settled", "settled", "settled", "masked"]);
  assert.deepEqual(dresses(true), ["doubtful", "unsure", "likely", "settled", "masked"]);
});

test("no hole, nothing drawn", () => {
  assert.deepEqual(lay([], () => "", 4, false), { spans: [], lines: 0, column: 0 });
});
