import assert from "node:assert/strict";
import { test } from "node:test";
import { type DaemonStatus, type Event, face, next, START, type State } from "../src/state";

function after(...events: Event[]): State {
  return events.reduce(next, START);
}

const RUNNING: Event = { kind: "running", version: "0.1.0" };

function daemon(phase: string, more: Partial<DaemonStatus> = {}): Event {
  return { kind: "daemon", status: { phase, ...more } };
}

const EMBEDDED = { model: "embedded", profile: "embedded", device: "cpu" };
const LARGE = { model: "diffucoder-7b-cpgrpo", profile: "diffucoder", device: "cuda:0" };

test("model and device are in the text of every phase in which a model answers", () => {
  for (const phase of ["ready", "busy", "idle", "hanging", "sleeping", "loading"]) {
    for (const model of [EMBEDDED, LARGE]) {
      const { text } = face(after(RUNNING, daemon(phase, model)));
      assert.ok(text.includes(model.model) && text.includes(model.device), `${phase}: ${text}`);
    }
  }
});

test("a phase that does not name the model keeps the one that answered", () => {
  const state = after(RUNNING, daemon("ready", LARGE), daemon("hanging"));
  assert.match(face(state).text, /diffucoder-7b-cpgrpo · cuda:0: not answering/);
  assert.equal(face(state).tone, "warning");
});

test("a daemon that ended takes its model's name with it: the next may hold another", () => {
  for (const phase of ["starting", "stopping", "stopped"]) {
    const state = after(RUNNING, daemon("ready", LARGE), daemon(phase), daemon("loading"));
    assert.doesNotMatch(face(state).text, /diffucoder/);
  }
});

test("the embedded model is called small", () => {
  assert.ok(face(after(RUNNING, daemon("ready", EMBEDDED))).details.some((line) => line.includes("small model")));
  assert.ok(!face(after(RUNNING, daemon("ready", LARGE))).details.some((line) => line.includes("small model")));
});

test("an adapter is part of the name, and a model's folder is not", () => {
  const { text } = face(after(RUNNING, daemon("ready", { model: "/models/mine/", device: "cpu", adapter: "ours" })));
  assert.match(text, /mine\+ours · cpu/);
  assert.doesNotMatch(text, /models/);
});

test("a server that ends forgets daemon, model, work and what waits", () => {
  const busy = after(RUNNING, daemon("ready", LARGE), { kind: "work", work: { label: "x", step: 1, of: 2 } }, { kind: "waiting", waiting: true });
  const ended = next(busy, { kind: "ended", reason: "why" });
  assert.deepEqual({ ...ended, server: START.server, note: START.note }, START);
  assert.equal(face(ended).tone, "error");
  assert.ok(face(ended).details.includes("why"));
});

test("each trouble offers what mends it", () => {
  const offered = (...events: Event[]): string => face(after(...events)).action;
  assert.equal(offered({ kind: "unsupported" }), "wsl");
  assert.equal(offered({ kind: "missing", note: "" }), "install");
  assert.equal(offered({ kind: "ended", reason: "" }), "restart");
  assert.equal(offered(RUNNING, daemon("stopped")), "start");
  assert.equal(offered(RUNNING, daemon("failed")), "doctor");
  assert.equal(offered(RUNNING, daemon("hanging")), "doctor");
});

test("loading says how far and how long", () => {
  const state = after(RUNNING, daemon("loading", { ...LARGE, bytesDone: 45, bytesTotal: 100, etaS: 2.2 }));
  assert.match(face(state).text, /, 45 %, 3 s left$/);
});

test("work is told by its step, and only a busy daemon without work is drawn late", () => {
  const busy = after(RUNNING, daemon("busy", EMBEDDED));
  assert.equal(face(busy).brief, true);
  const working = next(busy, { kind: "work", work: { label: "filling holes", step: 3, of: 9 } });
  assert.equal(face(working).brief, false);
  assert.match(face(working).text, /embedded · cpu: filling holes 3\/9$/);
});

test("manual triggering shows, and a waiting suggestion says its key", () => {
  const manual = after(RUNNING, { kind: "trigger", trigger: "manual" }, daemon("ready", EMBEDDED));
  assert.match(face(manual).text, /\(manual\)$/);
  const waits = next(manual, { kind: "waiting", waiting: true });
  assert.match(face(waits).says, /Alt\+\\/);
});

test("a sentence of the daemon is what the tooltip says first; its fix is told", () => {
  const state = after(RUNNING, daemon("failed", { message: "no room", detail: "3 GB of 15", fix: "dlmd pull x" }));
  assert.equal(face(state).says, "no room");
  assert.deepEqual(face(state).details.slice(0, 2), ["3 GB of 15", "Fix: dlmd pull x"]);
});

test("an unknown phase is shown, not hidden", () => {
  assert.match(face(after(RUNNING, daemon("dreaming"))).text, /dreaming/);
});
