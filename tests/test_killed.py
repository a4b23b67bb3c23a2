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

from tests.fakes.running import ROOT, daemon, request, start

ROUNDS = 8
# What it is about to do when it dies, in the order of its life.
POINTS = {
    "start with the lock held": "dlmd.serve.listener:_clear",
    "bind its socket": "dlmd.serve.listener:_bind",
    "make its socket private": "pathlib:Path.chmod",
    "open the port": "dlmd.serve.loopback:listen",
    "write its token": "secrets:token_urlsafe",
    "give the token its name": "pathlib:Path.replace",
    "announce itself": "dlmd.wire.discovery:write",
    "give the announcement its name": "pathlib:Path.replace:2",
    "serve, announced": "dlmd.serve.server:Daemon.run",
    "load": "tests.fakes.model:FakeBackend.load",
    "say that it is ready": "dlmd.serve.engine:Engine._wait",
    "begin a request": "tests.fakes.model:FakeBackend.infill",
    "do a forward": "tests.fakes.model:FakeBackend._forward:2",
    "end a request": "dlmd.serve.engine:Engine._finish",
    "take its announcement back": "dlmd.wire.discovery:remove",
    "take its socket away": "pathlib:Path.unlink:4",
}

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


async def serves(folder: Path, *options: str) -> None:
    """Another daemon takes the place, alone, and fills a hole."""
    with daemon(folder, *options) as running:
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
    assert left <= {"daemon.lock", "start.lock", "http.token"}, left


@pytest.mark.parametrize("point", POINTS)
async def test_killed_as_it_is_about_to(folder: Path, point: str) -> None:
    """As far as it gets, with a request and then a signal: it dies at the point named."""
    place = ("--http", "127.0.0.1:0", "--die-at", POINTS[point])
    process = start(folder, *place)
    assert process.stdout is not None
    said = process.stdout.readline()
    if "listening on" in said:
        with contextlib.suppress(DaemonGone):
            async with Client.connect() as client:
                async for _ in client.infill(request("a", "x = ", hole(), "\n")):
                    pass
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert discovery.read() is None
    await serves(folder, "--http", "127.0.0.1:0")


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


async def test_an_editor_killed_while_it_starts_the_daemon_locks_nobody_out(
    folder: Path,
) -> None:
    starter = (
        "import sys\n"
        "from dlmd.wire.discovery import ensure_daemon\n"
        "ensure_daemon(sys.argv[1:], announce=lambda said: print(said, flush=True))\n"
    )
    argv = [sys.executable, str(ROOT / "tests" / "fakes" / "daemon.py")]
    with subprocess.Popen(
        [sys.executable, "-c", starter, *argv], stdout=subprocess.PIPE, text=True
    ) as editor:
        assert editor.stdout is not None
        assert "starting the dlmd daemon" in editor.stdout.readline()
        editor.kill()
    # Its daemon may serve already, be on its way, or never have been started.
    found = await asyncio.to_thread(discovery.ensure_daemon, argv, announce=print)
    async with Client.connect() as client:
        stream = client.infill(request("a", "x = ", hole(), "\n"))
        assert isinstance([message async for message in stream][-1], Result)
    await asyncio.to_thread(ask.stop, found)
    assert discovery.read() is None


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
