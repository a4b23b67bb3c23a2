// The playground: sends a text with holes, keeps every state that comes, and draws the one
// that the scrubber points at. Speaks the same messages as the editors (docs/wire.md).

const $ = (id) => document.getElementById(id);
const HOLE = /⟦(\d*)⟧/g;
const EXAMPLE = `def mean(values):
    """The arithmetic mean of some numbers."""
    total = ⟦⟧
    return ⟦⟧
`;

let socket;
let count = 0;
let run = null; // {id, parts, states, end}: what was asked last, and what came
let latencies = [];

// ---- the wire

function connect() {
  socket = new WebSocket(`ws://${location.host}/v1/stream`);
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = () => {
    $("status").textContent = "the daemon is gone; type `dlmd open` for a new page";
    say(run && !run.end ? "the connection ended before the fill did" : "");
    finished();
  };
}

function receive(message) {
  if (message.type === "hello") return drawStatus(message.status);
  if (message.type === "status") return drawStatus(message);
  if (message.type === "failure" && message.id === null) return say(message.message);
  if (!run || message.id !== run.id) return;
  if (message.type === "state" && message.candidate === 0) {
    const following = Number($("step").value) === run.states.length;
    run.states.push(message);
    setScrubber(following ? run.states.length : Number($("step").value));
  } else if (message.type === "result") {
    run.end = message;
    const { holes, confidence } = message.candidates[0];
    const pieces = holes.map((text) => (text ? [text] : []));
    const last = run.states.at(-1);
    // A result states no confidence piece by piece; the last state has it.
    const same = last && JSON.stringify(last.holes) === JSON.stringify(pieces);
    if (!same) run.states.push({ holes: pieces, confidence: holes.map(() => [confidence]) });
    setScrubber(run.states.length);
    const { ms_first_state, ms_total, steps } = message.usage;
    say(`${steps} steps, first state after ${Math.round(ms_first_state)} ms, ` +
        `all after ${Math.round(ms_total)} ms`);
    latencies = [...latencies, ms_total].slice(-40);
    drawLatency();
    finished();
  } else if (message.type === "failure") {
    run.end = message;
    say(message.message);
    finished();
  }
}

function fill() {
  const parts = partsOf($("text").value);
  if (!parts.some((part) => part.hole)) {
    return say("the text has no hole; put ⟦⟧ where text belongs");
  }
  if (socket.readyState !== WebSocket.OPEN) return;
  const supersedes = run && !run.end ? run.id : undefined;
  run = { id: `page-${++count}`, parts, states: [], end: null };
  const mode = $("mode").value || undefined;
  const temperature = Number($("temperature").value) || 0;
  socket.send(JSON.stringify(
    { type: "infill", id: run.id, parts, mode, temperature, stream: true, supersedes }));
  say("…");
  $("stop").disabled = false;
  $("take").disabled = true;
  setScrubber(0);
}

function stop() {
  if (run && !run.end) socket.send(JSON.stringify({ type: "cancel", id: run.id }));
}

function finished() {
  $("stop").disabled = true;
  $("take").disabled = !(run && run.end && run.end.type === "result");
}

function partsOf(text) {
  const parts = [];
  let last = 0;
  for (const mark of text.matchAll(HOLE)) {
    if (mark.index > last) parts.push(text.slice(last, mark.index));
    const length = Number(mark[1]);
    parts.push({ hole: length ? { length } : {} });
    last = mark.index + mark[0].length;
  }
  if (last < text.length) parts.push(text.slice(last));
  return parts;
}

// ---- drawing

function setScrubber(at) {
  const slider = $("step");
  slider.max = run ? run.states.length : 0;
  slider.value = at;
  slider.disabled = slider.max === "0";
  draw();
}

// State 0 is the text with its holes; state n is what came n-th.
function draw() {
  const at = Number($("step").value);
  $("at").textContent = run && run.states.length ? `${at} of ${run.states.length}` : "";
  if (!run) return;
  const state = run.states[at - 1];
  const before = run.states[at - 2];
  const whole = run.end && at === run.states.length; // nothing of it is new any more
  let hole = 0;
  const nodes = run.parts.flatMap((part) => {
    if (!part.hole) return [part];
    const index = hole++;
    if (!state) return [span("mask", "░░░")];
    return drawHole(state.holes[index], state.confidence?.[index],
                    whole ? null : (before?.holes[index] ?? []));
  });
  $("canvas").replaceChildren(...nodes);
}

function drawHole(pieces, confidence, before) {
  const known = before?.filter((piece) => typeof piece === "string");
  return pieces.map((piece, i) => {
    if (typeof piece === "number") return span("mask", "░".repeat(Math.min(piece, 400)));
    const settled = !known || known.includes(piece);
    const node = span(settled ? "sure" : "sure new", piece);
    node.style.setProperty("--sure", (confidence?.[i] ?? 0.5).toFixed(2));
    node.title = `confidence ${Math.round(100 * (confidence?.[i] ?? 0))} %`;
    return node;
  });
}

function span(kind, text) {
  const node = document.createElement("span");
  node.className = kind;
  node.textContent = text;
  return node;
}

function drawStatus(status) {
  const adapter = status.adapter ? ` + ${status.adapter}` : "";
  const queue = status.queue > 1 ? `, ${status.queue} in the queue` : "";
  const loaded = status.bytes_total
    ? ` ${Math.round((100 * (status.bytes_done ?? 0)) / status.bytes_total)} %` : "";
  const phase = status.phase === "loading" ? `loading${loaded}` : status.phase;
  const detail = status.detail ? `: ${status.detail}` : "";
  $("status").textContent =
    `${status.model}${adapter} on ${status.device}, ${phase}${queue}${detail}`;
}

function drawLatency() {
  const most = Math.max(...latencies, 1);
  const points = latencies.map((ms, i) => `${3 * i},${23 - (22 * ms) / most}`).join(" ");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points);
  $("latency").replaceChildren(line);
  $("latency").setAttribute("aria-label",
    `latency of the last ${latencies.length} fills, at most ${Math.round(most)} ms`);
}

function say(text) {
  $("said").textContent = text;
}

// ---- hands

function insertHole() {
  const area = $("text");
  area.focus();
  area.setRangeText("⟦⟧", area.selectionStart, area.selectionEnd, "end");
}

function takeOver() {
  if ($("take").disabled) return;
  const texts = [...run.end.candidates[0].holes];
  $("text").value = run.parts.map((part) => (part.hole ? texts.shift() : part)).join("");
  $("text").focus();
}

function paint(theme) {
  document.documentElement.dataset.theme = theme;
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
paint(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
$("theme").onclick = () => {
  const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", other);
  paint(other);
};
$("text").value = EXAMPLE;
$("fill").onclick = fill;
$("stop").onclick = stop;
$("hole").onclick = insertHole;
$("take").onclick = takeOver;
$("step").oninput = draw;
document.addEventListener("keydown", (event) => {
  const ctrl = event.ctrlKey || event.metaKey;
  const does = ctrl ? { Enter: fill, j: insertHole, s: takeOver }[event.key]
    : { Escape: stop }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});
connect();
