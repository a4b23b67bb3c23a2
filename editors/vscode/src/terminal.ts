/**
 * A terminal that is ready to be typed into. Must not know what is typed.
 */

import * as vscode from "vscode";

/** A shell without integration never says that it is ready. */
const PROMPT_MS = 2000;

/** Shown, and its shell at the prompt: what is typed earlier is echoed twice. */
export async function opened(name: string): Promise<vscode.Terminal> {
  const terminal = vscode.window.createTerminal({ name });
  terminal.show();
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      heard.dispose();
      resolve();
    };
    const timer = setTimeout(done, PROMPT_MS);
    const heard = vscode.window.onDidChangeTerminalShellIntegration((event) => event.terminal === terminal && done());
  });
  return terminal;
}
