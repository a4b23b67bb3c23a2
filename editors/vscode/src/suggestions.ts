/**
 * Ghost text: VS Code's own inline completion draws it; here is only what goes past it.
 *
 * Keeps what was last suggested, for taking the confident part and for the server's local
 * counts of what was shown, taken and turned down. Must not know drawings or processes.
 */

import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { afterChanges, type Change, type Shown } from "./fate";

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
  text: string;
  parts: Parts;
}

type Send = (command: string, argument: object) => void;

export class Suggestions implements vscode.Disposable {
  private latest: Latest | undefined;
  private shown: Shown | undefined;
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
      const answer = await next(document, position, context, token);
      if (token.isCancellationRequested || document.version !== version) return null;
      const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
      if (items[0]) this.keep(document, position, items[0]);
      return answer;
    },
    executeCommand: (command, args, next) => {
      if (command === "dlmd.accepted") this.accepted(args[0] as Parts | undefined);
      return next(command, args);
    },
  };

  /** Inserts as much as the model is sure of; false when nothing is there to take. */
  async acceptConfident(editor: vscode.TextEditor): Promise<boolean> {
    const latest = this.current(editor);
    const characters = latest?.parts.confident ?? 0;
    if (!latest || characters < 1) return false;
    this.shown = undefined;
    const text = latest.text.slice(0, characters);
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    if (!(await editor.edit((edit) => edit.insert(latest.position, text)))) return false;
    const end = latest.document.positionAt(latest.document.offsetAt(latest.position) + insertedLength(latest.document, text));
    editor.selection = new vscode.Selection(end, end);
    this.send("dlmd.accepted", { id: latest.parts.id, part: "confident", characters });
    await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
    return true;
  }

  dispose(): void {
    for (const each of this.heard) each.dispose();
  }

  private current(editor: vscode.TextEditor): Latest | undefined {
    const latest = this.latest;
    const here = latest?.document === editor.document && latest.version === editor.document.version;
    return here && latest.position.isEqual(editor.selection.active) ? latest : undefined;
  }

  private keep(document: vscode.TextDocument, position: vscode.Position, item: vscode.InlineCompletionItem): void {
    const text = typeof item.insertText === "string" ? item.insertText : item.insertText.value;
    const parts = item.command?.arguments?.[0] as Parts | undefined;
    if (!parts?.id) return;
    this.latest = { document, version: document.version, position, text, parts };
    const part = parts.confident ?? 0;
    void vscode.commands.executeCommand("setContext", "dlmd.confidentPart", part > 0 && part < text.length);
    if (this.shown?.id !== parts.id) this.send("dlmd.shown", { id: parts.id });
    this.shown = { id: parts.id, uri: document.uri.toString(), offset: document.offsetAt(position), text };
  }

  private changed(event: vscode.TextDocumentChangeEvent): void {
    const shown = this.shown;
    if (!shown || event.document.uri.toString() !== shown.uri || event.contentChanges.length === 0) return;
    const changes: Change[] = event.contentChanges.map((change) => ({
      offset: change.rangeOffset,
      removed: change.rangeLength,
      text: change.text,
    }));
    const fate = afterChanges(shown, changes);
    if (fate.kind === "rejected") return this.reject();
    this.shown = fate.shown;
    // All of it: the item's own command says so.
    if (fate.kind === "part" && fate.shown.text !== "") {
      const part = /^\S*\s*$/.test(shown.text.slice(0, fate.characters).trim()) ? "word" : "line";
      this.send("dlmd.accepted", { id: shown.id, part, characters: fate.characters });
    }
  }

  private moved(event: vscode.TextEditorSelectionChangeEvent): void {
    const shown = this.shown;
    const document = event.textEditor.document;
    if (!shown || document.uri.toString() !== shown.uri || event.kind === undefined) return;
    if (document.offsetAt(event.selections[0]?.active ?? new vscode.Position(0, 0)) !== shown.offset) this.reject();
  }

  private accepted(parts: Parts | undefined): void {
    this.shown = undefined;
    const editor = vscode.window.activeTextEditor;
    if (editor && this.latest && this.latest.parts.id === parts?.id) behindAstral(editor, this.latest);
    void vscode.commands.executeCommand("setContext", "dlmd.accepted", true);
  }

  private reject(): void {
    if (this.shown && this.shown.text !== "") this.send("dlmd.rejected", { id: this.shown.id });
    this.shown = undefined;
  }
}

/**
 * VS Code counts characters beyond the 16-bit ones as one when it puts the cursor behind an
 * accepted item, where its columns count two (seen in 1.100): the cursor ends up too far left.
 */
function behindAstral(editor: vscode.TextEditor, latest: Latest): void {
  const { document, position, text } = latest;
  if (editor.document !== document || !/[\ud800-\udfff]/.test(text)) return;
  const end = document.positionAt(document.offsetAt(position) + insertedLength(document, text));
  const stands = document.getText(new vscode.Range(position, end)).replaceAll("\r\n", "\n");
  if (stands === text.replaceAll("\r\n", "\n")) editor.selection = new vscode.Selection(end, end);
}

/** What a text is long once it stands in the document, whose line ends may be others. */
function insertedLength(document: vscode.TextDocument, text: string): number {
  const plain = text.replaceAll("\r\n", "\n");
  return document.eol === vscode.EndOfLine.CRLF ? plain.replaceAll("\n", "\r\n").length : plain.length;
}
