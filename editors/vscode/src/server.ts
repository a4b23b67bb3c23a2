/**
 * The language server's life: found, started, started again, ended. Quiet throughout.
 *
 * Nothing here opens a message box: what goes wrong is in the status bar and in the log.
 * Must not know holes, drawings or commands.
 */

import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  ExecuteCommandRequest,
  LanguageClient,
  type LanguageClientOptions,
  type Middleware,
  RevealOutputChannelOn,
  State,
} from "vscode-languageclient/node";
import { findProgram, named, type World } from "./find";
import * as settings from "./settings";
import type { DaemonStatus, Event } from "./state";

/** Ends this often within this time mean that trying on is of no use. */
const MOST_ENDS = 4;
const WITHIN_MS = 180_000;
const PAUSE_MS = 500;

export function thisMachine(): World {
  return { platform: process.platform, home: homedir(), path: process.env.PATH ?? "", runnable };
}

function runnable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Some errors the library would show in a box, whatever it is told; ours are in the status bar. */
class Quiet extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private ends: number[] = [];
  private again: NodeJS.Timeout | undefined;
  private turn = 0;

  constructor(
    readonly log: vscode.LogOutputChannel,
    private readonly tell: (event: Event) => void,
    private readonly hear: (method: string, params: unknown) => void,
    private readonly middleware: Middleware,
  ) {}

  /** The command in force, or null when there is no program. */
  static command(): string[] | null {
    const given = Server.given();
    if (given) return named(thisMachine(), given);
    const program = findProgram(thisMachine());
    return program === null ? null : [program, "lsp"];
  }

  private static given(): string[] | undefined {
    const given = settings.all().get<string[] | null>("command");
    return given && given.length > 0 ? given : undefined;
  }

  running(): LanguageClient | undefined {
    return this.client?.state === State.Running ? this.client : undefined;
  }

  /** Starts unless it runs or is about to. */
  async start(): Promise<void> {
    if (this.client) return;
    if (process.platform === "win32") return this.tell({ kind: "unsupported" });
    const command = Server.command();
    if (command === null) {
      const given = Server.given();
      const note = given ? `The setting dlmd.command names ${given[0]}, and there is no such program here.` : "Click to install it, or name it in the setting dlmd.command.";
      return this.tell({ kind: "missing", note });
    }
    const turn = ++this.turn;
    this.tell({ kind: "launching" });
    this.log.info(`starting ${command.join(" ")}`);
    const client = this.made(command, turn);
    this.client = client;
    for (const method of ["dlmd/status", "dlmd/state", "dlmd/waiting"]) {
      client.onNotification(method, (params) => this.heard(method, params));
    }
    try {
      await client.start();
      if (turn !== this.turn) return;
      this.tell({ kind: "running", version: client.initializeResult?.serverInfo?.version ?? "" });
    } catch (error) {
      this.closed(turn, String(error));
    }
  }

  async stop(): Promise<void> {
    clearTimeout(this.again);
    this.turn += 1;
    const client = this.client;
    this.client = undefined;
    try {
      await client?.dispose(2000);
    } catch (error) {
      this.log.info(`while stopping: ${String(error)}`);
    }
  }

  /** A person asked for it: earlier ends are forgiven. */
  async restart(): Promise<void> {
    this.ends = [];
    await this.stop();
    await this.start();
  }

  /** Undefined when no server runs; what the server refuses is thrown. */
  async execute<T>(command: string, argument?: object, token?: vscode.CancellationToken): Promise<T | undefined> {
    const params = { command, arguments: argument === undefined ? [] : [argument] };
    return (await this.running()?.sendRequest(ExecuteCommandRequest.type, params, token)) as T | undefined;
  }

  notify(method: string, params: object): void {
    void this.running()?.sendNotification(method, params).catch(() => undefined);
  }

  dispose(): void {
    void this.stop();
  }

  private heard(method: string, params: unknown): void {
    if (method === "dlmd/status") this.tell({ kind: "daemon", status: params as DaemonStatus });
    else this.hear(method, params);
  }

  private made(command: string[], turn: number): LanguageClient {
    const [program, ...args] = command as [string, ...string[]];
    const options: LanguageClientOptions = {
      documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
      synchronize: { configurationSection: "dlmd" },
      initializationOptions: () => settings.initial(),
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: this.middleware,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          this.closed(turn, "its connection closed");
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      initializationFailedHandler: () => false,
    };
    const cwd = homedir(); // not the workspace: Python would import from there
    return new Quiet("dlmd", "dlmd", { command: program, args, options: { cwd } }, options);
  }

  /** It ended by itself: once more after a pause, a few times. */
  private closed(turn: number, reason: string): void {
    if (turn !== this.turn) return;
    this.turn += 1;
    this.client = undefined;
    const now = Date.now();
    this.ends = [...this.ends.filter((at) => now - at < WITHIN_MS), now];
    this.log.warn(`the language server ended: ${reason}`);
    if (this.ends.length < MOST_ENDS) {
      this.tell({ kind: "launching" });
      this.again = setTimeout(() => void this.start(), PAUSE_MS * this.ends.length);
    } else {
      this.tell({ kind: "ended", reason: "It ended several times; the log says why. Click to start it again." });
    }
  }
}
