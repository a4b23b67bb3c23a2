"""What the cursor stands in: code, a comment or a string, and how much is missing there.

From the syntax tree where there is one; elsewhere from the brackets, quotes and indentation
of the lines around. Pure functions. Must not know requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from dlmd_lsp.lines import columns, indentation
from dlmd_lsp.syntax.languages import Language
from dlmd_lsp.syntax.tree import Tree

Inside = Literal["code", "comment", "string"]
Extent = Literal["expression", "line", "block", "body"]
# What may stand behind a cursor at whose place a line ends all the same.
CLOSERS = re.compile(r"[)\]}>\"'`;:,\s]*(?:#.*|//.*|/\*.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    inside: Inside
    extent: Extent


def place_of(text: str, offset: int, tree: Tree) -> Place:
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    before, after = text[start:offset], text[offset:end].rstrip("\r")
    inside = _inside(text, offset, tree, before)
    blank = not before.strip()
    if not blank or after.strip():
        closed = CLOSERS.fullmatch(after) is not None and not after.strip()
        extent: Extent = "line" if closed else "expression"
    else:
        extent = _open_block(text, start, end, tree, before)
    return Place(inside=inside, extent=extent)


def _inside(text: str, offset: int, tree: Tree, before: str) -> Inside:
    root = tree.root(text)
    if root is None:
        return _inside_by_quotes(before, tree.language)
    at = tree.byte_of(text, offset)
    line = at - len(before.encode("utf-8", "surrogatepass"))
    # Just behind the last character of a comment one is still in it, of a string not.
    node = root.descendant_for_byte_range(max(0, at - 1), at)
    broken = False
    while node is not None:
        kind = node.type
        # A string that is being typed is none yet to a grammar.
        broken = broken or (node.has_error and node.start_byte >= line)
        if kind in tree.language.code_in_strings and node.start_byte < at:
            return "code"
        if kind in tree.language.comments and node.start_byte < at:
            line = not tree.text_of(node).startswith("/*") or at < node.end_byte
            return "comment" if line and at <= node.end_byte else "code"
        if kind in tree.language.strings and node.start_byte < at:
            return "string" if at < node.end_byte or _unclosed(node, tree) else "code"
        node = node.parent
    return _inside_by_quotes(before, tree.language) if broken else "code"


def _unclosed(node: Any, tree: Tree) -> bool:
    text = tree.text_of(node)
    return len(text) < 2 or text[-1] not in "\"'`/"


def _inside_by_quotes(before: str, language: Language) -> Inside:
    """By the cursor's own line only."""
    quote = ""
    for number, letter in enumerate(before):
        if quote:
            quote = "" if letter == quote and before[number - 1] != "\\" else quote
        elif before.startswith(language.comment, number):
            return "comment"
        elif letter in "\"'`":
            # An apostrophe inside a word opens nothing.
            word = number and before[number - 1].isalnum()
            quote = letter if not (letter == "'" and word) else ""
    return "string" if quote else "code"


def _open_block(text: str, start: int, end: int, tree: Tree, blank: str) -> Extent:
    """On an empty line: a block where one has just been opened, else a line."""
    above = text[:start].rstrip()
    opened = above.endswith("{" if tree.language.braces else ":")
    if not opened:
        return "line"
    below = text[end:].lstrip("\r\n").split("\n", 1)[0] if text[end:].strip() else ""
    floor = columns(indentation(above.rpartition("\n")[2]))
    filled = below.strip() and columns(indentation(below)) > floor
    if filled or columns(blank) <= floor:
        return "line"
    head = _head_line(above)
    function = _FUNCTION.match(head) or _opens_function(text, len(above) - 1, tree)
    return "body" if function else "block"


def _opens_function(text: str, at: int, tree: Tree) -> bool:
    """Whether the brace there is that of a function, which needs no word of its own to be
    one in C or Java."""
    root = tree.root(text)
    if root is None:
        return False
    start = tree.byte_of(text, at)
    brace = root.descendant_for_byte_range(start, start + 1)
    block = None if brace is None else brace.parent
    owner = None if block is None else block.parent
    return owner is not None and owner.type in tree.language.functions


_FUNCTION = re.compile(
    r"\s*(?:(?:export|default|public|private|protected|static|final|async|pub|unsafe|"
    r"inline|override)\s+|pub\([a-z]+\)\s+)*(?:def|func|fn|function)\b"
)


def _head_line(above: str) -> str:
    """The line where the statement began whose head may stand in several."""
    lines = above.split("\n")[-20:]
    depth = 0
    for line in reversed(lines):
        depth += sum(map(line.count, ")]")) - sum(map(line.count, "(["))
        if depth <= 0:
            return line
    return lines[-1]
