/**
 * A denoising state laid out on lines and columns: what to draw where, and in which dress.
 *
 * Pure. A region of the document, from the start of its first hole to the end of the line of
 * its last one, becomes spans; the text between and behind holes is drawn along, because the
 * drawing covers it. Must not know VS Code, colours or how a span gets on the screen.
 */

export interface Place {
  line: number;
  character: number;
}

export interface Span {
  /** Lines below the first hole's. */
  line: number;
  /** Cells from the left edge of the text. */
  column: number;
  text: string;
  dress: Dress;
}

export type Dress = "given" | "settled" | "fresh" | "masked" | "doubtful" | "unsure" | "likely";

export interface Hole {
  start: Place;
  end: Place;
  pieces: (string | number)[];
  confidence: number[];
  fresh: boolean[];
}

export interface Canvas {
  spans: Span[];
  /** Lines that the drawing covers, from the first hole's. */
  lines: number;
  /** Column of the first hole. */
  column: number;
}

export const MASK = "░";
const MOST_CELLS = 400;

/** Holes in document order; `lineAt` gives the text of a line, without its break. */
export function lay(holes: Hole[], lineAt: (line: number) => string, tab: number, heat: boolean): Canvas {
  const first = holes[0];
  const last = holes[holes.length - 1];
  if (!first || !last) return { spans: [], lines: 0, column: 0 };
  const pen = new Pen(width(lineAt(first.start.line).slice(0, first.start.character), 0, tab), tab);
  holes.forEach((hole, index) => {
    hole.pieces.forEach((piece, at) => {
      const text = typeof piece === "number" ? MASK.repeat(piece) : piece;
      pen.write(text, dressOf(piece, hole.confidence[at] ?? 0, hole.fresh[at] ?? false, heat));
    });
    const until = holes[index + 1]?.start ?? { line: last.end.line, character: Infinity };
    pen.write(between(hole.end, until, lineAt), "given");
  });
  return { spans: pen.spans, lines: Math.max(pen.line, last.end.line - first.start.line) + 1, column: pen.left };
}

function between(from: Place, to: Place, lineAt: (line: number) => string): string {
  if (from.line === to.line) return lineAt(from.line).slice(from.character, to.character);
  const lines = [lineAt(from.line).slice(from.character)];
  for (let line = from.line + 1; line < to.line; line++) lines.push(lineAt(line));
  lines.push(lineAt(to.line).slice(0, to.character));
  return lines.join("\n");
}

function dressOf(piece: string | number, sure: number, fresh: boolean, heat: boolean): Dress {
  if (typeof piece === "number") return "masked";
  if (heat) return sure < 0.5 ? "doubtful" : sure < 0.75 ? "unsure" : sure < 0.9 ? "likely" : "settled";
  return fresh ? "fresh" : "settled";
}

/** Writes text onto lines, tabs and wide characters counted as the editor draws them. */
class Pen {
  readonly spans: Span[] = [];
  line = 0;
  private column: number;

  constructor(
    readonly left: number,
    private readonly tab: number,
  ) {
    this.column = left;
  }

  write(text: string, dress: Dress): void {
    text.split(/\r\n|\r|\n/).forEach((part, index) => {
      if (index > 0) {
        this.line += 1;
        this.column = 0;
      }
      if (part !== "" && this.column < MOST_CELLS) this.put(part, dress);
    });
  }

  private put(part: string, dress: Dress): void {
    const end = width(part, this.column, this.tab);
    const text = expanded(part, this.column, this.tab);
    // White space has nothing to see, except where it has settled on doubt.
    if (text.trim() !== "" || dress === "masked") this.spans.push({ line: this.line, column: this.column, text, dress });
    this.column = end;
  }
}

/** The column behind a text that begins at a column. */
export function width(text: string, column: number, tab: number): number {
  for (const character of text) column += character === "\t" ? tab - (column % tab) : cells(character);
  return column;
}

function expanded(text: string, column: number, tab: number): string {
  let out = "";
  for (const character of text) {
    const size = character === "\t" ? tab - (column % tab) : cells(character);
    out += character === "\t" ? " ".repeat(size) : character;
    column += size;
  }
  return out;
}

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u;

function cells(character: string): number {
  return WIDE.test(character) && character > "\u00ff" ? 2 : 1;
}
