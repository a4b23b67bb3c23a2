"""What to ask of the model at a cursor, and what of its answer to insert. Pure functions.

A document and an offset become an `Ask` (text, one hole, text) or the code of a reason why
nothing is asked; the text of a filled hole becomes the text to insert, which never repeats
what already follows the cursor. Must not know about the protocol, the daemon or the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlmd_lsp.ask.reasons import Reason
from dlmd_lsp.lines import (
    BREAK,
    columns,
    indentation,
    plain,
    trimmed,
    without_repeated_lines,
)
from dlmd_lsp.syntax.place import Extent, Place

Pieces = list[str | int]

# Far more than any profile's context; the daemon crops to tokens, this only saves the socket.
REACH = 96_000
STRIDE = 8_192
LEAST_REACH = 8_192
LETTERS = 6  # of code in a token, rather too many
MOST_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Masks in a hole, by its kind."""

    expression: int = 16
    line: int = 32
    block: int = 96
    function: int = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One hole between two texts, line breaks as the model knows them."""

    before: str
    after: str
    extent: Extent
    tokens: int
    # The document's own line ending, for what will be inserted.
    ending: str

    @property
    def single_line(self) -> bool:
        return self.extent in ("expression", "line")

    @property
    def indent(self) -> str:
        """White space in front of the hole, when nothing else is."""
        line = self.before.rpartition("\n")[2]
        return line if not line.strip() else ""


def plan(
    text: str,
    offset: int,
    *,
    manual: bool,
    ending: str,
    budget: Budget,
    place: Place,
    scale: float = 1.0,
    context: int = 0,
) -> Ask | Reason:
    """The hole at the cursor. It always ends at the cursor's line or at the text behind it."""
    before, after = around(text, offset, offset, context)
    if not manual and not (before.strip() or after.strip()):
        return "empty-document"
    if not manual and _is_word(before[-1:]) and _is_word(after[:1]):
        return "mid-word"
    line = before.rpartition("\n")[2] + after.partition("\n")[0]
    extent: Extent = place.extent
    if manual and extent == "line" and not line.strip():
        extent = "block"
    sizes = {
        "expression": min(budget.expression, budget.line),
        "line": budget.line,
        "block": budget.block,
        # Somebody who types waits for less than somebody who asked.
        "body": budget.function if manual else budget.block,
    }
    return Ask(
        before=before,
        after=after,
        extent=extent,
        tokens=max(4, min(MOST_TOKENS, round(sizes[extent] * scale))),
        ending=ending,
    )


def around(text: str, start: int, end: int, context: int = 0) -> tuple[str, str]:
    """The text before and behind a hole, cut at line borders that typing does not move.

    A model that sees `context` tokens is not told ten times as much; 0: not known."""
    reach = min(REACH, max(LEAST_REACH, context * LETTERS)) if context else REACH
    head = max(0, start - reach) // STRIDE * STRIDE
    tail = max(0, len(text) - end - reach) // STRIDE * STRIDE
    first = text.find("\n", head, start) + 1 if head else 0
    last = text.rfind("\n", end, len(text) - tail) + 1 if tail else len(text)
    # Without a border in reach (one endless line), the cut falls inside the line.
    before, after = text[first or head : start], text[end : last or len(text) - tail]
    return plain(before), plain(after)


def fitted(ask: Ask, hole: str) -> str:
    """What to insert of a filled hole, line breaks as the model writes them; empty when
    nothing is worth showing."""
    kept = _one_line(ask, hole) if ask.single_line else _block(ask, hole)
    return kept if kept.strip() else ""


def shown(ask: Ask, pieces: Pieces) -> Pieces:
    """A denoising state as it may be drawn: a one-line hole ends at its first settled break."""
    if not ask.single_line:
        return pieces
    kept: Pieces = []
    for piece in pieces:
        if isinstance(piece, str) and (found := BREAK.search(piece)):
            return [*kept, piece[: found.start()]] if found.start() else kept
        kept.append(piece)
    return kept


def without_repeat(text: str, following: str) -> str:
    """The text less what the same line already holds behind it.

    A repeat counts only from the start of a token: `max` does not repeat the `x` behind it.
    """
    rest = following.partition("\n")[0]
    while cut := max(_overlap(text, rest), _overlap(text, rest.lstrip())):
        text = text[:-cut]
    return text


def _one_line(ask: Ask, hole: str) -> str:
    text = BREAK.split(hole, maxsplit=1)[0]
    if ask.after.partition("\n")[0].strip():
        return without_repeat(text, ask.after)
    text = text.rstrip()
    whole = ask.before.rpartition("\n")[2] + text
    return text if without_repeated_lines([whole], _lines(ask.after)) else ""


def _block(ask: Ask, hole: str) -> str:
    first, *others = BREAK.split(hole)
    kept = [ask.indent + first]
    floor = columns(ask.indent)
    for line in others:
        if line.strip() and columns(indentation(line)) < floor:
            break
        kept.append(line.rstrip())
    kept = trimmed(without_repeated_lines(trimmed(kept), _lines(ask.after)))
    return "\n".join(kept).removeprefix(ask.indent) if kept else ""


def _lines(after: str) -> list[str]:
    # The first is the rest of the cursor's own line.
    return after.split("\n", maxsplit=200)[1:]


def _overlap(text: str, rest: str) -> int:
    for length in range(min(len(text), len(rest)), 0, -1):
        glued = _is_word(text[-length - 1 : -length]) and _is_word(rest[:1])
        if text.endswith(rest[:length]) and not glued:
            return length
    return 0


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
