"""One document's syntax tree, kept up with its edits.

An edit moves the old tree's nodes and costs microseconds; what it changed is parsed when
somebody next asks. Offsets are code points outside and bytes inside. Must not know what
nodes mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlmd_lsp.syntax.languages import Language, parser

# A tree of a file beyond this takes more than a keystroke's time and more memory than is ours.
LARGEST = 2_000_000


@dataclass(slots=True)
class Tree:
    language: Language
    _tree: Any = None
    _parsed: str | None = None  # the text of the last parse
    _bytes: bytes = b""

    @property
    def begun(self) -> bool:
        return self._tree is not None

    def edited(self, text: str, start: int, end: int, new: str) -> None:
        """`text` is as it was before text[start:end] gave way to `new`."""
        if self._tree is None:
            return
        head = text[:start].encode("utf-8", "surrogatepass")
        gone = text[start:end].encode("utf-8", "surrogatepass")
        came = new.encode("utf-8", "surrogatepass")
        first = _point(head)
        self._tree.edit(
            len(head),
            len(head) + len(gone),
            len(head) + len(came),
            first,
            _moved(first, gone),
            _moved(first, came),
        )
        self._parsed = None

    def root(self, text: str) -> Any | None:
        """The root node of the text as it is now; None without a grammar."""
        if self._parsed != text:
            parse = parser(self.language)
            if parse is None or len(text) > LARGEST:
                return None
            self._bytes = text.encode("utf-8", "surrogatepass")
            old = self._tree
            self._tree = (
                parse.parse(self._bytes, old) if old else parse.parse(self._bytes)
            )
            self._parsed = text
        return self._tree.root_node

    def with_edit(self, text: str, offset: int, insert: str) -> Any:
        """The root node as it would be with that insert; this tree stays."""
        other = Tree(self.language)
        if self.root(text) is not None:
            other._tree, other._bytes = self._tree.copy(), self._bytes
            other.edited(text, offset, offset, insert)
        root = other.root(text[:offset] + insert + text[offset:])
        # The node keeps its tree alive.
        return root

    def other(self) -> Tree:
        """A tree for another text in the same language."""
        return Tree(self.language)

    def forget(self) -> None:
        """After a change of the whole text, an old tree helps nobody."""
        self._tree, self._parsed = None, None

    def byte_of(self, text: str, offset: int) -> int:
        return len(text[:offset].encode("utf-8", "surrogatepass"))

    def offset_of(self, at: int) -> int:
        """The code point that begins at a byte of the last parse."""
        return len(self._bytes[:at].decode("utf-8", "surrogatepass"))

    def text_of(self, node: Any) -> str:
        return self._bytes[node.start_byte : node.end_byte].decode(
            "utf-8", "surrogatepass"
        )


def _point(before: bytes) -> tuple[int, int]:
    return before.count(b"\n"), len(before) - before.rfind(b"\n") - 1


def _moved(point: tuple[int, int], by: bytes) -> tuple[int, int]:
    rows = by.count(b"\n")
    if rows:
        return point[0] + rows, len(by) - by.rfind(b"\n") - 1
    return point[0], point[1] + len(by)
