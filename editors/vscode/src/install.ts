/**
 * Helps the program dlmd onto the machine: picks a Python, types the exact command.
 *
 * The command is put into a terminal and never run for the user. Must not know the protocol.
 */

import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";
import { best, installation, interpreter, interpreters, type Interpreter, PROBE } from "./find";
import { thisMachine } from "./server";
import * as settings from "./settings";
import { opened } from "./terminal";

const PATIENCE_MS = 5000;

/** True when a terminal was opened; what happens in it is the user's. */
export async function install(): Promise<boolean> {
  if (process.platform === "win32") {
    await wsl();
    return false;
  }
  const source = settings.all().get<string>("installFrom") || clone() || (await asked());
  if (!source) return false;
  const plan = installation(thisMachine(), await python(), source);
  if ("lacks" in plan) {
    void vscode.window.showWarningMessage(`dlmd: ${plan.lacks}`);
    return false;
  }
  const terminal = await opened("dlmd: Enter installs");
  terminal.sendText(plan.command, false);
  return true;
}

/** The Python an installation would take; each is asked for its version. */
export async function python(): Promise<Interpreter | null> {
  const asked = await Promise.all(interpreters(thisMachine()).map(async (file) => interpreter(file, await told(file))));
  return best(asked.filter((each) => each !== null));
}

function told(file: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(file, ["-I", "-c", PROBE], { timeout: PATIENCE_MS }, (_, out) => resolve(out));
  });
}

/** A clone of dlmd that is open here. */
function clone(): string | undefined {
  if (!vscode.workspace.isTrusted) return undefined;
  const folders = vscode.workspace.workspaceFolders?.filter((folder) => folder.uri.scheme === "file") ?? [];
  return folders.map((folder) => folder.uri.fsPath).find(isClone);
}

function isClone(folder: string): boolean {
  const project = path.join(folder, "pyproject.toml");
  return existsSync(project) && /^name = "dlmd"$/m.test(readFileSync(project, "utf8"));
}

async function asked(): Promise<string | undefined> {
  const choice = await vscode.window.showQuickPick(
    [
      { label: "$(folder) Choose the folder of a clone, or a wheel", id: "from" },
      { label: "$(file-binary) It is installed: choose the program dlmd", id: "program" },
    ],
    { title: "dlmd: install or find", placeHolder: "dlmd is installed from its repository, which you have cloned" },
  );
  if (choice?.id === "program") return void (await program());
  if (choice?.id !== "from") return undefined;
  const picked = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: true, filters: { Wheels: ["whl"] }, openLabel: "Install from here" });
  const place = picked?.[0]?.fsPath;
  if (!place || place.endsWith(".whl") || isClone(place)) return place;
  void vscode.window.showWarningMessage(`dlmd: ${place} is no clone of dlmd (its pyproject.toml does not say so); choose the folder that holds editors/vscode.`);
  return undefined;
}

async function program(): Promise<void> {
  const picked = await vscode.window.showOpenDialog({ canSelectFiles: true, openLabel: "Use this program" });
  const file = picked?.[0]?.fsPath;
  if (file) await settings.all().update("command", [file, "lsp"], vscode.ConfigurationTarget.Global);
}

async function wsl(): Promise<void> {
  const reopen = "Reopen in WSL";
  const said = await vscode.window.showInformationMessage("dlmd runs on Linux and macOS, and on Windows inside WSL 2. Install WSL with: wsl --install", reopen);
  if (said !== reopen) return;
  const known = await vscode.commands.getCommands(true);
  const there = known.includes("remote-wsl.reopenInWSL");
  await vscode.commands.executeCommand(there ? "remote-wsl.reopenInWSL" : "workbench.extensions.search", ...(there ? [] : ["ms-vscode-remote.remote-wsl"]));
}
