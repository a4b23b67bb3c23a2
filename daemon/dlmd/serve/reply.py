"""The sending half of one HTTP exchange: one JSON body, or server-sent events.

A reader that does not read is left after a while, as if it had closed the connection.
Must not know what is told.
"""

import asyncio
from typing import Any

import msgspec
from starlette.types import Send

from dlmd.serve.exchange import Gone

WRITE_S = 30.0  # for a piece of a reply to leave


class Reply:
    """The sending half of one HTTP exchange: one body, or events as they come."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def whole(self, status: int, body: Any, headers: dict[str, str]) -> None:
        # llama.vim looks for `"content":"` without a blank, and so msgspec writes it.
        data = msgspec.json.encode(body)
        told = {"content-type": "application/json", "content-length": str(len(data))}
        await self._start(status, told | headers)
        await self._more(data, False)

    async def event(self, body: Any) -> None:
        if self.status is None:
            kind = "text/event-stream; charset=utf-8"
            await self._start(200, {"content-type": kind, "cache-control": "no-store"})
        await self._more(b"data: " + msgspec.json.encode(body) + b"\n\n", True)

    async def end(self, last: bytes = b"") -> None:
        await self._more(last, False)

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._sent(
            {"type": "http.response.start", "status": status, "headers": raw}
        )

    async def _more(self, data: bytes, more: bool) -> None:
        await self._sent(
            {"type": "http.response.body", "body": data, "more_body": more}
        )

    async def _sent(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._send(message)
        except TimeoutError as error:  # it does not read
            raise Gone from error
