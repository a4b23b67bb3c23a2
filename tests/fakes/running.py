"""A daemon process for the length of a test, and ways to talk to it.

Real sockets, real signals, its own runtime folder. Must not know which backend it runs.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlmd.wire.client import Client, Endpoint
from dlmd.wire.protocol import (
    ClientMessage,
    Failure,
    HolePart,
    Infill,
    Result,
    ServerMessage,
    State,
    decode_server,
    encode,
    hole,
)
from websockets.asyncio.client import ClientConnection, unix_connect

ROOT = Path(__file__).resolve().parents[2]
FAKE = (sys.executable, "-m", "tests.fakes.daemon")
STREAM = "ws://localhost/v1/stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    process: subprocess.Popen[str]
    folder: Path  # its runtime folder
    socket: Path
    announcement: str

    def client(self) -> contextlib.AbstractAsyncContextManager[Client]:
        return Client.connect(Endpoint(socket=self.socket))

    @contextlib.asynccontextmanager
    async def raw(self, **options: Any) -> AsyncIterator["Raw"]:
        """A bare WebSocket, hello not yet read."""
        async with unix_connect(
            os.fspath(self.socket),
            STREAM,
            compression=None,
            max_size=None,
            close_timeout=0.2,  # a test that stopped reading waits for no goodbye
            **options,
        ) as connection:
            yield Raw(connection)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(timeout=30)


@dataclass(frozen=True, slots=True)
class Raw:
    connection: ClientConnection

    async def send(self, message: ClientMessage | str | bytes) -> None:
        text = message if isinstance(message, str | bytes) else encode(message)
        await self.connection.send(text)

    async def read(self, patience_s: float = 30.0) -> ServerMessage:
        text = await asyncio.wait_for(self.connection.recv(), patience_s)
        assert isinstance(text, str)
        return decode_server(text)

    async def answer(self, id: str | None) -> tuple[list[State], Result | Failure]:
        """States of one request and how it ended; what concerns others is passed over."""
        states: list[State] = []
        while True:
            message = await self.read()
            if isinstance(message, State) and message.id == id:
                states.append(message)
            elif isinstance(message, Result | Failure) and message.id == id:
                return states, message


@contextlib.contextmanager
def daemon(
    folder: Path, *options: str, argv: tuple[str, ...] = FAKE
) -> Iterator[Running]:
    """A daemon that listens; killed at the end if it still runs."""
    process = start(folder, *options, argv=argv)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listening on" in line, line + process.communicate(timeout=30)[0]
        socket = Path(line.split("listening on ")[1].rsplit(" (", 1)[0])
        yield Running(process=process, folder=folder, socket=socket, announcement=line)
    finally:
        process.kill()
        process.communicate()


def start(
    folder: Path, *options: str, argv: tuple[str, ...] = FAKE
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*argv, *options],
        cwd=ROOT,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def environment(folder: Path) -> dict[str, str]:
    roots = os.pathsep.join(str(ROOT / name) for name in ("daemon", "lsp", "."))
    own = {"DLMD_RUNTIME_DIR": str(folder), "DLMD_CONFIG_DIR": str(folder)}
    # One thread: a test shares its machine with others.
    return os.environ | own | {"PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}


def request(id: str, *parts: str | HolePart, **fields: object) -> Infill:
    document = list(parts) or ["def f(x):\n    ", hole(), "\n"]
    return Infill(id=id, parts=document, **fields)  # type: ignore[arg-type]
