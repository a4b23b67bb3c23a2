"""Whether a model is right as often as it says it is.

An answer's confidence is the mean of the certainties by which its tokens were committed.
Bins are equally wide; the expected calibration error (Guo et al. 2017) is the mean distance
between confidence and accuracy, by how many answers a bin holds. Must not know models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    low: float
    high: float
    answers: int
    confidence: float  # mean
    accuracy: float


def reliability(
    confidence: Sequence[float], right: Sequence[bool], bins: int = BINS
) -> list[Bin]:
    """The bins that hold an answer, from unsure to sure."""
    assert len(confidence) == len(right)
    found = []
    for n in range(bins):
        low, high = n / bins, (n + 1) / bins
        inside = [
            (sure, hit)
            for sure, hit in zip(confidence, right, strict=True)
            if low <= sure < high or (n == bins - 1 and sure >= 1)
        ]
        if inside:
            each = Bin(
                low=low,
                high=high,
                answers=len(inside),
                confidence=mean(sure for sure, _ in inside),
                accuracy=mean(hit for _, hit in inside),
            )
            found.append(each)
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """0 where confidence is accuracy, 1 where a sure model is always wrong."""
    total = sum(each.answers for each in bins)
    if not total:
        raise ValueError("no answers to compare; expected at least one with tokens")
    gaps = (each.answers * abs(each.confidence - each.accuracy) for each in bins)
    return sum(gaps) / total
