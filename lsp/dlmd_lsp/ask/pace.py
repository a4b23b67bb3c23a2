"""How long to wait after a keystroke before asking: by the rhythm of typing and the model.

A pause is a pause only against the rhythm of the one who types, and asking too early costs
the more the slower the model is. Pure but for its memory; the clock is its caller's.
"""

from __future__ import annotations

from collections import deque
from statistics import median

SHORTEST_S = 0.02
LONGEST_S = 0.5
# Before anything is known: a practised typist, and a model on a good card.
USUAL_GAP_S = 0.15
USUAL_LATENCY_S = 0.2
# Two keystrokes further apart than this were a pause for thought, not a rhythm.
PAUSE_S = 1.5


class Pace:
    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=12)
        self._last: float | None = None
        self.latency_s = USUAL_LATENCY_S

    def typed(self, now: float) -> None:
        if self._last is not None and 0 < now - self._last < PAUSE_S:
            self._gaps.append(now - self._last)
        self._last = now

    def answered(self, took_s: float) -> None:
        self.latency_s += 0.3 * (took_s - self.latency_s)

    @property
    def gap_s(self) -> float:
        return median(self._gaps) if len(self._gaps) >= 3 else USUAL_GAP_S

    def wait_s(self, *, line_start: bool) -> float:
        """1.25 gaps for a model much slower than the typist, nearly none for a fast one."""
        if line_start:
            return 0.0  # after Return somebody looks up
        slow = self.latency_s / (self.latency_s + self.gap_s)
        return min(LONGEST_S, max(SHORTEST_S, 1.25 * self.gap_s * slow))
