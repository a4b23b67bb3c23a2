"""Many clients for long, with cancels and disconnects: does memory stay, does each id end once?

    .venv/bin/python bench/soak.py                       # 100,000 infills, fake model
    .venv/bin/python bench/soak.py --model embedded --infills 2000

A real daemon process, asked by 32 clients from this one. Of four requests one is cancelled,
superseded or deserted: its connection breaks off and a new one goes on. Memory is the
daemon's resident size after the first tenth and at the end. Exit code 1 where that grew by
more than a twentieth, or an id did not end exactly once.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "daemon")]

from dlmd.wire.protocol import (  # noqa: E402
    Cancel,
    Failure,
    Infill,
    Result,
    hole,
)
from dlmd.wire.runtime import connect_socket  # noqa: E402

from tests.fakes.running import FAKE, Raw, Running, daemon  # noqa: E402

MOST_GROWTH = 0.05
HANG_S = 1800.0  # without a word; requests of low priority wait for all the others
# Of a request: nothing, a cancel, a newer one in its place, a connection that breaks off.
FATES = {"": 75, "cancel": 12, "supersede": 8, "desert": 5}


@dataclass
class Soak:
    infills: int
    seed: int
    sent: int = 0
    deserted: int = 0  # nobody was there to hear how they ended
    counted: int = 0  # ends by the daemon's own count, those of the deserted among them
    ends: Counter[str] = field(default_factory=Counter)  # by kind
    wrong: list[str] = field(default_factory=list)
    memory: dict[int, int] = field(default_factory=dict)  # by infills sent, bytes


async def soak(running: Running, told: Soak, clients: int) -> None:
    await asyncio.gather(*(one_client(running, told, n) for n in range(clients)))
    async with running.client() as client:
        async for status in client.watch_status():
            if status.phase == "ready" and status.queue == 0:
                break  # whatever was deserted has ended, too
    told.memory[told.sent] = resident(running)
    told.counted = ends_of(running)


async def one_client(running: Running, told: Soak, number: int) -> None:
    chance = random.Random(told.seed * 1000 + number)
    while told.sent < told.infills:
        async with running.raw(open_timeout=HANG_S) as peer:
            await one_connection(running, peer, told, chance)


async def one_connection(
    running: Running, peer: Raw, told: Soak, chance: random.Random
) -> None:
    """Request after request, a few at once, until they run out or the connection breaks."""
    ends: dict[str, int] = {}
    while told.sent < told.infills or open_ids(ends):
        while told.sent < told.infills and len(open_ids(ends)) < 3:
            fate = chance.choices(list(FATES), list(FATES.values()))[0]
            await ask(running, peer, told, ends, fate, chance)
            if fate == "desert":
                await peer.read(HANG_S)
                told.deserted += len(open_ids(ends))
                peer.connection.transport.abort()
                return
        message = await peer.read(HANG_S)
        if isinstance(message, Result | Failure):
            count(told, ends, message)
    told.wrong += [f"{id} ended {n} times" for id, n in ends.items() if n != 1]


async def ask(
    running: Running,
    peer: Raw,
    told: Soak,
    ends: dict[str, int],
    fate: str,
    chance: random.Random,
) -> None:
    id = f"r{told.sent}"
    told.sent += 1
    if told.sent % max(1, told.infills // 10) == 0:
        told.memory[told.sent] = resident(running)
    older = next(iter(open_ids(ends)), None) if fate == "supersede" else None
    before = "x = 1\n" * chance.randrange(200)
    length = chance.randrange(2, 7)
    parts = [f"{before}def f{id}(x):\n    ", hole(length=length), "\n"]
    n, urgent = chance.choice((1, 1, 1, 2)), chance.random() < 0.8
    priority = "interactive" if urgent else "batch"
    ends[id] = 0
    await peer.send(
        Infill(id=id, parts=parts, n=n, priority=priority, supersedes=older)
    )
    if fate == "cancel":
        await peer.send(Cancel(id=id))


def open_ids(ends: dict[str, int]) -> list[str]:
    return [id for id, times in ends.items() if times == 0]


def count(told: Soak, ends: dict[str, int], end: Result | Failure) -> None:
    told.ends["result" if isinstance(end, Result) else end.code] += 1
    if end.id is None or ends.get(end.id) != 0:
        told.wrong.append(f"{end.id} ended again, or without having begun")
    else:
        ends[end.id] = 1
        if (
            len(ends) > 200
        ):  # what has ended once is checked, and a second end still seen
            done = [id for id, times in ends.items() if times == 1][:100]
            for id in done:
                del ends[id]


def ends_of(running: Running) -> int:
    """From the daemon's /metrics."""
    with connect_socket(running.socket) as calling:
        calling.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        lines = b"".join(iter(lambda: calling.recv(65536), b"")).split(b"\n")
    counts = [line for line in lines if line.startswith(b"dlmd_infills_total{")]
    return round(sum(float(line.split()[-1]) for line in counts))


def resident(running: Running) -> int:
    lines = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    size = next(line for line in lines if line.startswith("VmRSS"))
    return int(size.split()[1]) * 1024


def verdict(told: Soak) -> tuple[dict[str, object], bool]:
    tenth, *_, last = list(told.memory.values())
    growth = last / tenth - 1
    heard = sum(told.ends.values()) + told.deserted
    if heard != told.sent:
        told.wrong.append(f"{told.sent} were sent, {heard} ended or were deserted")
    # Of the deserted some were never read: their connection broke off before.
    if not told.sent - told.deserted <= told.counted <= told.sent:
        told.wrong.append(f"{told.sent} were sent, the daemon ended {told.counted}")
    said = asdict(told) | {"ends": dict(told.ends), "wrong": told.wrong[:10]}
    said |= {"growth": round(growth, 4)}
    return said, growth <= MOST_GROWTH and not told.wrong


def command(model: str) -> tuple[str, ...]:
    if model == "fake":
        return FAKE
    return (sys.executable, "-m", "dlmd", "serve", "--model", model, "--device", "cpu")


def main(options: argparse.Namespace) -> int:
    told = Soak(infills=options.infills, seed=options.seed)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as place,
        daemon(Path(place) / "run", argv=command(options.model)) as running,
    ):
        asyncio.run(soak(running, told, options.clients))
    said, well = verdict(told)
    minutes = round((time.monotonic() - began) / 60, 1)
    print(json.dumps({"model": options.model, "minutes": minutes} | said, indent=1))
    return 0 if well else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fake", help="fake, a name or a folder")
    parser.add_argument("--infills", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(main(parser.parse_args()))
