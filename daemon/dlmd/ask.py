"""What the command line asks of the daemon: to be there, to fill holes, to say how it is, to stop.

An infill is silent, or drawn in a terminal while it denoises; leaving early, by Ctrl-C too,
cancels it on the daemon. Must not know flags or files.
"""

import asyncio
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dlmd.settings import Settings
from dlmd.store import adapters, automatic
from dlmd.wire import discovery
from dlmd.wire.client import Client, Endpoint
from dlmd.wire.discovery import Discovery
from dlmd.wire.protocol import SERVING, Hello, Infill, Result, State, Status
from dlmd.wire.remote import endpoint_of
from dlmd.wire.runtime import runtime_path

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Message = State | Result
SAY_EVERY_S = 2.0


def reach(settings: Settings, announce: Callable[[str], None]) -> Endpoint | None:
    """Where to ask: the socket that was named, or the daemon that runs, started if it may be."""
    if named := named_place(settings):
        return named
    if settings.no_start and discovery.read() is None:
        raise ValueError(
            "no daemon runs and none may be started on demand; start one with `dlmd serve`"
        )
    discovery.ensure_daemon(announce=announce)
    return None


def named_place(settings: Settings) -> Endpoint | None:
    """The daemon that the user named, if any: elsewhere, or at a socket."""
    if settings.connect is not None:
        return endpoint_of(settings.connect)
    return None if settings.socket is None else Endpoint(socket=Path(settings.socket))


def detach(settings: Settings, announce: Callable[[str], None]) -> Discovery:
    """Start a daemon in the background and come back when its model can be used."""
    if found := discovery.read():
        raise ValueError(
            f"a daemon already runs (process {found.pid}, socket {found.socket}); use it, "
            "or type `dlmd stop` first"
        )
    # That one must not be started on demand is no reason when somebody demands it.
    os.environ.pop("DLMD_NO_START", None)
    command = [
        *discovery.DAEMON,
        "--model",
        settings.model,
        "--device",
        settings.device,
    ]
    if settings.socket is not None:
        command += ["--socket", settings.socket]
    if settings.http is not None:
        command += ["--http", settings.http]
    command += ["--keep-alive", settings.keep_alive]
    found = discovery.ensure_daemon(command, announce=announce)
    try:
        asyncio.run(ready(Endpoint(socket=found.socket), announce))
    except ValueError:
        stop(found)  # it would stay to say why, and that is said here
        raise
    return found


async def ready(endpoint: Endpoint | None, announce: Callable[[str], None]) -> Status:
    """Wait until the model is loaded, saying now and then how far it is."""
    from dlmd.terminal import loading

    said = time.monotonic()
    async with Client.connect(endpoint) as client:
        async for seen in client.watch_status():
            if seen.phase in SERVING:
                return seen
            if seen.phase != "loading":
                raise ValueError(seen.detail or f"the daemon is {seen.phase}")
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                announce(loading(seen))
    raise AssertionError("a status comes, or the connection ends with an exception")


def hand_over(name: str, found: Discovery | None) -> str:
    """Let the daemon that runs answer `auto` anew, and say what came of it for `name`."""
    later = f"serve it with `dlmd serve --model {name}`"
    if found is None or name != automatic.PREFERRED:
        return later
    endpoint = Endpoint(socket=found.socket)
    try:
        seen = asyncio.run(_choose_again(endpoint))
    except (ValueError, OSError) as refused:
        return f"the daemon that runs goes on as it was: {refused}"
    if seen.model == name:
        return "the daemon that runs serves it now"
    return f"the daemon that runs goes on with {seen.model}; {later}"


async def _choose_again(endpoint: Endpoint) -> Status:
    async with Client.connect(endpoint) as client:
        await client.use_model("auto")
    return await status(endpoint)


def tuned(request: Infill, file: Path | None, status: Status) -> Infill:
    """The request by the adapter of the repository that the file stands in, if it has one."""
    name = None if file is None else adapters.of_file(file, status.model)
    return request if name is None else replace(request, adapter=name)


async def fill(
    request: Infill, endpoint: Endpoint | None, file: Path | None = None
) -> tuple[Status, Result]:
    """The result, and who gave it. `file`: where the text is from, on the daemon's machine."""
    async with Client.connect(endpoint) as client:
        async for message in client.infill(tuned(request, file, client.status)):
            if isinstance(message, Result):
                return client.status, message
    raise AssertionError("an infill ends with a result or an exception")


async def fill_drawn(
    request: Infill,
    endpoint: Endpoint | None,
    console: "Console",
    delay_s: float,
    file: Path | None = None,
) -> tuple[Status, Result]:
    """The same, with every state drawn; `delay_s` slows the drawing and nothing else."""
    # A pipe does not wait for what only a terminal needs.
    from rich.live import Live

    from dlmd.terminal import excerpt, finished, view

    shown = excerpt(request.parts)
    seen: list[State] = []
    done: Result | None = None

    def picture() -> "RenderableType":
        if done is not None:
            return finished(shown, client.status, done)
        before, now = [None, None, *seen][-2:]
        return view(shown, client.status, before, now)

    async with Client.connect(endpoint) as client:
        # Live redraws by itself too: the model may still be loading, with progress to show.
        with Live(console=console, get_renderable=picture) as live:
            messages = client.infill(tuned(request, file, client.status))
            async for message in paced(messages, delay_s):
                if isinstance(message, State):
                    seen.append(message)
                else:
                    done = message
                live.refresh()
    assert done is not None, "an infill ends with a result or an exception"
    return client.status, done


async def paced(
    messages: AsyncGenerator[Message, None], delay_s: float
) -> AsyncGenerator[Message, None]:
    """Messages at the pace of a viewer.

    Reading never waits for drawing, because a slow reader misses states. Without a delay, a
    state that a newer one has overtaken is skipped.
    """
    arrived: asyncio.Queue[Message | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async for message in messages:
                arrived.put_nowait(message)
        finally:
            arrived.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (message := await arrived.get()) is not None:
            overtaken = not delay_s and not arrived.empty()
            if isinstance(message, Result) or not overtaken:
                yield message
                await asyncio.sleep(delay_s)
        await reader
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await messages.aclose()


async def status(endpoint: Endpoint | None) -> Status:
    return (await greeting(endpoint)).status


async def greeting(endpoint: Endpoint | None) -> Hello:
    """What a daemon says first: its status, and how many others it talks to."""
    async with Client.connect(endpoint) as client:
        return client.hello


def announced(socket: str | None) -> Discovery | None:
    """The daemon that runs, and at that socket if one is named; None: there is none.

    Who listens elsewhere may be a tunnel to another machine, and is not ours to end."""
    found = discovery.read()
    place = None if socket is None else Path(socket).absolute()
    if place is None or (found is not None and found.socket == place):
        return found
    if discovery.accepts(place):
        raise ValueError(
            f"what listens at {place} was not announced in {runtime_path()}; stop "
            "it where it was started, or with DLMD_RUNTIME_DIR as it was there"
        )
    return None


def stop_for_good(found: Discovery) -> None:
    """Stop, and keep editors that run now from starting another while somebody types.

    A daemon of another version is stopped to make way for this one's.
    """
    if found.version != discovery.version():
        return stop(found)
    discovery.note_stop()  # before: a keystroke may come at any moment
    try:
        stop(found)
    except BaseException:
        discovery.forget_stop()
        raise


def stop(found: Discovery, timeout: float = 30.0) -> None:
    """End the daemon gracefully, and be sure that it is the daemon: its socket names its pid."""
    # A handle, not a number: it can never mean a later process with the same number.
    process = os.pidfd_open(found.pid) if hasattr(os, "pidfd_open") else None
    try:
        with discovery.connect_socket(found.socket) as connection:
            answering = _peer_pid(connection)
        if answering != found.pid:
            raise ValueError(
                f"process {answering} answers at {found.socket}, the discovery file names "
                f"{found.pid}; stop that process yourself"
            )
        if process is None:
            os.kill(found.pid, signal.SIGTERM)
        else:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        if not _ended(found.pid, process, timeout):
            raise ValueError(
                f"the daemon (process {found.pid}) did not stop within {timeout:g} s; "
                f"end it with `kill -9 {found.pid}`"
            )
    finally:
        if process is not None:
            os.close(process)


def _peer_pid(connection: socket.socket) -> int:
    """The process that listens at the other end, in the kernel's words."""
    if sys.platform == "darwin":
        local_peerpid = (0, 2)  # SOL_LOCAL, LOCAL_PEERPID of sys/un.h
        return int(connection.getsockopt(*local_peerpid))
    peer = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    return int(struct.unpack("3i", peer)[0])


def _ended(pid: int, process: int | None, timeout: float) -> bool:
    if process is not None:
        return bool(select.select([process], [], [], timeout)[0])
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
