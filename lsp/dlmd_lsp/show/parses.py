"""Whether a suggestion leaves a file as readable as it was.

Python is judged by Python itself, on the top-level statements around the cursor, because a
whole file takes longer than a keystroke; other languages by their syntax trees. A file that
does not parse to begin with is in the middle of something, and nothing is held against it.
Must not know requests.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable

from dlmd_lsp.syntax.tree import Tree

# A statement at the left edge that goes on from nothing above it.
TOP = re.compile(
    r"^(?!(?:else|elif|except|finally|case)\b)[A-Za-z_@]", re.MULTILINE | re.ASCII
)
LARGEST = 40_000


def without_breaking(text: str, offset: int, insert: str, tree: Tree) -> str:
    """As many lines of the insert as keep the file whole; "" when not even one does."""
    stays_whole = _judge(text, offset, tree)
    lines = insert.split("\n")
    for count in range(len(lines), 0, -1):
        part = "\n".join(lines[:count])
        if stays_whole is None or stays_whole(part):
            return part
        if len(lines) - count >= 4:
            break
    return ""


def _judge(text: str, offset: int, tree: Tree) -> Callable[[str], bool] | None:
    """What tells of an insert whether it leaves the text whole; None where the text is not
    whole by itself."""
    if tree.language.name == "python":
        # What looks like a statement at the left edge may be a line of a string; then
        # only all of the text can tell.
        spans = (_statements(text, offset), (0, len(text)))
        short = [(start, end) for start, end in spans if end - start <= LARGEST]
        for start, end in short:
            if _is_python(text[start:end]):
                before, after = text[start:offset], text[offset:end]
                return lambda insert: _is_python(before + insert + after)
        if short:
            return None
    root = tree.root(text)
    if root is None or root.has_error:
        return None
    return lambda insert: not tree.with_edit(text, offset, insert).has_error


def is_whole(text: str, tree: Tree) -> bool:
    """Whether a file parses, as far as that can be told."""
    if tree.language.name == "python" and len(text) <= 10 * LARGEST:
        return _is_python(text)
    root = tree.root(text)
    return root is None or not root.has_error


def _statements(text: str, offset: int) -> tuple[int, int]:
    """The top-level statement around the offset, with the one above it."""
    start = 0
    line = text.rfind("\n", 0, offset) + 1
    above = line
    for _ in range(2):
        above = _top_above(text, above)
        start = above
    end = text.find("\n", offset)
    below = TOP.search(text, end + 1) if end >= 0 else None
    return start, below.start() if below else len(text)


def _top_above(text: str, line: int) -> int:
    """The nearest line above that begins a top-level statement."""
    while line > 0:
        line = text.rfind("\n", 0, line - 1) + 1
        if TOP.match(text, line):
            # A decorator belongs to what stands below it.
            above = text.rfind("\n", 0, line - 1) + 1
            if line == 0 or not text.startswith("@", above):
                return line
    return 0


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
