"""What of a denoising state settled in its last step. Pure functions.

Neighbouring settled tokens come as one text, so a state does not say which of them are new:
what the state before had settled is looked for in it, in order, and the rest is new. Must not
know who draws it.
"""

from __future__ import annotations

Pieces = list[str | int]
Told = list[tuple[str | int, bool, int]]


def told_apart(pieces: Pieces, before: Pieces) -> Told:
    """Pieces cut where old text meets new: each, whether it is new, and where it came from."""
    olds = [piece for piece in before if isinstance(piece, str) and piece]
    told: Told = []
    for at, piece in enumerate(pieces):
        if isinstance(piece, int):
            told.append((piece, False, at))
            continue
        later = [one for one in pieces[at + 1 :] if isinstance(one, str)]
        told += [(text, new, at) for text, new in _cut(piece, olds, later)]
    return told


def _cut(text: str, olds: list[str], later: list[str]) -> list[tuple[str, bool]]:
    """Takes from the front of `olds` what the text holds."""
    cut: list[tuple[str, bool]] = []
    start = 0
    while olds:
        found = text.find(olds[0], start)
        if found < 0:
            if any(olds[0] in one for one in later):
                break
            olds.pop(0)  # it was taken back
            continue
        cut += [(text[start:found], True), (olds[0], False)]
        start = found + len(olds.pop(0))
    return [part for part in [*cut, (text[start:], True)] if part[0]] or [("", False)]
