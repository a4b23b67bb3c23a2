"""Spans of time for a calendar: how long they are, and which ones meet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    start: int
    end: int

    def length(self) -> int:
        return self.end - self.start

    def contains(self, moment: int) -> bool:
        return self.start <= moment < self.end

    def overlaps(self, other: "Interval") -> bool:
        return self.start < other.end and other.start < self.end


def merge(intervals: list[Interval]) -> list[Interval]:
    """Join the intervals that touch or overlap, earliest first."""
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda each: each.start):
        if merged and interval.start <= merged[-1].end:
            last = merged.pop()
            interval = Interval(last.start, max(last.end, interval.end))
        merged.append(interval)
    return merged


def total(intervals: list[Interval]) -> int:
    """The time that is covered, counting no moment twice."""
    return sum(interval.length() for interval in merge(intervals))
