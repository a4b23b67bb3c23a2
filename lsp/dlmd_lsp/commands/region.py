"""A text that gives way to a hole, and how the fill is laid into its place. Pure functions.

Must not know the protocol or the daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlmd.wire.protocol import HolePart, hole

from dlmd_lsp.context import MOST_TOKENS, around, without_repeat
from dlmd_lsp.function_body.fit import Body, fit
from dlmd_lsp.lines import BREAK, plain

LETTERS = 3  # of code in a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """source[start:end] gives way to lead, fill and tail. With a `body`, the fill is laid out
    as lines of it; with a `draft`, the hole lies over that text."""

    start: int
    end: int
    tokens: int
    lead: str = ""
    tail: str = ""
    body: Body | None = None
    draft: str = ""
    keep: float = 0.0

    def scaled(self, scale: float) -> Region:
        """At another length; a text laid over cannot change its length, so it goes."""
        if scale == 1.0:
            return self
        size = self.tokens if not self.draft else len(self.draft) // LETTERS
        tokens = max(4, min(MOST_TOKENS, round(size * scale)))
        return replace(self, tokens=tokens, draft="")

    @property
    def part(self) -> HolePart:
        if self.draft:
            return hole(initial=self.draft, keep=self.keep)
        return hole(max_tokens=self.tokens)


def parts_of(source: str, regions: Sequence[Region]) -> list[str | HolePart]:
    """The request: the text around and between the regions, a hole in place of each."""
    first, last = regions[0], regions[-1]
    before, _ = around(source, first.start, first.end)
    _, after = around(source, last.start, last.end)
    told: list[str | HolePart] = []
    text = before
    for at, region in enumerate(regions):
        told += [text + region.lead, region.part]
        following = (
            plain(source[region.end : regions[at + 1].start])
            if region is not last
            else after
        )
        text = region.tail + following
    return [part for part in [*told, text] if part != ""]


def fitted(source: str, region: Region, answer: str) -> str:
    """What stands in the region's place: with the document's own way of writing lines."""
    answer = plain(answer)
    after = region.tail + plain(source[region.end : region.end + 20_000])
    if region.draft:
        return answer
    if region.body is not None:
        text = fit(region.body, answer, after)
    else:
        text = without_repeat(BREAK.split(answer, maxsplit=1)[0], after)
    return region.lead + text + region.tail if text.strip() else ""


def settled(pieces: Sequence[str | int]) -> str:
    """What is worth keeping of an unfinished fill: whole lines without a mask, and what
    stands before the first mask."""
    kept: list[str] = []
    line, whole, gaps = "", True, False
    for piece in pieces:
        if isinstance(piece, int):
            # Further down, a line with a gap in it is not a line.
            line = line if whole and not gaps else ""
            whole, gaps = False, True
            continue
        first, *others = piece.split("\n")
        line += first if whole else ""
        for other in others:
            if whole or line.strip():
                kept.append(line)
            line, whole = other, True
    if whole or line.strip():
        kept.append(line)
    return "\n".join(kept)
