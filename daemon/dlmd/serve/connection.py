"""One client's WebSocket: what it says goes to the engine, what the engine says goes out.

A Mailbox stands between: it keeps only the newest state of each candidate, so that a slow
reader is never shown old ones and can never make the daemon's memory grow; ends are never
dropped. Must not know uvicorn, discovery or how the engine works.
"""

import asyncio
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from dlmd.serve.engine import SHUTTING_DOWN, Engine
from dlmd.wire import discovery
from dlmd.wire.protocol import (
    Cancel,
    Failure,
    Hello,
    Infill,
    Limits,
    Pin,
    Result,
    ServerMessage,
    Session,
    State,
    Status,
)

log = logging.getLogger(__name__)

GOING_AWAY = 1001  # RFC 6455, 7.4.1


class Mailbox:
    """What one reader has yet to read, in order; used on the event loop only."""

    def __init__(self) -> None:
        self._slots: dict[tuple[object, ...], ServerMessage] = {}
        self._refusals = 0
        self._filled = asyncio.Event()
        self._read = asyncio.Event()  # set while everything put in was written
        self._read.set()

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, message: ServerMessage) -> None:
        self._slots[self._slot(message)] = message  # an older one keeps its place
        self._read.clear()
        self._filled.set()

    def put_unless_ended(self, end: Failure) -> None:
        if self._slot(end) not in self._slots:
            self.put(end)

    async def take(self) -> ServerMessage:
        if not self._slots:
            self._read.set()
            self._filled.clear()
            await self._filled.wait()
        return self._slots.pop(next(iter(self._slots)))

    async def all_read(self) -> None:
        await self._read.wait()

    def _slot(self, message: ServerMessage) -> tuple[object, ...]:
        if isinstance(message, State):
            return "state", message.id, message.candidate
        if isinstance(message, Status):
            return ("status",)
        if isinstance(message, Result | Failure) and message.id is not None:
            return "end", message.id
        self._refusals += 1
        return "refusal", self._refusals


class Connection:
    def __init__(
        self, websocket: WebSocket, engine: Engine, limits: Limits, *, others: int = 0
    ) -> None:
        self._websocket = websocket
        self._others = others  # clients that were there before
        self._engine = engine
        self._session = Session(limits)
        self._limits = limits
        self._mailbox = Mailbox()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Serve until the client leaves or close() is called."""
        await self._websocket.accept()
        hello = Hello(
            version=discovery.version(),
            limits=self._limits,
            status=self._engine.status,
            clients=self._others,
        )
        self._mailbox.put(hello)
        tasks = [asyncio.create_task(work()) for work in (self._read, self._write)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._engine.drop(self)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        expected = (asyncio.CancelledError, WebSocketDisconnect)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, expected):
                raise end

    def tell(self, message: ServerMessage) -> None:
        self._mailbox.put(message)

    async def close(self, timeout: float) -> None:
        """Fail what the engine left open, let the client read it, say goodbye."""
        for id in self._session.open_ids:
            end = Failure(id=id, code="shutting_down", message=SHUTTING_DOWN)
            self._mailbox.put_unless_ended(end)
        try:
            async with asyncio.timeout(timeout):
                await self._mailbox.all_read()
                if self._websocket.application_state == WebSocketState.CONNECTED:
                    await self._websocket.close(GOING_AWAY, "the daemon is stopping")
        except (TimeoutError, WebSocketDisconnect):
            log.debug("a client did not read its last messages")

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                self._mailbox.put(_binary_refused(message))
            else:
                self._receive(text)
            # A client that does not read is not read from either.
            if len(self._mailbox) > 4 * self._limits.max_open:
                await self._mailbox.all_read()

    def _receive(self, text: str) -> None:
        for event in self._session.receive(text):
            if isinstance(event, Infill):
                self._engine.submit(self, event, self._emit)
            elif isinstance(event, Cancel):
                self._engine.cancel(self, event.id)
            elif isinstance(event, Pin):
                self._engine.pin(self, event)
            elif isinstance(event, Failure):
                self._mailbox.put(event)
            else:
                self._engine.command(self, event, self._emit)

    def _emit(self, message: State | Result | Failure) -> None:
        """On the engine's thread, mostly; the mailbox lives on the loop's."""
        try:
            self._loop.call_soon_threadsafe(self._mailbox.put, message)
        except RuntimeError:
            assert self._loop.is_closed()  # a forced end: nobody is left to tell

    async def _write(self) -> None:
        while True:
            text = self._session.send(await self._mailbox.take())
            if text is not None:
                await self._websocket.send_text(text)


def _binary_refused(message: Any) -> Failure:
    complaint = (
        f"a binary frame of {len(message.get('bytes') or b'')} bytes came, expected "
        "text; send JSON in text frames"
    )
    return Failure(id=None, code="bad_request", message=complaint)
