"""The daemon's app inside a test's own loop, on real sockets, on a fake model.

For what a process of its own cannot show: with a defence taken away, or with a bound made
small. And a client that says exactly what a test wants said. Must not know any one route.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlmd.serve import loopback
from dlmd.serve.engine import Engine
from dlmd.serve.guard import Guard
from dlmd.serve.listener import taken_place
from dlmd.serve.pages import Door
from dlmd.serve.resident import Backend
from dlmd.serve.server import Daemon
from dlmd.wire.protocol import Failure, Limits, Result, decode_server
from dlmd.wire.token import kept_token
from websockets.asyncio.client import connect

from tests.fakes.model import FakeBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        told: dict[str, Any] = self.json["error"]
        return told

    @property
    def events(self) -> list[Any]:
        lines = [line for line in self.body.decode().split("\n\n") if line]
        assert all(line.startswith("data: ") for line in lines)
        told = [line.removeprefix("data: ") for line in lines]
        return [t if t == "[DONE]" else json.loads(t) for t in told]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    daemon: Daemon
    backend: FakeBackend
    socket: Path
    host: str
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> set[Any]:
        """What uvicorn holds open."""
        return self.daemon.uvicorn.server_state.connections

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def open(
        self, *, unix: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if unix:
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection(self.host, self.port)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        unix: bool = False,
        own: bool = True,
    ) -> Heard:
        """One request on a connection of its own. `own`: with our token, unless told."""
        reader, writer = await self.open(unix=unix)
        try:
            writer.write(self.said(method, path, body, headers, own=own))
            return await heard(reader)
        finally:
            writer.close()

    async def streamed(
        self, message: Mapping[str, object], **options: Any
    ) -> Result | Failure:
        """What one message over a WebSocket of its own comes to; with our token, unless
        the headers are told."""
        url = f"ws://127.0.0.1:{self.port}/v1/stream"
        told = {"additional_headers": self.bearer, "compression": None} | options
        async with connect(url, **told) as stream:
            await stream.send(json.dumps({"id": "a"} | dict(message)))
            while True:
                text = await asyncio.wait_for(stream.recv(), 30)
                assert isinstance(text, str)
                heard = decode_server(text)
                if isinstance(heard, Result | Failure):
                    return heard

    def said(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        own: bool = True,
    ) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Host": f"localhost:{self.port}", "Connection": "close"}
        if own:
            told |= self.bearer
        if body is not None:
            told |= {"Content-Type": "application/json"}
            told |= {"Content-Length": str(len(data))}
        told |= headers or {}
        head = [f"{method} {path} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in told.items()]
        return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + (
            b"" if body is None else data
        )


async def heard(reader: asyncio.StreamReader) -> Heard:
    """Everything until the server closes."""
    raw = await asyncio.wait_for(reader.read(), 30)
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in lines)
    }
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Heard(status=int(first.split()[1]), headers=headers, body=body)


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return whole


@asynccontextmanager
async def serving(
    folder: Path,
    backend: FakeBackend | None = None,
    limits: Limits | None = None,
    *,
    real: Backend | None = None,
    address: str = "127.0.0.1:0",
) -> AsyncIterator[Inside]:
    """The runtime folder must have been set to `folder` before. `real`: on weights."""
    assert os.environ["DLMD_RUNTIME_DIR"] == str(folder)
    backend = backend or FakeBackend()
    with taken_place(None) as (unix, path), loopback.listen(address) as tcp:
        token = kept_token()
        guard = Guard(token=token)
        door = Door(guard, loopback.url(tcp))
        engine = Engine(real or backend)
        daemon = Daemon(engine, path, limits or Limits(), True, guard, door)
        running = asyncio.create_task(daemon.uvicorn.serve(sockets=[unix, tcp]))
        inside = Inside(
            daemon=daemon,
            backend=backend,
            socket=path,
            host=tcp.getsockname()[0],
            port=tcp.getsockname()[1],
            token=token,
        )
        try:
            # Answered once it serves: nothing is ended before it has begun.
            while (await inside.ask("GET", "/health")).json["phase"] == "loading":
                pass
            yield inside
        finally:
            await daemon.wind_down()
            await running
