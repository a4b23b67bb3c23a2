"""What is on the device: the weights, the adapter in them, and how long they stay idle.

Tells the board about it. Used on the engine's thread only, but for what its fields say.
Must not know requests but for their keep-alive, clients or queues.
"""

import logging
import math
import time
from collections.abc import Callable, Generator
from typing import NotRequired, Protocol, TypedDict

from dlmd.serve.board import Board
from dlmd.serve.job import Frame, explained
from dlmd.wire import duration
from dlmd.wire.protocol import Infill, Pin

log = logging.getLogger(__name__)

STATUS_EVERY_S = 0.1  # while loading
AFTER_FAILURE = (
    "mend that and ask again, or `dlmd stop` and `dlmd serve` with another model"
)
Progress = Callable[[int, int], None]


class Description(TypedDict):
    model: str
    profile: str
    device: str
    dtype: NotRequired[str]
    context: NotRequired[int]
    memory: NotRequired[int]


class Backend(Protocol):
    """What computes. Called on the engine's thread only, except describe() and count().

    The generator of `infill` may be sent a Pin instead of asked for the next frame. Where a
    frame takes several forwards, as the first does while a length is searched, it asks
    before each whether the request is still wanted, and raises Unwanted if not.
    `use_adapter` raises ValueError before it touches the weights; after any other exception
    they are lost. `use_model` says what load() will read next; ValueError where it cannot.
    """

    def load(self, progress: Progress) -> None: ...
    def unload(self) -> None: ...
    def describe(self) -> Description: ...
    def count(self, text: str) -> int: ...
    def use_model(self, name: str) -> None: ...
    def use_adapter(self, name: str | None) -> None: ...
    def warm(self) -> str: ...
    def infill(
        self, request: Infill, wanted: Callable[[], bool]
    ) -> Generator[Frame, Pin | None, None]: ...


class Unwanted(Exception):
    """Raised by a Backend's generator between two forwards."""


class LoadingUnwanted(Exception):
    """Raised by `between` to leave Backend.load()."""


class Resident:
    def __init__(
        self,
        backend: Backend,
        board: Board,
        *,
        keep_alive: str | float,
        adapter: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.backend = backend
        self.loaded = False
        self._warm = False  # nothing is left to prepare
        self._preparing = ""
        self.adapter: str | None = None  # merged into the weights
        self.in_force = adapter  # of requests that name none; read by any thread
        self.failed_at = -math.inf  # the last try to load; read by any thread
        self._board = board
        self._clock = clock
        self._default_s = self._keep_s = duration.seconds(keep_alive)
        self.leave_at: float | None = None  # by the clock; None: not at all
        self._until: float | None = None  # the same in seconds since the epoch

    def load(self, between: Callable[[], None]) -> str:
        """Bring the weights, calling `between` now and then. "", or why they are not there.

        Without a reason where `between` raised LoadingUnwanted.
        """
        started = last = self._clock()

        def progress(done: int, total: int) -> None:
            nonlocal last
            between()
            now = self._clock()
            if now - last >= STATUS_EVERY_S or done in (0, total):
                last = now
                eta = (now - started) * (total - done) / done if done else None
                self._board.update(bytes_done=done, bytes_total=total, eta_s=eta)

        self._board.enter("loading", **self.backend.describe())
        try:
            self.backend.load(progress)
            self.loaded, self._warm = True, False
            detail = self._put_in_force()
        except Exception as error:
            self.unload()
            return self._failed(error)
        about = self.backend.describe()
        self._board.enter("ready", detail=detail, adapter=self.in_force, **about)
        return ""

    def _put_in_force(self) -> str:
        """The adapter back into the weights; what is wrong with it, if something is."""
        try:
            self.use_adapter(self.in_force)
        except ValueError as error:
            self.in_force = None
            return str(error)
        return ""

    def _failed(self, error: Exception) -> str:
        if isinstance(error, LoadingUnwanted):
            self._board.enter("idle")
            return ""
        self.failed_at = self._clock()
        detail = explained("", error).message
        self._board.enter("failed", detail=detail, fix=AFTER_FAILURE)
        return detail

    def unload(self) -> None:
        self.loaded, self.adapter = False, None
        self.work()
        try:
            self.backend.unload()
        except Exception as error:
            log.error("the weights could not be freed: %s", type(error).__name__)

    def use_adapter(self, name: str | None) -> None:
        if name == self.adapter:
            return
        try:
            self.backend.use_adapter(name)
        except ValueError:
            raise
        except Exception:
            self.unload()
            raise
        self.adapter = name

    def warm(self) -> bool:
        """While nobody waits, a bit of the backend's preparation. False: none is left."""
        if not self.loaded or self._warm:
            return False
        try:
            detail = self.backend.warm()
        except Exception as error:  # slower, but nothing is lost
            log.error("preparing was given up: %s", type(error).__name__)
            detail = ""
        self._warm = not detail
        if detail or self._preparing:
            self._board.update(detail=detail)
        self._preparing = detail
        return bool(detail)

    # ---- keep-alive

    def kept(self, request: Infill) -> None:
        """A request ended: its word on how long to stay holds until the next one's."""
        given = request.keep_alive
        self._keep_s = self._default_s if given is None else duration.seconds(given)

    def work(self) -> None:
        self.leave_at = self._until = None

    def rest(self) -> None:
        """Nothing to do: say so, and go when the time has come."""
        if not self.loaded:
            return
        now = self._clock()
        if self.leave_at is None and self._keep_s != math.inf:
            self.leave_at = now + self._keep_s
            self._until = time.time() + self._keep_s
        if self.leave_at is not None and now >= self.leave_at:
            self.unload()
            self._board.enter("idle", queue=0)
        else:
            # Described anew: what a backend takes at once may follow what it measured.
            about = self.backend.describe()
            self._board.update(phase="ready", queue=0, until=self._until, **about)
