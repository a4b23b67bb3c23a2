/**
 * Ghost text: VS Code's own inline completion draws it; here is only what goes past it.
 *
 * Keeps what was last suggested, for taking the confident part and for the server's local
 * counts of what was shown, taken and turned down. Must not know drawings or processes.
 */

import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { afterChanges, type Change, type Shown, surePart } from "./fate";
import * as settings from "./settings";

/** The argument of an item's command: parts of its text, in UTF-16 units. */
interface Parts {
  id: string;
  word?: number;
  line?: number;
  confident?: number;
}

interface Latest {
  document: vscode.TextDocument;
  version: number;
  position: vscode.Position;
  id: string;
  /** What may be taken as sure, of whichever candidate is drawn. */
  sure: string;
}

/** Where the cursor belongs, until the document changes again. */
interface Caret {
  document: vscode.TextDocument;
  version: number;
  position: vscode.Position;
}

type Send = (command: string, argument: object) => void;

const ASTRAL = /[\ud800-\udfff]/;

export class Suggestions implements vscode.Disposable {
  private latest: Latest | undefined;
  private shown: Shown | undefined;
  private caret: Caret | undefined;
  private forRest = false;
  private readonly heard: vscode.Disposable[];

  constructor(private readonly send: Send) {
    this.heard = [
      vscode.workspace.onDidChangeTextDocument((event) => this.changed(event)),
      vscode.window.onDidChangeTextEditorSelection((event) => this.moved(event)),
      vscode.window.onDidChangeActiveTextEditor(() => this.reject()),
    ];
  }

  readonly middleware: Middleware = {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const version = document.version;
      const caret = this.caret;
      const early = caret?.document === document && caret.version === version && !position.isEqual(caret.position);
      if (early) return null; // before `behindAstral`
      const answer = await next(document, position, this.asked(context), token);
      if (token.isCancellationRequested || document.version !== version) return null;
      const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
      this.keep(document, position, items);
      return answer;
    },
    executeCommand: (command, args, next) => {
      if (command === "dlmd.accepted") this.accepted();
      return next(command, args);
    },
  };

  /** Inserts as much as the model is sure of; false when nothing is there to take. */
  async acceptConfident(editor: vscode.TextEditor): Promise<boolean> {
    const latest = this.current(editor);
    if (!latest || latest.sure === "") return false;
    const { document, position, sure } = latest;
    this.shown = undefined;
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    if (!(await editor.edit((edit) => edit.insert(position, sure)))) return false;
    const end = document.positionAt(document.offsetAt(position) + insertedLength(document, sure));
    editor.selection = new vscode.Selection(end, end);
    this.send("dlmd.accepted", { id: latest.id, part: "confident", characters: sure.length });
    await this.rest();
    return true;
  }

  dispose(): void {
    for (const each of this.heard) each.dispose();
  }

  /** What is left of a suggestion after a part of it was put in. */
  private async rest(): Promise<void> {
    this.forRest = true;
    await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
    this.forRest = false;
  }

  /** VS Code asks again only as if by hand, which would bring other suggestions, not the rest of this one. */
  private asked(context: vscode.InlineCompletionContext): vscode.InlineCompletionContext {
    const unasked = this.forRest && settings.all().get("trigger") !== "manual";
    this.forRest = false;
    return unasked ? { ...context, triggerKind: vscode.InlineCompletionTriggerKind.Automatic } : context;
  }

  private current(editor: vscode.TextEditor): Latest | undefined {
    const latest = this.latest;
    const here = latest?.document === editor.document && latest.version === editor.document.version;
    return here && latest.position.isEqual(editor.selection.active) ? latest : undefined;
  }

  private keep(document: vscode.TextDocument, position: vscode.Position, items: vscode.InlineCompletionItem[]): void {
    const parts = items[0]?.command?.arguments?.[0] as Parts | undefined;
    const texts = items.map(({ insertText }) => (typeof insertText === "string" ? insertText : insertText.value));
    const sure = surePart(texts.map((text, at) => ({ text, confident: at === 0 ? (parts?.confident ?? 0) : 0 })));
    void vscode.commands.executeCommand("setContext", "dlmd.confidentPart", sure > 0);
    if (!parts?.id) return;
    this.latest = { document, version: document.version, position, id: parts.id, sure: texts[0]?.slice(0, sure) ?? "" };
    if (this.shown?.id !== parts.id) this.send("dlmd.shown", { id: parts.id });
    this.shown = { id: parts.id, uri: document.uri.toString(), offset: document.offsetAt(position), texts, taken: "" };
  }

  private changed(event: vscode.TextDocumentChangeEvent): void {
    const { document, contentChanges } = event;
    const shown = this.shown;
    if (!shown || document.uri.toString() !== shown.uri || contentChanges.length === 0) return;
    this.caret = undefined;
    const changes: Change[] = contentChanges.map(({ rangeOffset, rangeLength, text }) => ({ offset: rangeOffset, removed: rangeLength, text }));
    const fate = afterChanges(shown, changes);
    if (fate.kind === "rejected") return this.reject();
    this.shown = fate.shown;
    if (ASTRAL.test(contentChanges[0]?.text ?? "")) this.caret = { document, version: document.version, position: document.positionAt(fate.shown.offset) };
    // All of it: the item's own command says so.
    if (fate.kind === "part" && !fate.shown.texts.includes("")) {
      const part = /^\S*$/.test(fate.put.trim()) ? "word" : "line";
      this.send("dlmd.accepted", { id: shown.id, part, characters: fate.put.length });
    }
  }

  private moved(event: vscode.TextEditorSelectionChangeEvent): void {
    const shown = this.shown;
    const document = event.textEditor.document;
    if (event.kind === undefined) this.behindAstral(event.textEditor);
    if (!shown || document.uri.toString() !== shown.uri || event.kind === undefined) return;
    if (document.offsetAt(event.selections[0]?.active ?? new vscode.Position(0, 0)) !== shown.offset) this.reject();
  }

  private accepted(): void {
    this.shown = undefined;
    void vscode.commands.executeCommand("setContext", "dlmd.accepted", true);
  }

  /** Hides it, and it stays away while what it says is typed. */
  async sendAway(): Promise<void> {
    this.reject({ dismissed: true });
    this.latest = undefined;
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  }

  private reject(more: object = {}): void {
    if (this.shown && !this.shown.texts.includes("")) this.send("dlmd.rejected", { id: this.shown.id, ...more });
    this.shown = undefined;
  }

  /**
   * VS Code counts characters beyond the 16-bit ones as one when it puts the cursor behind what
   * was taken, whole or in part, where its columns count two (seen in 1.100): the cursor ends
   * up too far left. What is left of the suggestion is asked for again where it belongs.
   */
  private behindAstral(editor: vscode.TextEditor): void {
    const caret = this.caret;
    const there = caret && editor.document === caret.document && editor.document.version === caret.version;
    if (!there || !editor.selection.isEmpty || editor.selection.active.isEqual(caret.position)) return;
    this.caret = undefined;
    editor.selection = new vscode.Selection(caret.position, caret.position);
    if (this.shown && !this.shown.texts.includes("")) void this.rest();
  }
}

/** What a text is long once it stands in the document, whose line ends may be others. */
function insertedLength(document: vscode.TextDocument, text: string): number {
  const plain = text.replaceAll("\r\n", "\n");
  return document.eol === vscode.EndOfLine.CRLF ? plain.replaceAll("\n", "\r\n").length : plain.length;
}
