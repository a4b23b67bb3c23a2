"""What the language server itself costs: start, memory, and time in its handlers.

`python bench/lsp.py`: a real server over stdio, with a daemon that answers at once. Types into
a file of 10,000 lines at 10 keystrokes a second, asks after each, and reads from the server
how long each message kept it busy; the model is not in these times. Ready is from the start of the
process to the answer to `initialize`. Exit 1 when a bound is broken. Must not know how the
server does it.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("daemon", "lsp", ".")]

from tests.fakes.recorder import recording  # noqa: E402

LINES = 10_000
BOUNDS = {"p95_ms": 5.0, "ready_s": 0.6, "resident_mb": 80.0}
TYPED = "def total(prices, counts):\n    result = sum(p * c for p, c in zip(prices, counts))\n    return result\n"
# Runs the server, with a clock around everything that its event loop runs for a message.
TIMED = """
import asyncio, json, os, sys, time
from dlmd_lsp.server import main, server
spent = []
handle = type(server.protocol).handle_message
def timed(self, message):
    began = time.thread_time()
    try:
        return handle(self, message)
    finally:
        spent.append((type(message).__name__, time.thread_time() - began))
type(server.protocol).handle_message = timed
run = asyncio.events.Handle._run
steps = []
def counted(self):
    began = time.thread_time()
    run(self)
    steps.append(time.thread_time() - began)
asyncio.events.Handle._run = counted
try:
    main()
finally:
    with open(os.environ["BENCH_SPENT"], "w") as file:
        json.dump({"messages": spent, "steps": steps}, file)
"""


class Peer:
    """The editor's end of the pipes, with nothing that costs time of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self.process, self.out, self.into = process, process.stdout, process.stdin
        self.ids = iter(range(1, 10**9))

    def send(self, method: str, params: Any, id: int | None = None) -> None:
        about = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(about if id is None else {**about, "id": id}).encode()
        self.into.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def answer(self, id: int) -> Any:
        while True:
            length = 0
            while (line := await self.out.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message = json.loads(await self.out.readexactly(length))
            if message.get("id") == id and "method" not in message:
                return message.get("result")

    async def ask(self, method: str, params: Any) -> Any:
        id = next(self.ids)
        self.send(method, params, id)
        return await self.answer(id)


async def started(runtime: Path, argv: list[str], spent: Path) -> tuple[Peer, float]:
    env = {**os.environ, "DLMD_RUNTIME_DIR": str(runtime), "BENCH_SPENT": str(spent)}
    env |= {"DLMD_CONFIG_DIR": str(runtime), "DLMD_STATE_DIR": str(runtime)}
    env["PYTHONPATH"] = os.pathsep.join(str(ROOT / n) for n in ("daemon", "lsp"))
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, stdin=-1, stdout=-1, env=env, limit=1 << 24
    )
    peer = Peer(process)
    able = {"textDocument": {"inlineCompletion": {}}}
    options = {"startDaemon": False, "threshold": 0}
    await peer.ask(
        "initialize",
        {
            "processId": None,
            "rootUri": None,
            "capabilities": able,
            "initializationOptions": options,
        },
    )
    ready = time.perf_counter() - began
    peer.send("initialized", {})
    return peer, ready


def a_file(lines: int) -> str:
    """Real code of this repository, over and over, up to so many lines."""
    files = sorted((ROOT / "daemon").rglob("*.py"))
    rows = [row for file in files for row in file.read_text().splitlines(True)]
    return "".join((rows * (lines // len(rows) + 1))[:lines])


async def type_into(peer: Peer, keys: int, per_second: float) -> list[float]:
    """Round trips of the requests that were answered."""
    text, uri = a_file(LINES), "file:///bench/long.py"
    item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
    peer.send("textDocument/didOpen", {"textDocument": item})
    rows = text.split("\n")
    # Between two functions: inside a docstring nothing would be asked.
    row = next(n for n in range(LINES // 2, LINES) if rows[n].startswith("def "))
    column = 0
    trips = []
    for key in range(keys):
        letter = TYPED[key % len(TYPED)]
        at = {"line": row, "character": column}
        change = {"range": {"start": at, "end": at}, "text": letter}
        about = {"uri": uri, "version": key + 2}
        began = time.perf_counter()
        peer.send(
            "textDocument/didChange",
            {"textDocument": about, "contentChanges": [change]},
        )
        row, column = (row + 1, 0) if letter == "\n" else (row, column + 1)
        here = {
            "textDocument": {"uri": uri},
            "position": {"line": row, "character": column},
        }
        await peer.ask(
            "textDocument/inlineCompletion", {**here, "context": {"triggerKind": 2}}
        )
        trips.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, 1 / per_second - trips[-1]))
    return trips


def resident_mb(pid: int) -> float:
    if sys.platform != "linux":
        return float("nan")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def measured(keys: int, per_second: float, starts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        random.seed(0)
        async with recording(place / "r") as heard:
            ready = []
            for _ in range(starts):
                peer, took = await started(place / "r", ["-m", "dlmd_lsp"], place / "x")
                ready.append(took)
                peer.process.kill()
                await peer.process.wait()
            spent = place / "spent.json"
            peer, _ = await started(place / "r", ["-c", TIMED], spent)
            trips = await type_into(peer, keys, per_second)
            memory = resident_mb(peer.process.pid)
            await peer.ask("shutdown", None)
            peer.send("exit", None)
            await peer.process.wait()
            asked = len(heard.requests)
        told = json.loads(spent.read_text())
    busy = sorted(s * 1000 for name, s in told["messages"])
    steps = sorted(s * 1000 for s in told["steps"])
    return {
        "keystrokes": keys,
        "lines": LINES,
        "p50_ms": round(at_share(busy, 0.5), 3),
        "p95_ms": round(at_share(busy, 0.95), 3),
        "most_ms": round(busy[-1], 1),
        "loop_p95_ms": round(at_share(steps, 0.95), 3),
        "busy_per_key_ms": round(sum(steps) / keys, 3),
        "round_trip_p50_ms": round(statistics.median(trips) * 1000, 1),
        "requests_per_key": round(asked / keys, 3),
        "ready_s": round(min(ready), 3),
        "ready_median_s": round(statistics.median(ready), 3),
        "resident_mb": round(memory, 1),
    }


def at_share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--per-second", type=float, default=10.0)
    parser.add_argument("--starts", type=int, default=7)
    given = parser.parse_args()
    found = asyncio.run(measured(given.keys, given.per_second, given.starts))
    print(json.dumps(found, indent=2))
    broken = [name for name, most in BOUNDS.items() if found[name] > most]
    for name in broken:
        print(
            f"{name} is {found[name]}, expected at most {BOUNDS[name]}", file=sys.stderr
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
