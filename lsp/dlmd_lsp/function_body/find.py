"""The body of the Python function at a cursor: which text of the file it is.

Where the function starts comes from the syntax tree when the file parses and from
indentation when it does not. Must not know about the protocol or the daemon.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from bisect import bisect_right
from collections import Counter
from itertools import accumulate, pairwise

from dlmd_lsp.function_body.fit import Body
from dlmd_lsp.function_body.head import Head, read_head
from dlmd_lsp.lines import columns, indentation, split_lines

DEF = re.compile(r"[ \t]*(async[ \t]+)?def\b")


def find_body(text: str, offset: int) -> Body:
    """The body to fill. ValueError says in one sentence why there is none."""
    lines = split_lines(text) or [""]
    if lines[-1].endswith(("\n", "\r")):
        lines.append("")
    starts = [0, *accumulate(map(len, lines[:-1]))]
    row = bisect_right(starts, offset) - 1
    bare = [line.rstrip("\r\n") for line in lines]
    found = _by_syntax(text, row) or _by_indentation(bare, row)
    if found is None:
        raise ValueError(_nowhere(row))
    def_row, last_row = found
    head = read_head(bare, def_row)
    rows = _rows(bare, head, row, last_row)
    if row > rows[1] and not bare[row]:
        raise ValueError(_nowhere(row))
    return _body(bare, starts, head, rows)


def _rows(bare: list[str], head: Head, row: int, last_row: int) -> tuple[int, int]:
    """First and last row that give way, as far as whole rows go; first > last means none."""
    if head.first is not None:
        end = _while_deeper(bare, head.first[0], columns(indentation(bare[head.row])))
        return head.first[0], max(end, last_row)
    # Blank rows below an empty body: those with white space in them were meant for it.
    end = head.last
    for number in range(head.last + 1, len(bare)):
        if bare[number].strip():
            break
        if bare[number] or number <= row:
            end = number
    return head.last + 1, end


def _while_deeper(bare: list[str], first: int, floor: int) -> int:
    last = first
    for number in range(first + 1, len(bare)):
        if bare[number].strip():
            if columns(indentation(bare[number])) <= floor:
                break
            last = number
    return last


def _body(
    bare: list[str], starts: list[int], head: Head, rows: tuple[int, int]
) -> Body:
    def place(at: tuple[int, int]) -> int:
        return starts[at[0]] + at[1]

    unit = _unit(bare)
    end = starts[rows[1]] + len(bare[rows[1]])
    indent = indentation(bare[head.row]) + unit
    start, lead = place((head.last, len(bare[head.last]))), ""
    doc = head.docstring
    if doc is not None and doc[0][0] > head.colon[0]:
        indent = bare[doc[0][0]][: doc[0][1]]
        start = place(doc[1]) if head.first else start
    elif doc is not None:
        # A docstring beside the colon moves to a line of its own, else nothing could follow it.
        lead = f"\n{indent}{_between(bare, *doc)}"
        start = place(head.colon)
    elif head.first is not None:
        start = place(head.colon)
    if head.first is not None and not bare[head.first[0]][: head.first[1]].strip():
        indent = bare[head.first[0]][: head.first[1]]
        return Body(
            name=head.name,
            start=place(head.first),
            end=end,
            lead="",
            indent=indent,
            unit=unit,
        )
    lead = f"{lead}\n{indent}"
    return Body(
        name=head.name,
        start=start,
        end=max(start, end),
        lead=lead,
        indent=indent,
        unit=unit,
    )


def _between(bare: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    rows = bare[start[0] : end[0] + 1]
    rows[-1] = rows[-1][: end[1]]
    return "\n".join(rows)[start[1] :]


def _nowhere(row: int) -> str:
    return (
        f"there is no Python function at line {row + 1}; put the cursor into one, "
        "at or below its def line, and try again"
    )


def _by_syntax(text: str, row: int) -> tuple[int, int] | None:
    """Rows of the innermost function's `def` and end, when the file parses."""
    try:
        with warnings.catch_warnings():
            # A doubtful escape in the user's file is not ours to report.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    best: tuple[int, int] | None = None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            top = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            last = node.end_lineno or node.lineno
            if top - 1 <= row < last and (best is None or node.lineno - 1 > best[0]):
                best = (node.lineno - 1, last - 1)
    return best


def _by_indentation(bare: list[str], row: int) -> tuple[int, int] | None:
    """Row of the nearest `def` above that stands further left than what lies between."""
    here = bare[row]
    # An empty line may belong to any function above it.
    level = columns(indentation(here)) if here else sys.maxsize
    for number in range(row, -1, -1):
        line = bare[number]
        if not line.strip():
            continue
        width = columns(indentation(line))
        if DEF.match(line) and (width < level or number == row):
            return number, number
        # A signature's closing bracket stands as far left as its def.
        if not line.lstrip().startswith((")", "]", "}")):
            level = min(level, width)
    return None


def _unit(bare: list[str]) -> str:
    """One level of indentation, as this file has it most often."""
    steps = Counter(
        indentation(below).removeprefix(indentation(line))
        for line, below in pairwise(line for line in bare if line.strip())
        if line.endswith(":")
    )
    del steps[""]
    return steps.most_common(1)[0][0] if steps else "    "
