"""What the daemon adds to the model's own time: first state, requests a second, cancels.

    .venv/bin/python bench/overhead.py [--infills 2000] [--clients 8] [--depth 16]

A real daemon process on a fake model whose forwards cost nothing, asked through its socket
by this process. Sequential: one client, one request at a time, from the frame written to
the first state read. Pipelined: each client keeps `depth` requests open. Cancelled: forwards
that began after the daemon's word that the request was cancelled, counted.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "daemon")]

from dlmd.wire.protocol import Cancel, Infill, encode, hole  # noqa: E402

from tests.fakes.running import Raw, Running, daemon  # noqa: E402

WARM_UP = 200
PARTS = ["def total(prices):\n    ", hole(), "\n"]


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with daemon(folder / "run") as running:
            first, whole = await sequential(running, options.infills)
            before = cpu_seconds(running)
            rate = await pipelined(running, options)
            busy = cpu_seconds(running) - before
        late = await cancelled(folder, options.cancels)
    print(
        json.dumps(
            {
                "machine": f"{platform.processor() or platform.machine()}, "
                f"{os.cpu_count()} cores, Python {platform.python_version()}",
                "sequential": {"infills": options.infills}
                | {"first_state_ms": shares(first), "result_ms": shares(whole)},
                "pipelined": {"clients": options.clients, "depth": options.depth}
                | {"requests_per_s": round(rate)}
                | {"daemon_cpu_us_each": round(1e6 * busy / options.pipelined)},
                "cancelled": {"requests": options.cancels, "forwards_after": late},
            },
            indent=1,
        )
    )


def cpu_seconds(running: Running) -> float:
    """What the daemon has computed so far: that does not depend on who else runs."""
    fields = (
        Path(f"/proc/{running.process.pid}/stat").read_text().rsplit(")")[1].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
        for name, share in at.items()
    }


async def sequential(running: Running, infills: int) -> tuple[list[float], list[float]]:
    first, whole = [], []
    async with running.raw() as peer:
        for number in range(WARM_UP + infills):
            text = encode(Infill(id=f"s{number}", parts=PARTS))
            began = time.perf_counter()
            await peer.connection.send(text)
            first.append(await passed(peer, "state", began))
            whole.append(await passed(peer, "result", began))
    return first[WARM_UP:], whole[WARM_UP:]


async def passed(peer: Raw, type: str, began: float) -> float:
    """Seconds until a message of this type; frames are told apart by their first bytes."""
    start = f'{{"type":"{type}"'
    while not str(await peer.connection.recv()).startswith(start):
        pass
    return time.perf_counter() - began


async def pipelined(running: Running, options: argparse.Namespace) -> float:
    each = options.pipelined // options.clients
    began = time.perf_counter()
    asked = (one_client(running, each, options.depth) for _ in range(options.clients))
    await asyncio.gather(*asked)
    return each * options.clients / (time.perf_counter() - began)


async def one_client(running: Running, requests: int, depth: int) -> None:
    texts = iter([encode(Infill(id=f"p{n}", parts=PARTS)) for n in range(requests)])
    async with running.raw() as peer:
        for _ in range(depth):
            await peer.connection.send(next(texts))
        for _ in range(requests):
            await passed(peer, "result", 0.0)
            if text := next(texts, None):
                await peer.connection.send(text)


async def cancelled(folder: Path, cancels: int) -> int:
    """Forwards counted after each request was said to be cancelled, added up."""
    counter, late = folder / "forwards", 0
    slow = ("--delay-ms", "2", "--steps", "500", "--counter", str(counter))
    with daemon(folder / "slow", *slow) as running:
        async with running.raw() as peer:
            for number in range(cancels):
                id = f"c{number}"
                await peer.connection.send(encode(Infill(id=id, parts=PARTS)))
                await passed(peer, "state", 0.0)
                await peer.connection.send(encode(Cancel(id=id)))
                await passed(peer, "failure", 0.0)
                at_the_end = int(counter.read_text())
                await asyncio.sleep(0.02)  # ten forwards would fit
                late += int(counter.read_text()) - at_the_end
    return late


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--infills", type=int, default=2000, help="one by one")
    parser.add_argument("--pipelined", type=int, default=8000, help="all together")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--depth", type=int, default=16, help="open at once, each")
    parser.add_argument("--cancels", type=int, default=50)
    asyncio.run(main(parser.parse_args()))
