"""The chunks of text that were viewed or edited last, newest first.

Lines are kept as they were then: a chunk is what the person had in mind, not an index. Must
not know which documents may be remembered at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SIZE = 16
LINES = 24
Seen = Literal["viewed", "edited"]
WORD = re.compile(r"[^\W\d]\w{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    uri: str
    path: str
    kind: Seen
    first: int  # line, from 0
    text: str

    @property
    def last(self) -> int:
        return self.first + self.text.count("\n")


class Ring:
    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def add(
        self,
        uri: str,
        path: str,
        lines: list[str],
        first: int,
        kind: Seen,
    ) -> None:
        """Remember these lines of a document; what overlaps them gives way."""
        text = "".join(lines[:LINES]).rstrip()
        if not text.strip():
            return
        new = Chunk(uri=uri, path=path, kind=kind, first=first, text=text)
        self._chunks = [
            new,
            *(old for old in self._chunks if not _overlap(old, new)),
        ][:SIZE]

    def forget(self, uri: str) -> None:
        self._chunks = [chunk for chunk in self._chunks if chunk.uri != uri]

    def others(self, uri: str) -> list[Chunk]:
        """Of other documents than this one, newest first."""
        return [chunk for chunk in self._chunks if chunk.uri != uri]


def _overlap(old: Chunk, new: Chunk) -> bool:
    near = old.uri == new.uri and old.first <= new.last and new.first <= old.last
    return near or likeness(words(old.text), words(new.text)) > 0.9


def words(text: str) -> set[str]:
    return set(WORD.findall(text))


def likeness(one: set[str], other: set[str]) -> float:
    """Jaccard's: what both hold, of all that either holds."""
    return len(one & other) / (len(one | other) or 1)
