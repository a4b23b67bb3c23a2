/**
 * The user's settings as the language server takes them.
 *
 * What is empty is left out, so that the server's own config.toml decides there.
 * Must not know what the settings do.
 */

import * as vscode from "vscode";

/** Ours alone; the server is not told of them. */
const OURS = new Set(["command", "installFrom", "heatMap", "trace"]);

/** One language server serves the window, so none of the settings is a folder's. */
export function all(): vscode.WorkspaceConfiguration {
  return vscode.workspace.getConfiguration("dlmd");
}

export function forServer(section: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(section);
  return Object.fromEntries(entries.filter(([key, value]) => !OURS.has(key) && value !== null && value !== ""));
}

export function initial(): Record<string, unknown> {
  const section = all();
  const keys = Object.keys(section).filter((key) => typeof section[key] !== "function");
  return forServer(Object.fromEntries(keys.map((key) => [key, section.get(key)])));
}
