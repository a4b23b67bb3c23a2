"""A daemon that writes down every byte it is sent, and answers each request at once.

A real WebSocket on a real unix socket, named in a discovery file. Must not know what is asked.
"""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dlmd.wire import discovery
from dlmd.wire.protocol import (
    Candidate,
    Hello,
    HolePart,
    Infill,
    Limits,
    Result,
    Status,
    Usage,
    decode_client,
    encode,
)
from websockets.asyncio.server import ServerConnection, unix_serve

Fill = Callable[[Infill, int], str]


@dataclass(slots=True, kw_only=True)
class Recorder:
    frames: list[str] = field(default_factory=list)
    requests: list[Infill] = field(default_factory=list)
    fill: Fill = lambda request, hole: "value"

    @property
    def heard(self) -> str:
        return "\n".join(self.frames)

    def answer(self, request: Infill) -> str:
        holes = [part for part in request.parts if isinstance(part, HolePart)]
        texts = [self.fill(request, at) for at in range(len(holes))]
        found = Candidate(holes=texts, confidence=0.9, finish="stop")
        return encode(
            Result(id=request.id, candidates=[found] * request.n, usage=Usage())
        )


@asynccontextmanager
async def recording(
    folder: Path, context: int = 8192, fill: Fill | None = None
) -> AsyncIterator[Recorder]:
    """One that the discovery file of that runtime folder names."""
    recorder = Recorder()
    if fill is not None:
        recorder.fill = fill
    folder.mkdir(mode=0o700, exist_ok=True)
    socket = folder / "s"

    async def serve(connection: ServerConnection) -> None:
        status = Status(phase="ready", model="recorder", context=context)
        hello = Hello(version=discovery.version(), limits=Limits(), status=status)
        await connection.send(encode(hello))
        async for frame in connection:
            text = frame if isinstance(frame, str) else frame.decode()
            recorder.frames.append(text)
            message = decode_client(text)
            if isinstance(message, Infill):
                recorder.requests.append(message)
                await connection.send(recorder.answer(message))

    about = {"pid": os.getpid(), "socket": str(socket), "started": 0}
    file = folder / "daemon.json"
    file.write_text(json.dumps({**about, "version": discovery.version()}))
    async with unix_serve(serve, str(socket)):
        yield recorder
