/**
 * dlmd in VS Code: wires settings, keys and events to the files beside it.
 *
 * Draws and forwards, nothing more: when to ask, what to ask for and what a good answer is,
 * the language server (`dlmd lsp`) knows. What it doesn't do: telemetry, message boxes while
 * you type, running anything that a workspace names.
 */

import * as vscode from "vscode";
import { Bar } from "./bar";
import { Commands } from "./commands";
import { install } from "./install";
import { Live, type LiveState } from "./live";
import * as menu from "./menu";
import { Server } from "./server";
import * as settings from "./settings";
import type { State } from "./state";
import { Suggestions } from "./suggestions";

/** So long must lines stand still before they count as looked at. */
const LOOKED_AT_MS = 2000;

interface Parts {
  server: Server;
  commands: Commands;
  live: Live;
  bar: Bar;
  suggestions: Suggestions;
}

let stopping: (() => Promise<void>) | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel("dlmd", { log: true });
  const bar = new Bar(drawn);
  const live = new Live();
  const suggestions = new Suggestions((command, argument) => void server.execute(command, argument).catch(() => undefined));
  const tell = bar.tell.bind(bar);
  const server: Server = new Server(log, tell, heard, {
    ...suggestions.middleware,
    handleWorkDoneProgress: () => undefined, // our own item of the status bar says it, with the model
    workspace: { configuration: async (params, token, next) => (await toServer(next(params, token))) as never },
  });
  const commands = new Commands(server, tell, () => void menu.menu(bar.state));
  const parts = { server, commands, live, bar, suggestions };

  function heard(method: string, params: unknown): void {
    if (method === "dlmd/waiting") return waiting(bar, true);
    live.show(params as LiveState);
    commands.state(params as LiveState);
  }

  context.subscriptions.push(log, bar, live, suggestions, server);
  context.subscriptions.push(...registered(parts), ...watched(parts));
  context.subscriptions.push(vscode.workspace.registerTextDocumentContentProvider(menu.SENT, menu.content));
  stopping = () => server.stop();
  tell({ kind: "trigger", trigger: settings.all().get<string>("trigger") ?? "automatic" });
  await server.start();
}

export async function deactivate(): Promise<void> {
  await stopping?.();
}

function drawn(state: State): void {
  void vscode.commands.executeCommand("setContext", "dlmd.active", state.server === "running");
}

function waiting(bar: Bar, on: boolean): void {
  if (bar.state.waiting !== on) bar.tell({ kind: "waiting", waiting: on });
}

/** `workspace/configuration` answers with one section for each that was asked for. */
async function toServer(answer: unknown): Promise<unknown> {
  const sections = await answer;
  if (!Array.isArray(sections)) return sections;
  return sections.map((section) => (section && typeof section === "object" ? settings.forServer(section as Record<string, unknown>) : section));
}

function registered(parts: Parts): vscode.Disposable[] {
  const all = { ...editing(parts), ...asking(parts) };
  return Object.entries(all).map(([name, action]) => vscode.commands.registerCommand(name, () => said(parts.server, action)));
}

/** Somebody asked for it by name, so what goes wrong is said, in words of ours. */
async function said(server: Server, action: () => unknown): Promise<unknown> {
  try {
    return await action();
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    server.log.warn(words);
    void vscode.window.showWarningMessage(`dlmd: ${words}`);
    return undefined;
  }
}

/** Commands on the file in front. */
function editing({ commands, live, suggestions }: Parts): Record<string, () => unknown> {
  const here = (work: (editor: vscode.TextEditor) => unknown) => (): unknown => {
    const editor = vscode.window.activeTextEditor;
    return editor && work(editor);
  };
  return {
    "dlmd.suggest": () => vscode.commands.executeCommand("editor.action.inlineSuggest.trigger"),
    "dlmd.writeFunction": here((editor) => commands.writeFunction(editor)),
    "dlmd.fillAll": here((editor) => commands.fillAll(editor)),
    "dlmd.rewriteSelection": here((editor) => commands.rewrite(editor)),
    "dlmd.repairHere": here((editor) => commands.repair(editor)),
    "dlmd.acceptConfident": here((editor) => suggestions.acceptConfident(editor)),
    "dlmd.sendAway": () => suggestions.sendAway(),
    "dlmd.keep": () => commands.keep(),
    "dlmd.cancel": () => commands.cancel(),
    "dlmd.makeLonger": here((editor) => commands.resize(editor, "dlmd.longer")),
    "dlmd.makeShorter": here((editor) => commands.resize(editor, "dlmd.shorter")),
    "dlmd.toggleHeat": async () => {
      await set("heatMap", !settings.all().get<boolean>("heatMap"));
      live.redraw();
    },
  };
}

/** Commands that ask and tell. */
function asking({ server, bar }: Parts): Record<string, () => unknown> {
  const run = vscode.commands.executeCommand;
  return {
    "dlmd.toggleAutomatic": () => set("trigger", settings.all().get("trigger") === "manual" ? "automatic" : "manual"),
    "dlmd.why": () => menu.why(server, vscode.window.activeTextEditor, bar.state),
    "dlmd.showSent": () => menu.showSent(server, vscode.window.activeTextEditor),
    "dlmd.menu": () => menu.menu(bar.state),
    "dlmd.doctor": () => menu.inTerminal("dlmd doctor", "doctor"),
    "dlmd.startModel": () => menu.inTerminal("dlmd serve", "serve", "--detach"),
    "dlmd.showLog": () => server.log.show(),
    "dlmd.settings": () => run("workbench.action.openSettings", "@ext:dlmd.dlmd"),
    "dlmd.restart": () => server.restart(),
    "dlmd.install": () => install(),
    "dlmd.walkthrough": () => run("workbench.action.openWalkthrough", "dlmd.dlmd#start"),
  };
}

async function set(key: string, value: unknown): Promise<void> {
  await settings.all().update(key, value, vscode.ConfigurationTarget.Global);
}

function watched({ server, bar }: Parts): vscode.Disposable[] {
  const missing = (): void => {
    if (bar.state.server === "missing" && Server.command() !== null) void server.restart();
  };
  const moved = (): void => waiting(bar, false);
  let looking: NodeJS.Timeout | undefined;
  return [
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("dlmd.trigger")) bar.tell({ kind: "trigger", trigger: settings.all().get<string>("trigger") ?? "automatic" });
      if (["command", "daemonCommand", "connect"].some((key) => event.affectsConfiguration(`dlmd.${key}`))) void server.restart();
    }),
    // An installation may have ended in a terminal, ours or another.
    vscode.window.onDidChangeWindowState((window) => window.focused && missing()),
    vscode.window.onDidChangeActiveTerminal(missing),
    vscode.window.onDidEndTerminalShellExecution(missing),
    vscode.window.onDidCloseTerminal(missing),
    vscode.workspace.onDidChangeTextDocument((event) => {
      if (event.contentChanges.length > 0) moved();
    }),
    vscode.window.onDidChangeTextEditorSelection(moved),
    vscode.window.onDidChangeTextEditorVisibleRanges((event) => {
      clearTimeout(looking);
      looking = setTimeout(() => viewed(server, event.textEditor), LOOKED_AT_MS);
    }),
    { dispose: () => clearTimeout(looking) },
  ];
}

function viewed(server: Server, editor: vscode.TextEditor): void {
  const range = editor.visibleRanges[0];
  const known = ["file", "untitled"].includes(editor.document.uri.scheme);
  if (!range || !known || !settings.all().get<boolean>("otherFiles")) return;
  const place = ({ line, character }: vscode.Position): object => ({ line, character });
  server.notify("dlmd/viewed", { uri: editor.document.uri.toString(), range: { start: place(range.start), end: place(range.end) } });
}
