/**
 * Draws a denoising state over the text: settled, masked, newest, or by confidence.
 *
 * VS Code lets no extension put lines between lines, so the drawing lies on top: one opaque
 * cover, and a piece of text for each span, placed by `lh` and `ch` inside the first line
 * (`textDecoration` takes further CSS after its own). The document is never touched.
 * Must not know requests; canvas.ts decides what stands where.
 */

import * as vscode from "vscode";
import { type Canvas, type Dress, type Hole, lay } from "./canvas";
import * as settings from "./settings";

/** `dlmd/state`, as the server sends it. */
export interface LiveState {
  kind: string;
  id: string;
  uri: string;
  version: number;
  range?: RangeLike;
  ranges?: RangeLike[];
  candidate: number;
  step: number;
  of: number;
  done: boolean;
  holes: (string | number)[][];
  confidence?: number[][];
  fresh?: boolean[][];
}

interface RangeLike {
  start: { line: number; character: number };
  end: { line: number; character: number };
}

/** A screen shows no more than this anyway. */
const FRAME_MS = 33;
const COLOURS: Record<Dress, string> = {
  given: "editor.foreground",
  settled: "dlmd.settled",
  fresh: "dlmd.fresh",
  masked: "dlmd.masked",
  doubtful: "dlmd.settled",
  unsure: "dlmd.settled",
  likely: "dlmd.settled",
};
const HEATED: Dress[] = ["doubtful", "unsure", "likely"];

export class Live implements vscode.Disposable {
  private readonly type = vscode.window.createTextEditorDecorationType({ rangeBehavior: vscode.DecorationRangeBehavior.OpenOpen });
  private newest: LiveState | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly heard: vscode.Disposable[];

  constructor() {
    this.heard = [
      vscode.workspace.onDidChangeTextDocument((event) => {
        if (event.contentChanges.length > 0 && event.document.uri.toString() === this.newest?.uri) this.clear();
      }),
      vscode.window.onDidChangeVisibleTextEditors(() => this.soon()),
    ];
  }

  show(state: LiveState): void {
    if (state.done) return this.clear(state.id);
    if (state.candidate !== 0) return;
    this.newest = { ...state, uri: vscode.Uri.parse(state.uri).toString() };
    this.soon();
  }

  /** Removes the drawing, of an id only when it is that one. */
  clear(id?: string): void {
    if (id !== undefined && id !== this.newest?.id) return;
    this.newest = undefined;
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const editor of vscode.window.visibleTextEditors) editor.setDecorations(this.type, []);
  }

  redraw(): void {
    this.soon();
  }

  dispose(): void {
    this.clear();
    this.type.dispose();
    for (const each of this.heard) each.dispose();
  }

  private soon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.draw();
    }, FRAME_MS);
  }

  private draw(): void {
    const state = this.newest;
    if (!state) return;
    for (const editor of vscode.window.visibleTextEditors) {
      const document = editor.document;
      if (document.uri.toString() !== state.uri) continue;
      const current = document.version === state.version;
      editor.setDecorations(this.type, current ? drawing(state, editor) : []);
    }
  }
}

function drawing(state: LiveState, editor: vscode.TextEditor): vscode.DecorationOptions[] {
  const holes = holesOf(state, editor.document);
  const first = holes[0];
  if (!first) return [];
  const tab = Number(editor.options.tabSize) || 4;
  const heat = settings.all().get<boolean>("heatMap") ?? false;
  const canvas = lay(holes, (line) => editor.document.lineAt(line).text, tab, heat);
  const at = new vscode.Position(first.start.line, 0);
  return [...covers(canvas, at), ...canvas.spans.map((span) => piece(at, span.text, span.dress, css(span.line, span.column, "z-index: 2")))];
}

function holesOf(state: LiveState, document: vscode.TextDocument): Hole[] {
  const ranges = state.ranges ?? (state.range ? [state.range] : []);
  const holes = state.holes.flatMap((pieces, index) => {
    const range = ranges[index];
    if (!range) return [];
    const checked = document.validateRange(new vscode.Range(range.start.line, range.start.character, range.end.line, range.end.character));
    return [{ start: checked.start, end: checked.end, pieces, confidence: state.confidence?.[index] ?? [], fresh: state.fresh?.[index] ?? [] }];
  });
  return holes.sort((one, other) => one.start.line - other.start.line || one.start.character - other.start.character);
}

/** The text below is hidden: its first line from the hole on, the others whole. */
function covers(canvas: Canvas, at: vscode.Position): vscode.DecorationOptions[] {
  const blank = (line: number, column: number, lines: number): vscode.DecorationOptions => ({
    range: new vscode.Range(at, at),
    renderOptions: {
      before: {
        contentText: "\u00a0",
        backgroundColor: new vscode.ThemeColor("editor.background"),
        textDecoration: `${css(line, column, "z-index: 1")}; width: 100%; height: ${lines}lh`,
      },
    },
  });
  return canvas.lines > 1 ? [blank(0, canvas.column, 1), blank(1, 0, canvas.lines - 1)] : [blank(0, canvas.column, 1)];
}

function piece(at: vscode.Position, text: string, dress: Dress, place: string): vscode.DecorationOptions {
  return {
    range: new vscode.Range(at, at),
    renderOptions: {
      before: {
        contentText: text.replaceAll(" ", "\u00a0"),
        color: new vscode.ThemeColor(COLOURS[dress]),
        backgroundColor: HEATED.includes(dress) ? new vscode.ThemeColor(`dlmd.${dress}`) : undefined,
        fontWeight: dress === "fresh" ? "600" : undefined,
        textDecoration: place,
      },
    },
  };
}

function css(line: number, column: number, more: string): string {
  return `none; position: absolute; top: ${line}lh; left: ${column}ch; white-space: pre; ${more}`;
}
