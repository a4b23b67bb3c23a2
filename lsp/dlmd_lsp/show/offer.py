"""A suggestion that was made: what is left of it when somebody types on, or comes back.

Typing what was suggested, taking a word of it, deleting what was typed again: all of these
leave the document as it was but for letters at the suggestion's place. Then the rest is
shown from memory, and nobody is asked. Must not know requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlmd_lsp.context import without_repeat

# What an editor puts behind the cursor by itself.
CLOSING = set(")]}>\"'`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One state of a document, and an offset in it."""

    text: str
    offset: int

    def typed(self, text: str, offset: int) -> tuple[str, str] | None:
        """What stands between then and now: typed before the cursor, closed behind it.

        None when anything else changed.
        """
        grown = len(text) - len(self.text)
        count = offset - self.offset
        if not 0 <= count <= grown <= count + 2:
            return None
        closed = text[offset : self.offset + grown]
        if set(closed) - CLOSING or not text.endswith(self.text[self.offset :]):
            return None
        if not text.startswith(self.text[: self.offset]):
            return None
        return text[self.offset : offset], closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    id: str
    place: Place
    texts: tuple[str, ...]  # surest first
    sure: tuple[tuple[float, ...], ...]  # of each, letter by letter
    manual: bool
    pinned: str = ""  # typed before it came; without that it would never have been made

    def rest(self, text: str, offset: int) -> list[tuple[str, tuple[float, ...]]]:
        """What is left of each candidate that begins with what was typed."""
        between = self.place.typed(text, offset)
        if between is None:
            return []
        typed, closed = between
        if not typed.startswith(self.pinned):
            return []
        found = []
        for offered, sure in zip(self.texts, self.sure, strict=True):
            left = offered[len(typed) :] if offered.startswith(typed) else ""
            if closed:
                left = without_repeat(left, closed)
            if left.strip():
                found.append((left, sure[len(typed) :]))
        return found
