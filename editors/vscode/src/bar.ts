/**
 * Draws the state machine into the status bar. Decides nothing but when.
 */

import * as vscode from "vscode";
import { type Event, face, next, START, type State } from "./state";

/** Busy for less than this is not worth a change of the picture. */
const CALM_MS = 400;

export class Bar implements vscode.Disposable {
  state: State = START;
  private readonly item: vscode.StatusBarItem;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly changed: (state: State) => void) {
    this.item = vscode.window.createStatusBarItem("dlmd.status", vscode.StatusBarAlignment.Right, 100);
    this.item.name = "dlmd";
    this.item.command = "dlmd.menu";
    this.draw();
    this.item.show();
  }

  tell(event: Event): void {
    this.state = next(this.state, event);
    this.changed(this.state);
    clearTimeout(this.timer);
    if (face(this.state).brief) this.timer = setTimeout(() => this.draw(), CALM_MS);
    else this.draw();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.item.dispose();
  }

  private draw(): void {
    const { text, tone, says, details } = face(this.state);
    const tooltip = new vscode.MarkdownString("", true);
    for (const line of [says, ...details]) tooltip.appendText(line).appendMarkdown("\n\n");
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = { label: `dlmd: ${says}` };
    this.item.backgroundColor = tone === "plain" ? undefined : new vscode.ThemeColor(`statusBarItem.${tone}Background`);
  }
}
