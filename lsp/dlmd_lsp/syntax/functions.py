"""Functions and their bodies, by syntax tree where there is one, else by their brackets.

Python's bodies are found in function_body/, because they have docstrings. Must not know
what is put into a body.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from dlmd_lsp.function_body.fit import Body
from dlmd_lsp.lines import indentation
from dlmd_lsp.syntax.tree import Tree

BODIES = {"statement_block", "block", "compound_statement", "constructor_body"}


def function_at(text: str, offset: int, tree: Tree) -> tuple[int, int] | None:
    """Start and end of the innermost function around an offset."""
    node = _function_node(text, offset, tree)
    if node is None:
        return None
    return tree.offset_of(node.start_byte), tree.offset_of(node.end_byte)


def braced_body(text: str, offset: int, tree: Tree) -> tuple[Body, str]:
    """What is between a function's braces, and what has to stand before the closing one."""
    node = _function_node(text, offset, tree)
    if node is not None:
        block = node.child_by_field_name("body")
        if block is None or block.type not in BODIES:
            raise ValueError(_nowhere(text, offset))
        opening = tree.offset_of(block.start_byte)
        closing = tree.offset_of(block.end_byte) - 1
        name = node.child_by_field_name("name") or node.child_by_field_name(
            "declarator"
        )
        said = "" if name is None else tree.text_of(name).split("(")[0].split()[-1]
    else:
        opening, closing = _braces(text, offset)
        said = ""
    if text[opening : opening + 1] != "{" or text[closing : closing + 1] != "}":
        raise ValueError(_nowhere(text, offset))
    return _between(text, opening, closing, said or "the function")


def _between(text: str, opening: int, closing: int, name: str) -> tuple[Body, str]:
    head = text[text.rfind("\n", 0, opening) + 1 : opening]
    outer, unit = indentation(head), unit_of(text)
    indent = outer + unit
    body = Body(
        name=name,
        start=opening + 1,
        end=closing,
        lead="\n" + indent,
        indent=indent,
        unit=unit,
    )
    return body, "\n" + outer


def _function_node(text: str, offset: int, tree: Tree) -> Any | None:
    root = tree.root(text)
    if root is None:
        return None
    line = text.rfind("\n", 0, offset) + 1
    # From a function's first line on, its indentation included, one is in it.
    first = line + len(indentation(text[line : line + 400]))
    # And at its very end one still is.
    for place in (offset, max(offset, first), max(0, offset - 1)):
        at = tree.byte_of(text, place)
        node = root.descendant_for_byte_range(at, at)
        while node is not None:
            inside = node.start_byte <= at <= node.end_byte
            if node.type in tree.language.functions and inside:
                return node
            node = node.parent
    return None


def _braces(text: str, offset: int) -> tuple[int, int]:
    """The innermost pair of braces around an offset, or the one its line opens."""
    end = text.find("\n", offset)
    line = text.rfind("\n", 0, offset) + 1
    opened = text.find("{", line, len(text) if end < 0 else end)
    start = opened if opened >= 0 else _unclosed(text, offset)
    if start < 0:
        raise ValueError(_nowhere(text, offset))
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return start, at
    raise ValueError("the braces of this function are not closed; close them")


def _unclosed(text: str, offset: int) -> int:
    depth = 0
    for at in range(offset - 1, -1, -1):
        depth += (text[at] == "}") - (text[at] == "{")
        if depth < 0:
            return at
    return -1


def unit_of(text: str) -> str:
    """One level of indentation, as this file has it most often."""
    rows = [line for line in text[:100_000].splitlines() if line.strip()]
    steps = Counter(
        indentation(below).removeprefix(indentation(line))
        for line, below in pairwise(rows)
        if line.rstrip().endswith((":", "{", "(", "["))
    )
    del steps[""]
    return steps.most_common(1)[0][0] if steps else "    "


def _nowhere(text: str, offset: int) -> str:
    row = text.count("\n", 0, offset) + 1
    return (
        f"there is no function with a body at line {row}; put the cursor into one "
        "and try again"
    )
