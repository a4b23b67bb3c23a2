"""How much of a document the model is shown, so that its first state comes in time.

At the start a few first states are timed, each with twice the context of the one before;
the largest context that stays under the target is the budget. Later first states say
whether the machine has become slower or faster. The budget moves only when many of them
agree that it is off by a good part, because every move changes what a document looks like
to the model. Must not know models, devices or requests: only contexts and seconds.
"""

from collections import deque
from collections.abc import Callable
from math import log
from statistics import median

FIRST = 128  # tokens of the first context timed
FLOOR = 512  # with less a model says little of use, however slow the machine
STEP = 64  # budgets are multiples of it
# What the target leaves to the socket, and to a run that is not the median.
SHARE = 0.8
RUNS = 2  # of each context; the first also pays for new memory
AGREED = 9  # first states before a move
LESS, MORE = 0.8, 1.3  # of the budget: a move must be worth it

Curve = list[tuple[int, float]]  # context, seconds to the first state; both rising


class Budget:
    """Lives as long as the loaded model."""

    def __init__(self, curve: Curve, *, target_s: float, most: int) -> None:
        self._curve, self._most = curve, most
        self._aim_s = SHARE * target_s
        self._slowness: deque[float] = deque(maxlen=AGREED)
        self.context = largest(curve, self._aim_s, most)

    def saw(self, context: int, seconds: float) -> None:
        """A request's first state came after `seconds`."""
        self._slowness.append(seconds / expected(self._curve, context))
        if len(self._slowness) < AGREED:
            return
        wanted = largest(self._curve, self._aim_s / median(self._slowness), self._most)
        if not LESS * self.context <= wanted <= MORE * self.context:
            self.context = wanted
            self._slowness.clear()


def measured(
    first_state_s: Callable[[int], float], *, target_s: float, most: int
) -> Curve:
    """Times of first states up to the context that takes too long, or to `most`."""
    curve: Curve = []
    context = min(FIRST, most)
    while True:
        times = [first_state_s(context)]
        while len(times) < RUNS and times[-1] < 2 * target_s:
            times.append(first_state_s(context))
        # More text never takes less time; a smaller number is chance.
        least = curve[-1][1] * 1.01 if curve else 0.0
        curve.append((context, max(min(times), least)))
        if curve[-1][1] > SHARE * target_s or context == most:
            return curve
        context = min(2 * context, most)


def largest(curve: Curve, aim_s: float, most: int) -> int:
    """The largest context whose first state is expected within `aim_s`."""
    if expected(curve, most) <= aim_s:
        return most
    steps = range(most // STEP * STEP, FLOOR, -STEP)
    fitting = (context for context in steps if expected(curve, context) <= aim_s)
    return next(fitting, min(FLOOR, most))


def expected(curve: Curve, context: int) -> float:
    """Seconds to the first state, read off the curve or off where its ends point to."""
    at = next((k for k, (known, _) in enumerate(curve) if known >= context), None)
    at = len(curve) - 1 if at is None else at
    known, seconds = curve[at]
    return float(seconds * (context / known) ** power(curve, at))


def power(curve: Curve, at: int) -> float:
    """How time grows with context between point `at` and the one before it."""
    if len(curve) < 2:
        return 1.0
    (context, seconds), (more, longer) = curve[max(0, at - 1)], curve[max(1, at)]
    return max(0.01, log(longer / seconds) / log(more / context))
