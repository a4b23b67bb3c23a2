/**
 * What is said and offered when somebody asks: the status menu, why, what was sent, doctor.
 *
 * All of it on request; nothing here opens by itself. Must not know drawings.
 */

import * as vscode from "vscode";
import { instead, quoted } from "./find";
import { Server } from "./server";
import { type Action, face, type State } from "./state";
import { opened } from "./terminal";

export const SENT = "dlmd-sent";

interface Choice extends vscode.QuickPickItem {
  command?: string;
}

const CHOICES: Record<Exclude<Action, "none" | "menu">, Choice> = {
  install: { label: "$(cloud-download) Install or find dlmd", command: "dlmd.install" },
  wsl: { label: "$(remote) Reopen in WSL", command: "dlmd.install" },
  restart: { label: "$(debug-restart) Restart the language server", command: "dlmd.restart" },
  start: { label: "$(play) Start the daemon", command: "dlmd.startModel" },
  doctor: { label: "$(pulse) Run the doctor: what is wrong, and the fix", command: "dlmd.doctor" },
};

const ALWAYS: Choice[] = [
  { label: "$(question) Why is there no suggestion?", command: "dlmd.why" },
  { label: "$(eye) Show what was sent to the model", command: "dlmd.showSent" },
  { label: "$(zap) Suggest while typing: on or off", command: "dlmd.toggleAutomatic" },
  { label: "$(output) Show the log", command: "dlmd.showLog" },
  { label: "$(gear) Settings", command: "dlmd.settings" },
  { label: "$(book) Get started", command: "dlmd.walkthrough" },
];

export async function menu(state: State): Promise<void> {
  const { action, says, details } = face(state);
  const urgent = action === "none" || action === "menu" ? [] : [CHOICES[action]];
  const rest = [CHOICES.doctor, CHOICES.restart].filter((choice) => !urgent.includes(choice) && state.server === "running");
  const told: Choice[] = [
    { label: says, detail: details.join("  ·  ") || undefined, command: urgent[0]?.command },
    { label: "", kind: vscode.QuickPickItemKind.Separator },
  ];
  const picked = await vscode.window.showQuickPick([...told, ...urgent, ...ALWAYS, ...rest], { title: "dlmd" });
  if (picked?.command) await vscode.commands.executeCommand(picked.command);
}

export async function why(server: Server, editor: vscode.TextEditor | undefined, state: State): Promise<void> {
  if (!editor) return void vscode.window.showInformationMessage("dlmd: no file is open; open one and ask again.");
  const asked = { uri: editor.document.uri.toString(), position: editor.selection.active };
  const answer = await server.execute<{ code: string | null; message: string }>("dlmd.whyNot", asked);
  void vscode.window.showInformationMessage(`dlmd: ${answer?.message ?? face(state).says}`);
}

export async function showSent(server: Server, editor: vscode.TextEditor | undefined): Promise<void> {
  const asked = editor && editor.document.uri.scheme !== SENT ? { uri: editor.document.uri.toString() } : {};
  const sent = await server.execute<{ text: string; items: { path: string; kind: string; lines?: unknown }[] }>("dlmd.whatWasSent", asked);
  if (!sent?.text) return void vscode.window.showInformationMessage("dlmd: nothing was sent to the model yet.");
  const items = sent.items.map((item) => `  ${item.path} (${item.kind})`);
  const head = items.length > 0 ? ["Of other files:", ...items] : ["Nothing of other files."];
  content.set(["The newest request to the model, which runs where the daemon runs.", ...head, "", sent.text].join("\n"));
  const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(`${SENT}:What was sent`));
  await vscode.window.showTextDocument(document, { preview: true, viewColumn: vscode.ViewColumn.Beside });
}

/** The read-only page of `showSent`. */
class Content implements vscode.TextDocumentContentProvider {
  private text = "";
  private readonly emitter = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.emitter.event;

  set(text: string): void {
    this.text = text;
    this.emitter.fire(vscode.Uri.parse(`${SENT}:What was sent`));
  }

  provideTextDocumentContent(): string {
    return this.text;
  }
}

export const content = new Content();

/** In a terminal, where it can be read, copied and repeated. */
export async function inTerminal(name: string, ...words: string[]): Promise<void> {
  const command = Server.command();
  if (!command) return void vscode.commands.executeCommand("dlmd.install");
  const terminal = await opened(name);
  terminal.sendText(instead(command, words).map(quoted).join(" "));
}
