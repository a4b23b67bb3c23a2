"""The client's side of a daemon's death: the real server, started on demand, killed.

The backend is fake; sockets, signals, processes and files are the product's.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.wire import discovery
from dlmd.wire.client import Client, DaemonGone
from dlmd.wire.discovery import Discovery, ensure_daemon
from dlmd.wire.protocol import Infill, Result, State, hole

FAKE = [sys.executable, str(Path(__file__).parent / "fakes" / "daemon.py")]
SLOW = [*FAKE, "--delay-ms", "20", "--steps", "500"]

pytestmark = pytest.mark.slow


class Started:
    """Daemons of one test; whatever still runs at its end is killed."""

    def __init__(self) -> None:
        self._watches: dict[int, socket.socket] = {}
        self.said: list[str] = []

    def __call__(self, argv: list[str]) -> Discovery:
        found = ensure_daemon(argv, announce=self.said.append)
        if found.pid not in self._watches:
            # Ends when the process does: no id of another program is ever waited for.
            self._watches[found.pid] = discovery.connect_socket(found.socket, 30.0)
        return found

    def signal(self, found: Discovery, number: signal.Signals) -> None:
        os.kill(found.pid, number)

    def wait(self, found: Discovery) -> None:
        with self._watches.pop(found.pid) as watch:
            try:
                while watch.recv(4096):
                    pass
            except ConnectionResetError:
                pass

    def end(self) -> None:
        for pid, watch in self._watches.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            watch.close()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "with a space"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("DLMD_NO_START", raising=False)
    daemons = Started()
    yield daemons
    daemons.end()


def request(id: str) -> Infill:
    return Infill(id=id, parts=["def f():\n    ", hole(), "\n"])


async def filled(id: str) -> Result:
    async with Client.connect() as client:
        *_, last = [message async for message in client.infill(request(id))]
    assert isinstance(last, Result)
    return last


async def test_kill_9_in_mid_stream_ends_each_request_and_the_next_one_works(
    started: Started,
) -> None:
    first = await asyncio.to_thread(started, SLOW)
    async with Client.connect() as client:
        running = client.infill(request("running"))
        assert isinstance(await anext(running), State)
        waiting = asyncio.create_task(anext(client.infill(request("waiting"))))
        assert isinstance(await anext(running), State)
        started.signal(first, signal.SIGKILL)
        with pytest.raises(DaemonGone, match="went away without a goodbye"):
            async for message in running:
                assert isinstance(message, State)
        with pytest.raises(DaemonGone, match="went away without a goodbye"):
            await waiting
    started.wait(first)
    # A dying process closes its sockets one by one, the listening one maybe later.
    while discovery.accepts(first.socket):
        os.sched_yield()
    assert first.socket.exists()  # left behind, and in nobody's way
    with pytest.raises(DaemonGone, match="no daemon runs"):
        await Client.open()
    second = await asyncio.to_thread(started, FAKE)
    assert (second.pid != first.pid, second.socket) == (True, first.socket)
    assert (await filled("c")).candidates[0].finish == "stop"
    assert len(started.said) == 2


async def test_a_daemon_that_is_leaving_is_followed_by_a_new_one(
    started: Started,
) -> None:
    first = await asyncio.to_thread(started, SLOW)
    async with Client.connect() as client:
        stream = client.infill(request("a"))
        await anext(stream)  # it has work to end, so it does not leave at once
        started.signal(first, signal.SIGTERM)
        async for status in client.watch_status():
            if status.phase == "stopping":
                break
        second = await asyncio.to_thread(started, FAKE)
        await stream.aclose()
    started.wait(first)
    assert second.pid != first.pid
    assert discovery.read() == second  # the leaving one took only its own things
    await filled("b")


def test_editors_that_open_at_once_share_one_daemon(started: Started) -> None:
    found: list[Discovery] = []
    askers = [
        threading.Thread(target=lambda: found.append(started(FAKE))) for _ in range(3)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(found) == 3 and len(set(found)) == 1 and len(started.said) == 1
