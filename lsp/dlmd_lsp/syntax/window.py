"""The part of a long document around the cursor, with a syntax tree of its own.

One open bracket makes everything below it another tree, so that even an incremental parse of
10,000 lines may take many keystrokes' time. Of a window it never takes more than a few
milliseconds. Must not know what nodes mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlmd_lsp.syntax.languages import Language
from dlmd_lsp.syntax.tree import Tree

BEFORE, AFTER = 16_000, 8_000
# A cursor closer than this to an end of the window gets a new one.
MARGIN = 2_000
_START = re.compile(r"^[^\s)\]}#/*]", re.MULTILINE)


@dataclass(slots=True)
class Window:
    tree: Tree
    start: int  # offset in the document
    tail: int  # letters of the document behind it

    def text(self, source: str) -> str:
        if not self.start and not self.tail:
            return source
        return source[self.start : len(source) - self.tail]

    def holds(self, source: str, offset: int) -> bool:
        after = len(source) - self.tail - offset
        return (not self.start or offset - self.start >= MARGIN) and (
            not self.tail or after >= MARGIN
        )

    def edited(self, source: str, start: int, end: int, new: str) -> bool:
        """Keep up with an edit of the document as it was; False where that cannot be."""
        if start < self.start or end > len(source) - self.tail:
            return False
        if self.tree.begun:
            inside = self.text(source)
            self.tree.edited(inside, start - self.start, end - self.start, new)
        return True


def window_at(source: str, offset: int, language: Language) -> Window:
    """It begins with a line at the left edge, where the grammar is at home."""
    start = max(0, offset - BEFORE)
    if start:
        found = _START.search(source, start, max(start, offset - MARGIN))
        start = found.start() if found else source.find("\n", start) + 1
        start = min(start, offset)
    end = source.find("\n", min(len(source), offset + AFTER))
    return Window(
        tree=Tree(language), start=start, tail=0 if end < 0 else len(source) - end - 1
    )
