"""The client's half of the conversation: many infills over one socket to the daemon.

One task reads the socket and hands each message to whoever asked. A slow reader of states
finds the newest one, and always the result; a reader that leaves, by cancellation too,
cancels its request on the daemon. Must not know how a daemon is started, nor editors.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlmd.wire import discovery
from dlmd.wire.complaints import complaints
from dlmd.wire.dialling import DaemonGone, Endpoint, checked_hello, dial, farewell
from dlmd.wire.protocol import (
    Cancel,
    ClientMessage,
    Code,
    Command,
    Failure,
    Hello,
    Infill,
    Pin,
    ProtocolError,
    Result,
    Sleep,
    State,
    Status,
    UseAdapter,
    UseModel,
    Wake,
    decode_server,
    encode,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["Client", "DaemonFailure", "DaemonGone", "Endpoint"]

log = logging.getLogger("dlmd.wire")


class DaemonFailure(ValueError):
    """The daemon's answer to a request was a failure; str() is its sentence."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(slots=True)
class _Mailbox:
    """What one infill has to read: per candidate the newest state, then how it ended."""

    states: dict[int, State] = field(default_factory=dict)
    end: Result | Failure | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, message: State | Result | Failure) -> None:
        if isinstance(message, State):
            self.states[message.candidate] = message
        else:
            self.end = message
        self.news.set()


class Client:
    """A conversation with the daemon. Made by connect(), or by open() and ended by close()."""

    def __init__(self, connection: "ClientConnection", hello: Hello) -> None:
        self.hello = hello
        self.status = hello.status
        self._connection = connection
        self._mailboxes: dict[str, _Mailbox] = {}
        self._gone: str | None = None  # why the connection ended, once it has
        self._changed = asyncio.Event()  # of the status; a new one after every change
        self._errands: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, endpoint: Endpoint | None = None, *, timeout: float = 10.0
    ) -> AsyncIterator["Client"]:
        client = await cls.open(endpoint, timeout=timeout)
        try:
            yield client
        finally:
            await client.close()

    @classmethod
    async def open(
        cls, endpoint: Endpoint | None = None, *, timeout: float = 10.0
    ) -> "Client":
        """Connect and hear hello. None: the daemon that the discovery file names."""
        if endpoint is None:
            found = discovery.read()
            if found is None:
                raise DaemonGone("no daemon runs; start one with `dlmd serve`")
            endpoint = Endpoint(socket=found.socket)
        connection, first = await dial(endpoint, timeout)
        try:
            return cls(connection, checked_hello(first))
        except ValueError:
            await connection.close()
            raise

    async def close(self) -> None:
        if self._errands:  # cancels on their way; the daemon drops us anyhow
            await asyncio.wait(self._errands, timeout=1.0)
        self._gone = self._gone or "this client was closed"
        await self._connection.close()
        await self._reader

    @property
    def gone(self) -> bool:
        return self._gone is not None

    async def infill(self, request: Infill) -> AsyncGenerator[State | Result, None]:
        """States as they come, then the result. Nothing is sent before the first is asked for.

        DaemonFailure where the daemon could not, DaemonGone where it went away.
        """
        text = self._checked(request)
        mailbox = self._open_mailbox(request.id)
        try:
            log.debug("> infill %s", request.id)  # never its text
            await self._send(text)
            while True:
                while mailbox.states:
                    yield mailbox.states.pop(next(iter(mailbox.states)))
                if mailbox.end is not None:
                    break
                mailbox.news.clear()
                if self._gone is not None:
                    raise DaemonGone(self._gone)
                await mailbox.news.wait()
            if isinstance(mailbox.end, Failure):
                raise DaemonFailure(mailbox.end.code, mailbox.end.message)
            yield mailbox.end
        finally:
            del self._mailboxes[request.id]
            if mailbox.end is None and self._gone is None:
                # Waited for, so that it goes before a next request, but not without end.
                await asyncio.wait([self._cancel(request.id)], timeout=0.1)

    async def cancel(self, id: str) -> None:
        """End the open infill `id`: who reads it hears DaemonFailure, code cancelled."""
        await self._send(self._checked(Cancel(id=id)))

    async def ping(self) -> None:
        """Comes back when the daemon has answered, which it does while it computes too."""
        from websockets.exceptions import ConnectionClosed

        try:
            await (await self._connection.ping())
        except ConnectionClosed as error:
            raise DaemonGone(farewell(error)) from error

    async def pin(self, id: str, hole: int, text: str) -> None:
        """Tell the open infill `id` what the user typed at the start of one of its holes."""
        await self._send(self._checked(Pin(id=id, hole=hole, text=text)))

    async def sleep(self, by: str, *, lasting: bool = False) -> None:
        """Borrow the device; comes back when its memory is free.

        Given back by wake(), and unless `lasting` also when this client closes or dies.
        """
        await self._command(Sleep(id=self._fresh_id(), by=by, lasting=lasting))

    async def wake(self) -> None:
        """Give the device back; comes back when the model is loaded again."""
        await self._command(Wake(id=self._fresh_id()))

    async def use_adapter(self, adapter: str | None) -> None:
        """Compute what is asked from now on with this adapter; None: with none."""
        await self._command(UseAdapter(id=self._fresh_id(), adapter=adapter))

    async def use_model(self, model: str) -> None:
        """Serve this model from now on; comes back when it is loaded."""
        await self._command(UseModel(id=self._fresh_id(), model=model))

    async def _command(self, command: Command) -> None:
        text = self._checked(command)
        mailbox = self._open_mailbox(command.id)
        try:
            log.debug("> %s %s", type(command).__name__, command.id)
            await self._send(text)
            while mailbox.end is None:
                mailbox.news.clear()
                if self._gone is not None:
                    raise DaemonGone(self._gone)
                await mailbox.news.wait()
        finally:
            del self._mailboxes[command.id]
        if isinstance(mailbox.end, Failure):
            raise DaemonFailure(mailbox.end.code, mailbox.end.message)

    def _fresh_id(self) -> str:
        return f"command-{next(self._numbers)}"

    def _checked(self, message: ClientMessage) -> str:
        for complaint in complaints(message, self.hello.limits):
            raise complaint
        text = encode(message)
        _check_size(text, self.hello.limits.max_message_bytes)
        return text

    async def watch_status(self) -> AsyncGenerator[Status, None]:
        """The status now, then each change; a slow watcher gets the newest."""
        shown = None
        while True:
            if self.status is not shown:
                shown = self.status
                yield shown
            elif self._gone is not None:
                raise DaemonGone(self._gone)
            else:
                await self._changed.wait()

    def _open_mailbox(self, id: str) -> _Mailbox:
        if self._gone is not None:
            raise DaemonGone(self._gone)
        assert id not in self._mailboxes, f"request id {id!r} is in use"
        self._mailboxes[id] = _Mailbox()
        return self._mailboxes[id]

    async def _send(self, text: str) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise DaemonGone(farewell(error)) from error

    def _cancel(self, id: str) -> asyncio.Task[None]:
        """A task of its own: the one who leaves may be cancelled again meanwhile."""

        async def send() -> None:
            log.debug("> cancel %s", id)
            with contextlib.suppress(DaemonGone):
                await self._send(encode(Cancel(id=id)))

        task = asyncio.create_task(send())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    async def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                self._receive(await self._connection.recv())
        except ConnectionClosed as error:
            self._gone = self._gone or farewell(error)
        finally:
            self._gone = self._gone or "the client stopped reading"
            self._changed.set()
            for mailbox in self._mailboxes.values():
                mailbox.news.set()

    def _receive(self, frame: str | bytes) -> None:
        try:
            message = decode_server(frame if isinstance(frame, str) else frame.decode())
        except ValueError as error:
            log.warning("a message of the daemon was skipped: %s", error)
            return
        log.debug("< %s %s", type(message).__name__, getattr(message, "id", ""))
        if isinstance(message, Status):
            self.status = message
            self._changed.set()
            self._changed = asyncio.Event()
        elif isinstance(message, State | Result | Failure):
            if message.id in self._mailboxes:
                self._mailboxes[message.id].put(message)
            elif isinstance(message, Failure) and message.id is None:
                log.warning("the daemon complained: %s", message.message)


def _check_size(text: str, most: int) -> None:
    size = len(text) if text.isascii() else len(text.encode())
    if size > most:
        raise ProtocolError(
            f"the request is {size} bytes, expected at most {most}; send less text",
            code="too_large",
        )
