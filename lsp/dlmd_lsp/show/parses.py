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

from dlmd_lsp.syntax.tree import Tree

# A statement at the left edge that goes on from nothing above it.
TOP = re.compile(
    r"^(?!(?:else|elif|except|finally|case)\b)[A-Za-z_@]", re.MULTILINE | re.ASCII
)
LARGEST = 40_000


def without_breaking(text: str, offset: int, insert: str, tree: Tree) -> str:
    """As many lines of the insert as keep the file whole; "" when not even one does."""
    lines = insert.split("\n")
    for count in range(len(lines), 0, -1):
        part = "\n".join(lines[:count])
        if keeps_whole(text, offset, part, tree):
            return part
        if len(lines) - count >= 4:
            break
    return ""


def keeps_whole(text: str, offset: int, insert: str, tree: Tree) -> bool:
    if tree.language.name == "python":
        # What looks like a statement at the left edge may be a line of a string; then
        # only all of the text can tell.
        for start, end in (_statements(text, offset), (0, len(text))):
            if end - start <= LARGEST and _is_python(text[start:end]):
                return _is_python(text[start:offset] + insert + text[offset:end])
        if len(text) <= LARGEST:
            return True
    root = tree.root(text)
    if root is None or root.has_error:
        return True
    after = tree.with_edit(text, offset, insert)
    return not after.has_error


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
