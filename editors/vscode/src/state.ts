/**
 * The one state machine behind the status bar: what has happened, and how that looks.
 *
 * Pure: events in, a state and its face out. Model and device are in the text whenever a
 * model answers, so that the small embedded model is never taken for another.
 * Must not know VS Code, processes or the protocol's transport.
 */

/** `dlmd/status`, as the server sends it. */
export interface DaemonStatus {
  phase: string;
  model?: string | null;
  profile?: string | null;
  device?: string | null;
  adapter?: string | null;
  detail?: string | null;
  fix?: string | null;
  bytesDone?: number | null;
  bytesTotal?: number | null;
  etaS?: number | null;
  message?: string | null;
}

export interface Work {
  label: string;
  step: number;
  of: number;
}

export interface State {
  server: "unsupported" | "searching" | "missing" | "launching" | "running" | "ended";
  /** Of the server: its version while it runs, the reason when it does not. */
  note: string;
  daemon: DaemonStatus | null;
  /** The model that answered last, for the phases that do not name it. */
  model: string;
  device: string;
  adapter: string;
  work: Work | null;
  trigger: string;
  waiting: boolean;
}

export type Event =
  | { kind: "unsupported" }
  | { kind: "searching" }
  | { kind: "missing"; note: string }
  | { kind: "launching" }
  | { kind: "running"; version: string }
  | { kind: "ended"; reason: string }
  | { kind: "daemon"; status: DaemonStatus }
  | { kind: "work"; work: Work | null }
  | { kind: "trigger"; trigger: string }
  | { kind: "waiting"; waiting: boolean };

export const START: State = {
  server: "searching",
  note: "",
  daemon: null,
  model: "",
  device: "",
  adapter: "",
  work: null,
  trigger: "automatic",
  waiting: false,
};

export function next(state: State, event: Event): State {
  switch (event.kind) {
    case "unsupported":
    case "searching":
    case "launching":
      return { ...gone(state), server: event.kind, note: "" };
    case "missing":
      return { ...gone(state), server: "missing", note: event.note };
    case "running":
      return { ...state, server: "running", note: event.version };
    case "ended":
      return { ...gone(state), server: "ended", note: event.reason };
    case "daemon":
      return { ...state, daemon: event.status, ...lastModel(event.status) };
    case "work":
      return { ...state, work: event.work };
    case "trigger":
      return { ...state, trigger: event.trigger };
    case "waiting":
      return { ...state, waiting: event.waiting };
  }
}

/** Without a server nothing is known of daemon and model, and nothing is under way. */
function gone(state: State): State {
  return { ...state, daemon: null, model: "", device: "", adapter: "", work: null, waiting: false };
}

function lastModel(status: DaemonStatus): Partial<State> {
  if (OFF.has(status.phase)) return { model: "", device: "", adapter: "" };
  if (!status.model) return {};
  return { model: status.model, device: status.device ?? "", adapter: status.adapter ?? "" };
}

/** No process holds a model in these phases: another one may answer next time. */
const OFF = new Set(["starting", "stopped", "stopping"]);

export type Tone = "plain" | "warning" | "error";
export type Action = "none" | "install" | "wsl" | "restart" | "start" | "doctor" | "menu";

export interface Face {
  /** In VS Code's `$(icon)` notation. */
  text: string;
  tone: Tone;
  /** The first line of the tooltip, and what a screen reader says. */
  says: string;
  details: string[];
  /** What a click should offer first. */
  action: Action;
  /** True where a calm bar waits a moment before it draws this. */
  brief: boolean;
}

export function face(state: State): Face {
  switch (state.server) {
    case "unsupported":
      return plain("$(warning) dlmd: needs WSL", "warning", "wsl", "dlmd runs on Linux and macOS, and on Windows inside WSL 2", [
        "Install WSL 2 (in a terminal: wsl --install), then reopen this folder there.",
      ]);
    case "searching":
      return plain("$(search) dlmd", "plain", "menu", "looking for the program dlmd");
    case "missing":
      return plain("$(warning) dlmd: not installed", "warning", "install", "the program dlmd was not found", [state.note]);
    case "launching":
      return plain("$(loading~spin) dlmd", "plain", "menu", "the language server is starting");
    case "ended":
      return plain("$(error) dlmd: ended", "error", "restart", "the language server ended", [state.note]);
    case "running":
      return daemonFace(state);
  }
}

function daemonFace(state: State): Face {
  const status = state.daemon;
  const details = facts(state);
  if (status === null) {
    return plain(withTrigger("$(circle-outline) dlmd: idle", state), "plain", "menu", "no daemon was needed yet", details);
  }
  const says = status.message || status.detail || status.phase;
  const named = name(state);
  switch (status.phase) {
    case "ready":
    case "busy":
    case "idle":
      return serving(state, named, says, details);
    case "starting":
      return plain("$(loading~spin) dlmd: starting", "plain", "menu", says, details);
    case "loading":
      return plain(`$(loading~spin) dlmd: loading ${named}${progress(status)}`, "plain", "menu", says, details);
    case "sleeping":
      return plain(`$(debug-pause) dlmd ${named}: asleep`, "plain", "menu", says, details);
    case "hanging":
      return plain(`$(warning) dlmd ${named}: not answering`, "warning", "doctor", says, details);
    case "stopping":
    case "stopped":
      return plain("$(circle-slash) dlmd: stopped", "plain", "start", says, details);
    case "failed":
      return plain("$(error) dlmd: failed", "error", "doctor", says, details);
    default:
      return plain(`$(question) dlmd ${named}: ${status.phase}`, "plain", "menu", says, details);
  }
}

function serving(state: State, named: string, says: string, details: string[]): Face {
  if (state.work) {
    const { label, step, of } = state.work;
    const steps = of > 0 ? ` ${step}/${of}` : "";
    return plain(`$(loading~spin) dlmd ${named}: ${label}${steps}`, "plain", "menu", says, details);
  }
  if (state.waiting) return plain(`$(lightbulb) dlmd ${named}`, "plain", "menu", "a suggestion waits: Alt+\\ shows it", details);
  const busy = state.daemon?.phase === "busy";
  const idle = state.daemon?.phase === "idle";
  const icon = busy ? "$(loading~spin)" : idle ? "$(circle-outline)" : "$(check)";
  const shown = plain(withTrigger(`${icon} dlmd ${named}`, state), "plain", "menu", says, details);
  return { ...shown, brief: busy };
}

function plain(text: string, tone: Tone, action: Action, says: string, details: string[] = []): Face {
  return { text, tone, action, says, details: details.filter((line) => line !== ""), brief: false };
}

function withTrigger(text: string, state: State): string {
  return state.trigger === "automatic" ? text : `${text} (${state.trigger})`;
}

/** "embedded · cpu": always both, as far as they are known. */
export function name(state: State): string {
  const model = shortModel(state.model) || "model";
  const adapted = state.adapter ? `${model}+${state.adapter}` : model;
  return state.device ? `${adapted} · ${state.device}` : adapted;
}

/** A model may be the path of its folder; its last part tells it apart. */
function shortModel(model: string): string {
  return model.replace(/\/+$/, "").split("/").pop() ?? model;
}

function progress(status: DaemonStatus): string {
  const { bytesDone, bytesTotal, etaS } = status;
  const share = bytesTotal ? `, ${Math.floor((100 * (bytesDone ?? 0)) / bytesTotal)} %` : "";
  return etaS ? `${share}, ${Math.ceil(etaS)} s left` : share;
}

function facts(state: State): string[] {
  const status = state.daemon;
  const lines: string[] = [];
  if (status?.detail && status.detail !== status.message) lines.push(status.detail);
  if (status?.fix) lines.push(`Fix: ${status.fix}`);
  if (state.model) lines.push(`Model ${state.model}${state.device ? ` on ${state.device}` : ""}`);
  if (isEmbedded(state)) lines.push("This is the small model that ships with dlmd, made for trying it out.");
  if (state.adapter) lines.push(`Adapter ${state.adapter}`);
  if (state.note) lines.push(`dlmd ${state.note}`);
  if (state.trigger === "manual") lines.push("Suggestions come only when asked for (dlmd.trigger).");
  if (state.trigger === "subtle") lines.push("Suggestions are made ready and shown when asked for (dlmd.trigger).");
  return lines;
}

function isEmbedded(state: State): boolean {
  return state.model === "embedded" || state.daemon?.profile === "embedded";
}
