"""How many threads a CPU computes with: measured at the start, and again while it works.

Threads of one matrix product wait for each other at its end. On idle cores more of them
are faster; where another process has the cores, one that must wait holds up all, and the
others burn their time slices waiting. No fixed number is right, so a `Pace` knows how long
layers take: one that takes three times its median halves the threads at once, within the
forward, and now and then a single layer runs with another number to learn whether that
would be faster. Must not know requests, decoding or other devices.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from dlmd.model.dream import Dream

STALL = 3.0  # times the median
GAIN = 0.85  # of the time now: less is worth a change
KNOWN = 48  # layers from which a median comes
ENOUGH = 6  # before a median means anything
PROBES = 3  # layers in a row that decide for another number
EVERY, SELDOM = 8, 64  # forwards between probes: first, and after many in vain
WIDE = 96  # rows: from here on more threads pay; fewer are a step over a hole
# A layer's time grows with its rows, but a few rows cost nearly what none would.
FIXED_ROWS = 64
REPEATS = 3
LONG_S = 0.3  # a forward that takes so long is not repeated
HOPELESS = 2.0  # times the best: still more threads would be slower again

LOAD = Path("/proc/loadavg")
SetThreads = Callable[[int], None]
Clock = Callable[[], float]


def counts(most: int) -> list[int]:
    """The numbers of threads that are tried: one, and all, halved and halved again."""
    tried = [most]
    while tried[-1] > 1:
        tried.append(tried[-1] // 2)
    return sorted(tried)


def has_room(count: int) -> bool:
    """Whether so many cores are free at this moment, ours included. Linux says; elsewhere
    it may be so, and the time of a probed layer tells."""
    try:
        running = LOAD.read_text().split()[3].split("/")[0]
    except OSError:
        return True
    return int(running) - 1 + count <= (os.cpu_count() or 1)


def calibrate(
    forward: Callable[[], object],
    tried: list[int],
    *,
    set_threads: SetThreads = torch.set_num_threads,
    clock: Clock = time.perf_counter,
) -> int:
    """Time `forward` with each number of threads, fewest first; the fastest is kept."""
    best, best_s = tried[0], float("inf")
    for count in tried:
        set_threads(count)
        times: list[float] = []
        for run in range(1 + REPEATS):
            began = clock()
            forward()
            took = clock() - began
            if run > 0 or took > LONG_S:  # at first threads start, and memory is found
                times.append(took)
            if took > LONG_S or (times and took > HOPELESS * best_s):
                break
        if median(times) < best_s:
            best, best_s = count, median(times)
        elif median(times) > HOPELESS * best_s:
            break
    set_threads(best)
    return best


class Pace:
    """The number of threads for forwards of one kind, and the layer times it rests on."""

    def __init__(
        self, tried: list[int], start: int, room: Callable[[int], bool] | None = None
    ) -> None:
        assert start in tried
        self._room = room or has_room
        self.tried = tried
        self.count = start
        # Seconds for each row, by number of threads: at work, and when probed.
        self._seen = {count: deque[float](maxlen=KNOWN) for count in tried}
        self._probed: list[float] = []
        self._until_probe = self._wait = EVERY
        self._upward = False  # which neighbour is probed next
        self._usual = float("inf")

    def begin(self) -> int | None:
        """A forward begins. The number of threads that one of its layers should try."""
        seen = self._seen[self.count]
        self._usual = median(seen) if len(seen) >= ENOUGH else float("inf")
        self._until_probe -= 1
        if self._until_probe > 0 or len(seen) < ENOUGH:
            return None
        at = self.tried.index(self.count) + (1 if self._upward else -1)
        if self._upward and at < len(self.tried) and not self._room(self.tried[at]):
            return None  # asked again at the next forward, which costs nothing
        self._until_probe = self._wait
        if not self._probed:
            self._upward = not self._upward
        return self.tried[at] if 0 <= at < len(self.tried) else None

    def worked(self, pace: float) -> None:
        """A layer ended, at the usual number of threads."""
        self._seen[self.count].append(pace)
        if pace > STALL * self._usual and self.count > self.tried[0]:
            self._move(self.tried[self.tried.index(self.count) - 1])
            self._until_probe, self._upward = 1, True  # perhaps it was nothing

    def tried_with(self, count: int, pace: float) -> None:
        """A probed layer ended."""
        if pace > GAIN * self._lately():
            self._probed.clear()
            self._wait = min(2 * self._wait, SELDOM)
            return
        self._probed.append(pace)
        self._until_probe, self._upward = 1, count > self.count
        if len(self._probed) == PROBES:
            self._move(count)

    def _lately(self) -> float:
        seen = list(self._seen[self.count])[-ENOUGH:]
        return median(seen) if seen else float("inf")

    def _move(self, count: int) -> None:
        self.count = count
        self._usual = float("inf")
        self._probed.clear()
        self._wait = self._until_probe = EVERY


class Watch:
    """Stands before every layer of a model. Lives as long as it; all forwards of the model
    belong to one thread, for which this sets how many compute."""

    def __init__(
        self,
        wide: Pace,
        narrow: Pace,
        *,
        set_threads: SetThreads = torch.set_num_threads,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.wide, self.narrow = wide, narrow
        self._pace = wide
        self._set_threads, self._clock = set_threads, clock
        self._threads: int | None = None
        self._probing: int | None = None
        self._timed: int | None = (
            None  # rows of the layer that runs, if its time counts
        )
        self._began = 0.0

    def before(self, number: int, rows: int, last: bool) -> None:
        """Layer `number` of a forward over `rows` is next: the one before it has ended."""
        if number == 0:
            self._pace = self.wide if rows >= WIDE else self.narrow
            self._probing = self._pace.begin()
        elif self._timed is not None:
            self._ended((self._clock() - self._began) / (self._timed + FIXED_ROWS))
        probed = self._probing is not None and number in (1, 2) and not last
        wanted = self._probing if probed else self._pace.count
        assert wanted is not None
        # The first layer after a change pays for threads that wake up; the last one may
        # compute a few columns only, and what follows it is no layer.
        counts = not last and wanted == self._threads
        if wanted != self._threads:
            self._set_threads(wanted)
            self._threads = wanted
        self._timed = rows if counts else None
        self._began = self._clock()

    def _ended(self, pace: float) -> None:
        assert self._threads is not None
        if self._threads == self._pace.count:
            self._pace.worked(pace)
        else:
            self._pace.tried_with(self._threads, pace)


def stand_before_layers(model: Dream, before: Callable[[int, int, bool], None]) -> None:
    """Call `before(number, rows, last)` whenever a layer of the model is about to run."""
    layers = list(model.model.layers)
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1

        def hook(
            layer: Any, given: Any, number: int = number, last: bool = last
        ) -> None:
            before(number, given[0].shape[:2].numel(), last)

        layer.register_forward_pre_hook(hook)
