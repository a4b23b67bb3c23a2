"""What the daemon says about itself: one Status, told to whoever watches when it changes.

Guarded by the engine's lock, which is re-entrant, so that a listener may ask for the status.
Must not know what leads to a status.
"""

import threading
from collections.abc import Callable

from msgspec.structs import replace

from dlmd.wire.protocol import Phase, Status


class Board:
    def __init__(self, lock: threading.Condition, status: Status) -> None:
        self._lock = lock
        self._status = status
        self._listeners: list[Callable[[Status], None]] = []

    @property
    def status(self) -> Status:
        with self._lock:
            return self._status

    def watch(self, listener: Callable[[Status], None]) -> None:
        with self._lock:
            self._listeners.append(listener)

    def enter(self, phase: Phase, **changes: object) -> None:
        """Another phase: what was told about the one before is no longer so."""
        fresh: dict[str, object] = {
            "detail": "",
            "fix": "",
            "bytes_done": 0,
            "bytes_total": 0,
            "eta_s": None,
            "until": None,
            "memory": 0,
            "lent_to": "",
        }
        self.update(phase=phase, **(fresh | changes))

    def update(self, **changes: object) -> None:
        with self._lock:
            after = replace(self._status, **changes)
            if self._status.phase == "stopping" or after == self._status:
                return
            self._status = after
            for listener in self._listeners:
                listener(after)
