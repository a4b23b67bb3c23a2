"""How sure the model is of a text, letter by letter, and which part of it that makes.

From the pieces of the last state, one for each token. Pure functions; must not know requests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# A part that is offered as confident holds only tokens the model gave at least this much.
CONFIDENT = 0.6
WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")

Sure = list[float]  # of each letter


def letters(pieces: Sequence[str | int], confidence: Sequence[float]) -> Sure:
    return [
        number
        for piece, number in zip(pieces, confidence, strict=False)
        if isinstance(piece, str)
        for _ in piece
    ]


def mean(sure: Sequence[float], text: str) -> float | None:
    """Of a text that is the beginning of what the letters are of; None: nothing is known."""
    known = sure[: len(text)]
    return sum(known) / len(known) if known else None


def confident(sure: Sequence[float], text: str) -> int:
    """How many letters at its start, whole words of them, are confident."""
    if not sure:
        return len(text)
    doubt = next((at for at, n in enumerate(sure[: len(text)]) if n < CONFIDENT), None)
    if doubt is None:
        return len(text)
    ends = [found.end() for found in WORD.finditer(text) if found.end() <= doubt]
    return ends[-1] if ends else 0


def sure_lines(text: str, sure: Sequence[float], threshold: float) -> str:
    """The lines up to the first that is less sure; the first always stays."""
    lines = text.split("\n")
    kept, at = [lines[0]], len(lines[0]) + 1
    for line in lines[1:]:
        known = [n for n in sure[at : at + len(line)]]
        if known and sum(known) / len(known) < threshold:
            break
        kept.append(line)
        at += len(line) + 1
    while len(kept) > 1 and not kept[-1].strip():
        del kept[-1]
    return "\n".join(kept)


def first_word(text: str) -> int:
    found = WORD.match(text)
    return found.end() if found else len(text)


def first_line(text: str) -> int:
    """Up to the first line break that has something before it, and that break's indentation."""
    start = len(text) - len(text.lstrip())
    end = re.search(r"\r?\n", text[start:])
    return start + end.start() if end else len(text)


def units(text: str) -> int:
    """Length in UTF-16 code units, in which clients count."""
    return len(text) + sum(1 for letter in text if ord(letter) > 0xFFFF)
