"""The one connection to the daemon: made when first needed, made again after it was lost.

Requests of all documents share it. A daemon that has stopped answering altogether (one that
only computes still answers a ping) is told from a slow one, and asked nothing until it is
back. A start that failed is not tried again by typing for a
while, so that a broken installation does not start a process per keystroke.
Must not know editors or documents.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from dlmd.wire import discovery
from dlmd.wire.client import Client, DaemonGone, Endpoint
from dlmd.wire.protocol import Status

T = TypeVar("T")

PAUSE_S = 30.0
# Silence on a request that makes us ask whether the daemon is there at all, and for how long.
SILENCE_S = 1.0
PONG_S = 1.5
STOPPED = (
    "the daemon was stopped with `dlmd stop`; `dlmd serve`, a completion asked for by "
    "hand or a restart of the editor starts it again"
)


HANGING = (
    "the daemon has stopped answering; nothing is asked until it does again, or end it "
    "with `dlmd stop`"
)


class DaemonHangs(ConnectionError):
    """It neither computes nor answers a ping."""

    def __init__(self) -> None:
        super().__init__(HANGING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """No daemon answers: phase is "starting", "stopped", "failed" or "hanging"."""

    phase: str
    detail: str


class Link:
    """Holds a Client for as long as its connection lives."""

    def __init__(
        self,
        *,
        start: bool,
        command: tuple[str, ...] | None,
        daemon: Endpoint | None,
        say: Callable[[str], None],
        tell: Callable[[Status | Away], None],
    ) -> None:
        self._start_allowed = start
        self._command = command
        self._daemon = daemon
        self.say = say
        self._tell = tell
        self._ready: asyncio.Future[Client] | None = None
        self._keepers: set[asyncio.Task[None]] = set()
        self._not_before = 0.0
        self._trouble = ""  # of the last try to reach a named daemon
        self._silent: asyncio.Task[None] | None = None  # waits for an answer to a ping
        self._began = time.time()

    async def client(self, *, explicit: bool) -> Client:
        """The connected client. ConnectionError or ValueError says in a sentence why not."""
        ready = self._ready
        if ready is None or (_settled(ready) and ready.result().gone):
            loop = asyncio.get_running_loop()
            ready = self._ready = loop.create_future()
            keeper = loop.create_task(self._keep(ready, explicit))
            self._keepers.add(keeper)
            keeper.add_done_callback(self._keepers.discard)
        # Whoever asked first may give up; the others still want the connection.
        return await asyncio.shield(ready)

    @property
    def hanging(self) -> bool:
        return self._silent is not None

    @property
    def local(self) -> bool:
        """Whether the daemon sees the files of this machine."""
        return self._daemon is None or self._daemon.socket is not None

    @property
    def context(self) -> int:
        """Tokens of a document that the model sees; 0: not known yet."""
        ready = self._ready
        if ready is None or not _settled(ready):
            return 0
        return ready.result().status.context

    @asynccontextmanager
    async def watching(
        self, client: Client, heard_at: Callable[[], float]
    ) -> AsyncIterator[None]:
        """DaemonHangs inside, once nothing was heard for long and a ping is not answered."""
        if self.hanging:
            raise DaemonHangs
        try:
            async with asyncio.timeout(None) as scope:
                watcher = asyncio.create_task(self._watch(client, heard_at, scope))
                try:
                    yield
                finally:
                    watcher.cancel()
        except TimeoutError:
            raise DaemonHangs from None

    async def _watch(
        self, client: Client, heard_at: Callable[[], float], scope: asyncio.Timeout
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            quiet = loop.time() - heard_at()
            if quiet < SILENCE_S:
                await asyncio.sleep(SILENCE_S - quiet)
                continue
            asked = asyncio.create_task(client.ping())
            await asyncio.wait([asked], timeout=PONG_S)
            if not asked.done():
                self._hang(client, asked)
                scope.reschedule(loop.time())
                return
            if asked.exception() is not None:
                return  # the connection ended, which its reader tells by itself
            await asyncio.sleep(SILENCE_S)

    def _hang(self, client: Client, asked: asyncio.Task[None]) -> None:
        if self._silent is not None:
            asked.cancel()
            return
        self._tell(Away(phase="hanging", detail=HANGING))
        self._silent = asyncio.create_task(self._await_return(client, asked))

    async def _await_return(self, client: Client, asked: asyncio.Task[None]) -> None:
        with suppress(OSError):
            await asked
        self._silent = None
        if not client.gone:
            self._tell(client.status)

    async def close(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
        for keeper in list(self._keepers):
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, ready: asyncio.Future[Client], explicit: bool) -> None:
        """Open, hand out, watch the status until the connection ends."""
        try:
            async with AsyncExitStack() as stack:
                client = await self._open(stack, explicit)
                ready.set_result(client)
                async for status in client.watch_status():
                    self._tell(status)
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
                # Nobody may be waiting any more, and asyncio would complain about that.
                ready.exception()
            if self._ready is ready:
                self._ready = None
                gone = isinstance(error, DaemonGone)
                self._tell(
                    Away(phase="stopped" if gone else "failed", detail=str(error))
                )
        finally:
            ready.cancel()

    async def _open(self, stack: AsyncExitStack, explicit: bool) -> Client:
        if self._daemon is not None:
            return await self._open_named(stack, self._daemon, explicit)
        try:
            return await stack.enter_async_context(Client.connect())
        except DaemonGone:
            if not self._start_allowed or self._resting(explicit):
                raise
            if not explicit and self._stopped():
                raise DaemonGone(STOPPED) from None
            self._rest()
            await self._start()
            self._not_before = 0.0
        return await stack.enter_async_context(Client.connect())

    async def _open_named(
        self, stack: AsyncExitStack, daemon: Endpoint, explicit: bool
    ) -> Client:
        """The daemon that the user named; over ssh it is started at the other end."""
        if self._resting(explicit):
            raise DaemonGone(self._trouble)
        self._rest()
        if daemon.ssh is not None:
            self._tell(Away(phase="starting", detail=f"connecting to {daemon}"))
        try:
            client = await stack.enter_async_context(Client.connect(daemon))
        except DaemonGone as gone:
            self._trouble = str(gone)
            raise
        self._not_before = 0.0
        return client

    def _stopped(self) -> bool:
        """Whether a person has ended the daemon since this editor runs, and means it."""
        return discovery.stopped_at() >= self._began

    def _resting(self, explicit: bool) -> bool:
        return not explicit and asyncio.get_running_loop().time() < self._not_before

    def _rest(self) -> None:
        self._not_before = asyncio.get_running_loop().time() + PAUSE_S

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tell(Away(phase="starting", detail="starting the daemon"))

        def announce(text: str) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.say, text)

        await in_thread(
            partial(discovery.ensure_daemon, self._command, announce=announce)
        )


def _settled(ready: asyncio.Future[Client]) -> bool:
    return ready.done() and not ready.cancelled() and ready.exception() is None


async def in_thread(call: Callable[[], T]) -> T:
    """As asyncio.to_thread, except that a call that hangs does not hold up the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, daemon=True).start()
    return await future
