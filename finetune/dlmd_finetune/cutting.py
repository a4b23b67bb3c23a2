"""Where holes are cut in text, and which of their slots are hidden and how much they weigh.

As a user's cursor would leave them: lines, ends of lines, runs of lines, whole functions.
Knows text and numbers; must not know tokens or models.
"""

import re
from dataclasses import dataclass

import numpy as np

MAX_TOKEN_WEIGHT = 4.0
WIDTHS = (16, 24, 32, 48, 64)
BODY_LINES = 30
DEF = re.compile(r"^([ \t]*)(?:async )?def .*:\s*(?:#.*)?$")
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What is asked for in training, and how much of it; a value is an ablation."""

    bodies: float = 0.08  # share of canvases with one whole body cut out
    runs: float = 0.12  # share with a run of lines
    dense: float = 0.55  # share in which four lines in ten are holes
    surplus_weight: float = 0.1  # of padding labels after a hole's first
    renamed: float = 0.2  # share in which names were changed throughout
    middle_last: bool = False  # left to right with the hole's text last, for comparison


def line_spans(text: str) -> list[Span]:
    """Start and end (before the newline) of every line."""
    spans, start = [], 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def body_spans(text: str) -> list[Span]:
    """Bodies of functions, from the start of the first body line to the end of the last."""
    lines = text.split("\n")
    spans = line_spans(text)
    found = []
    for number, line in enumerate(lines[:-1]):
        header = DEF.match(line)
        if not header:
            continue
        depth, last = len(header[1]), number
        for below in range(number + 1, min(number + 1 + BODY_LINES, len(lines))):
            if lines[below].strip() and indent_of(lines[below]) <= depth:
                break
            last = below if lines[below].strip() else last
        if last > number:
            found.append((spans[number + 1][0], spans[last][1]))
    return found


def cut_line(text: str, span: Span, rng: np.random.Generator) -> Span:
    """One hole in one line: the whole line, from the indentation on, to the line's end, or inside it."""
    start, end = span
    first = start + indent_of(text[start:end])
    kind = rng.random()
    if kind < 0.5:
        return start, end
    if kind < 0.75 or end - first < 4:
        return first, end
    middle = int(rng.integers(first + 1, end))
    if kind < 0.92:
        return middle, end
    return middle, int(rng.integers(middle, end)) + 1


def plan_holes(text: str, rng: np.random.Generator, mix: Mix) -> list[Span]:
    """Where to cut: mostly lines, some runs of lines, some function bodies."""
    kind = rng.random()
    if kind < mix.bodies:
        bodies = body_spans(text)
        if bodies:
            return [bodies[int(rng.integers(len(bodies)))]]
    lines = [span for span in line_spans(text) if text[span[0] : span[1]].strip()]
    if not lines:
        return []
    if kind < mix.bodies + mix.runs:
        first = int(rng.integers(len(lines)))
        last = min(first + int(rng.integers(1, 6)), len(lines) - 1)
        return [(lines[first][0], lines[last][1])]
    share = 0.4 if kind < mix.bodies + mix.runs + mix.dense else 0.08
    chosen = np.flatnonzero(rng.random(len(lines)) < share)
    if not len(chosen):
        chosen = rng.integers(0, len(lines), 1)
    return [cut_line(text, lines[index], rng) for index in chosen]


def surplus(length: int, crowded: bool, rng: np.random.Generator) -> int:
    """How many masks too many: none for one hole in four, else up to a width that requests use."""
    if rng.random() < 0.25:
        return 0
    if crowded:
        return int(rng.integers(0, 9))
    wide = [width - length for width in WIDTHS if width >= length]
    return int(rng.choice(wide[:3])) if wide else int(rng.integers(0, 17))


def hide(
    length: int, extra: int, rng: np.random.Generator, surplus_weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which of a hole's slots are masked, and each slot's loss weight.

    The masked share t is 1 for a third of the holes (every hole starts that way), else
    uniform: for a third anywhere, for a third from the right, the order in which a hole
    without a known length is best filled. The weight 1/t (masked-diffusion bound) is
    applied as slots/masked, capped.
    """
    slots = length + extra
    masked = np.ones(slots, dtype=bool)
    kind = rng.random()
    if kind < 0.67:
        count = max(1, round(rng.random() * slots))
        order = np.arange(slots)[::-1] if kind < 0.33 else rng.permutation(slots)
        masked[:] = False
        masked[order[:count]] = True
    weight = np.full(
        slots, min(slots / masked.sum(), MAX_TOKEN_WEIGHT), dtype=np.float32
    )
    weight[length + 1 :] *= surplus_weight
    return masked, weight
