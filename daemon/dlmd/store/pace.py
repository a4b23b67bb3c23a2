"""How fast bytes come and how long the rest takes: sentences for a terminal or a log.

Pure arithmetic; the clock is the caller's. Must not know where the bytes go.
"""

from collections import deque

from dlmd.store.catalogue import sized

WINDOW_S = 10.0  # what came before that says little about the network now


class Pace:
    """The last seconds of one download."""

    def __init__(self) -> None:
        self.seen: deque[tuple[float, int]] = deque()

    def rate(self, done: int, now: float) -> float | None:
        """Bytes a second, once there is something to divide by."""
        self.seen.append((now, done))
        while len(self.seen) > 2 and self.seen[1][0] < now - WINDOW_S:
            self.seen.popleft()
        began, at_first = self.seen[0]
        return (done - at_first) / (now - began) if now > began else None


def line(doing: str, done: int, total: int, rate: float | None) -> str:
    """`4.1 GB of 15.2 GB (27%), 31.0 MB/s, 6 min left`"""
    share = f"{done / max(total, 1):.0%}"
    said = f"{doing}: {sized(done)} of {sized(total)} ({share})"
    if not rate:
        return said
    return f"{said}, {sized(int(rate))}/s, {duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
