"""kill -9 at any point of a daemon's life: the next one starts clean, and serves.

Each round starts a real daemon, kills it after a moment drawn by a seed (while it starts,
loads, serves or stops) and lets another take its place. The backend is fake.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dlmd import ask
from dlmd.wire import discovery
from dlmd.wire.client import Client, DaemonGone
from dlmd.wire.discovery import Discovery
from dlmd.wire.protocol import Result, State, hole

from tests.fakes.running import daemon, request, start

ROUNDS = 8

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def killed_after(process: subprocess.Popen[str], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.wait()


async def serves(folder: Path) -> None:
    """Another daemon takes the place, alone, and fills a hole."""
    with daemon(folder) as running:
        found = discovery.read()
        assert found is not None
        assert (found.pid, found.socket) == (running.process.pid, running.socket)
        async with Client.connect() as client:
            stream = client.infill(request("a", "x = ", hole(), "\n"))
            assert isinstance([message async for message in stream][-1], Result)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert discovery.read() is None
    left = {path.name for path in folder.iterdir()}
    assert left <= {"daemon.lock", "start.lock"}, left


async def test_killed_while_it_starts_loads_or_serves(folder: Path) -> None:
    chance = random.Random(11)
    began = time.monotonic()
    with daemon(folder):
        starting_s = time.monotonic() - began  # as long as it takes on this machine
    for _ in range(ROUNDS):
        process = start(folder, "--load-ms", "300", "--delay-ms", "5")
        killed_after(process, chance.uniform(0.0, starting_s + 0.4))
        process.communicate()
        assert discovery.read() is None  # whatever the file says
    await serves(folder)


async def test_killed_while_it_stops_under_load(folder: Path) -> None:
    chance = random.Random(12)
    for _ in range(ROUNDS // 2):
        with daemon(folder, "--delay-ms", "20", "--steps", "500") as running:
            async with running.raw() as peer:
                await peer.send(request("a", "x", hole()))
                while not isinstance(await peer.read(), State):
                    pass
                running.signal(signal.SIGTERM)
                await asyncio.to_thread(
                    killed_after, running.process, chance.uniform(0.0, 0.6)
                )
        assert discovery.read() is None
    await serves(folder)


async def test_killed_while_its_device_is_lent(folder: Path) -> None:
    with daemon(folder) as running, contextlib.suppress(DaemonGone):
        async with running.client() as client:
            await client.sleep("dlmd tune", lasting=True)
            killed_after(running.process, 0.0)
            await client.wake()
    await serves(folder)  # a loan does not outlive the daemon


async def test_a_borrower_that_is_killed_gives_the_device_back(folder: Path) -> None:
    borrower = (
        "import asyncio, sys\n"
        "from dlmd.wire.client import Client\n"
        "async def main():\n"
        "    async with Client.connect() as client:\n"
        "        await client.sleep('dlmd tune')\n"
        "        print('mine', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with daemon(folder) as running:
        async with running.client() as client:
            tuner = subprocess.Popen(
                [sys.executable, "-c", borrower], stdout=subprocess.PIPE, text=True
            )
            assert tuner.stdout is not None
            assert await asyncio.to_thread(tuner.stdout.readline) == "mine\n"
            tuner.kill()
            tuner.communicate()
            async for status in client.watch_status():
                if status.phase == "idle":
                    break
            stream = client.infill(request("a", "x", hole()))
            assert isinstance([message async for message in stream][-1], Result)


def test_a_number_that_another_program_has_now_is_left_alone(folder: Path) -> None:
    """The announcement of a killed daemon names a process id that was given anew."""
    with daemon(folder) as running:
        killed_after(running.process, 0.0)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        text=True,
    ) as innocent:
        stale = {
            "pid": innocent.pid,
            "socket": str(folder / "daemon.sock"),
            "version": "1",
            "started": 0.0,
        }
        (folder / "daemon.json").write_text(json.dumps(stale))
        assert discovery.read() is None
        # Worse: something answers at the socket, so that the file is believed.
        (folder / "other.sock").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "other.sock"))
            listener.listen()
            stale["socket"] = str(folder / "other.sock")
            (folder / "daemon.json").write_text(json.dumps(stale))
            found = discovery.read()
            assert isinstance(found, Discovery) and found.pid == innocent.pid
            with pytest.raises(ValueError, match=f"process {os.getpid()} answers"):
                ask.stop(found)
        assert innocent.poll() is None
        innocent.communicate("")
