/**
 * What a person asks for: fill, rewrite, repair, keep, cancel, again.
 *
 * Each command is one request; its token cancels it, which reaches the device. The server
 * says what it refuses. Must not know drawings, nor how the server is started.
 */

import * as vscode from "vscode";
import type { LiveState } from "./live";
import type { Server } from "./server";
import type { Event } from "./state";

type Outcome = { applied?: boolean; reason?: string | null } | null | undefined;
type Again = { again?: boolean; ask?: boolean; reason?: string | null } | null | undefined;

const LABELS: Record<string, string> = {
  "dlmd.completeFunction": "writing the function",
  "dlmd.fillHoles": "filling holes",
  "dlmd.rewrite": "rewriting",
  "dlmd.repair": "repairing",
  "dlmd.longer": "once more, longer",
  "dlmd.shorter": "once more, shorter",
};

interface Run {
  uri: string;
  label: string;
  stop: vscode.CancellationTokenSource;
}

export class Commands {
  private run: Run | undefined;

  constructor(
    private readonly server: Server,
    private readonly tell: (event: Event) => void,
    private readonly unavailable: () => void,
  ) {}

  async writeFunction(editor: vscode.TextEditor): Promise<void> {
    await this.start(editor, "dlmd.completeFunction", { position: editor.selection.active });
  }

  /** Each selected text is a hole; without a selection the server looks for holes itself. */
  async fillAll(editor: vscode.TextEditor): Promise<void> {
    const chosen = editor.selections.filter((selection) => !selection.isEmpty);
    const one = chosen[0] ? { range: plain(chosen[0]) } : { position: editor.selection.active };
    const where = chosen.length > 1 ? { ranges: chosen.map(plain) } : one;
    await this.start(editor, "dlmd.fillHoles", where);
  }

  async rewrite(editor: vscode.TextEditor): Promise<void> {
    if (editor.selection.isEmpty) {
      void vscode.window.showInformationMessage("dlmd: nothing is selected; select what is to be rewritten and run the command again.");
    } else {
      await this.start(editor, "dlmd.rewrite", { range: plain(editor.selection) });
    }
  }

  async repair(editor: vscode.TextEditor): Promise<void> {
    const selection = editor.selection;
    const near = selection.isEmpty ? editor.document.lineAt(selection.active.line).range : selection;
    const problems = vscode.languages.getDiagnostics(editor.document.uri).filter((problem) => problem.range.intersection(near));
    const diagnostics = problems.map((problem) => ({ range: plain(problem.range) }));
    const range = selection.isEmpty ? {} : { range: plain(selection) };
    await this.start(editor, "dlmd.repair", { position: selection.active, ...range, ...(diagnostics.length ? { diagnostics } : {}) });
  }

  cancel(): void {
    this.run?.stop.cancel();
  }

  async keep(): Promise<void> {
    if (this.run) await this.quietly(this.server.execute("dlmd.stopAndKeep", { uri: this.run.uri }));
  }

  /** The running or last command, or the suggestion on the screen, at another length. */
  async resize(editor: vscode.TextEditor, command: "dlmd.longer" | "dlmd.shorter"): Promise<void> {
    const uri = editor.document.uri.toString();
    // The one that runs goes on, at the other length; it stays the one that can be cancelled.
    if (this.run?.uri === uri) return void (await this.quietly(this.server.execute(command, { uri })));
    const answer = await this.start<Again>(editor, command, {});
    if (answer?.ask) await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
  }

  state(state: LiveState): void {
    if (this.run && !state.done && state.kind !== "inline") {
      this.tell({ kind: "work", work: { label: this.run.label, step: state.step, of: state.of } });
    }
  }

  /** One at a time: a newer command ends the older one. */
  private async start<T = Outcome>(editor: vscode.TextEditor, command: string, argument: object): Promise<T | undefined> {
    if (!this.server.running()) {
      this.unavailable();
      return undefined;
    }
    this.cancel();
    const document = editor.document;
    const uri = document.uri.toString();
    const run: Run = { uri, label: LABELS[command] ?? command, stop: new vscode.CancellationTokenSource() };
    this.begin(run);
    try {
      return await this.quietly(this.server.execute<T>(command, { uri, version: document.version, ...argument }, run.stop.token));
    } finally {
      this.end(run);
    }
  }

  private begin(run: Run): void {
    this.run = run;
    this.tell({ kind: "work", work: { label: run.label, step: 0, of: 0 } });
    void vscode.commands.executeCommand("setContext", "dlmd.running", true);
  }

  private end(run: Run): void {
    run.stop.dispose();
    if (this.run !== run) return;
    this.run = undefined;
    this.tell({ kind: "work", work: null });
    void vscode.commands.executeCommand("setContext", "dlmd.running", false);
    void vscode.commands.executeCommand("setContext", "dlmd.resizable", true);
  }

  /** The server has said what it refuses, and a cancelled request is no news. */
  private async quietly<T>(asked: Promise<T>): Promise<T | undefined> {
    try {
      return await asked;
    } catch (error) {
      this.server.log.info(String(error));
      return undefined;
    }
  }
}

function plain(range: vscode.Range): object {
  return { start: { line: range.start.line, character: range.start.character }, end: { line: range.end.line, character: range.end.character } };
}
