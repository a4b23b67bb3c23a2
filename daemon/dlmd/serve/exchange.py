"""One infill on behalf of one HTTP request: what the engine says, until the client leaves.

HTTP has no message for "never mind": closing the connection is that message, so somebody
must be listening for it while the model works. Must not know what the reply looks like.
"""

import asyncio
from types import TracebackType

from starlette.types import Receive

from dlmd.serve.connection import Mailbox
from dlmd.serve.engine import Engine
from dlmd.wire.protocol import Failure, Infill, Result, State

PARTY = "http"  # a client each; together they leave an editor every other turn


class Gone(Exception):
    """Who asked has left."""


class Exchange:
    """Submitted on entering; dropped on leaving, if it has not ended by itself."""

    def __init__(self, engine: Engine, infill: Infill, receive: Receive) -> None:
        self._engine = engine
        self._infill = infill
        self._receive = receive
        self._mailbox = Mailbox()
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> "Exchange":
        self._left = asyncio.create_task(left(self._receive))
        self._engine.submit(self, self._infill, self._emit, party=PARTY)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.drop(self)
        self._left.cancel()

    async def next(self) -> State | Result | Failure:
        """The newest state of a candidate, or the end; Gone as soon as nobody listens."""
        taken = asyncio.create_task(self._mailbox.take())
        await asyncio.wait((taken, self._left), return_when=asyncio.FIRST_COMPLETED)
        if self._left.done():
            taken.cancel()
            raise Gone
        message = await taken
        assert isinstance(message, State | Result | Failure)
        return message

    def _emit(self, message: State | Result | Failure) -> None:
        """On the engine's thread, mostly; the mailbox lives on the loop's."""
        try:
            self._loop.call_soon_threadsafe(self._mailbox.put, message)
        except RuntimeError:
            assert self._loop.is_closed()  # a forced end: nobody is left to tell


async def left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
