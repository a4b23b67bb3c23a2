"""Signature and docstring of a function, and where its first statement begins.

Read by the tokenizer, row by row from the `def`, because a head is usually whole while the
body below it does not parse yet. Must not know which function is wanted, nor why.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from dlmd_lsp.lines import columns, indentation

DOCSTRING = re.compile(r"[rRuU]?[\"']")
QUIET = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.NEWLINE}
ENDS = {tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Signature and docstring; places are (row, column) in the file, rows from 0."""

    name: str
    row: int
    colon: tuple[int, int]
    docstring: tuple[tuple[int, int], tuple[int, int]] | None
    # Last row that stays: of the signature, the docstring or a comment below them.
    last: int
    # First statement of the body, docstring aside.
    first: tuple[int, int] | None


def read_head(bare: list[str], row: int) -> Head:
    stream = _tokens(bare, row)
    name = bare[row].strip()
    try:
        name, colon = _signature(stream)
    except (tokenize.TokenError, SyntaxError, StopIteration):
        raise ValueError(
            f"the signature at line {row + 1} is not finished; close it with a colon and try again"
        ) from None
    try:
        return _below(stream, bare, name, row, colon)
    except (tokenize.TokenError, SyntaxError):
        raise ValueError(
            f"the docstring of {name} is not closed; close it and try again"
        ) from None


def _tokens(bare: list[str], row: int) -> Iterator[tokenize.TokenInfo]:
    """Tokens from a row on, read line by line, with rows counted from 0 in the whole file."""
    lines = (line + "\n" for line in islice(bare, row, None))
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        (top, left), (bottom, right) = token.start, token.end
        yield token._replace(start=(row + top - 1, left), end=(row + bottom - 1, right))


def _signature(stream: Iterator[tokenize.TokenInfo]) -> tuple[str, tuple[int, int]]:
    name, depth = "", 0
    while True:
        token = next(stream)
        if token.string == "def" and not name:
            name = next(stream).string
        elif token.string in {"(", "[", "{"}:
            depth += 1
        elif token.string in {")", "]", "}"}:
            depth -= 1
        elif token.string == ":" and depth == 0:
            return name, token.end


def _below(
    stream: Iterator[tokenize.TokenInfo],
    bare: list[str],
    name: str,
    row: int,
    colon: tuple[int, int],
) -> Head:
    """What follows the colon, up to the first statement."""
    floor = columns(indentation(bare[row]))
    docstring, first, last = None, None, colon[0]
    strings: list[tokenize.TokenInfo] = []
    try:
        for token in stream:
            inside = token.start[0] == colon[0] or _width(bare, token) > floor
            if token.type == tokenize.COMMENT and inside and not strings:
                last = token.start[0]
            if token.type in QUIET and not (strings and token.type == tokenize.NEWLINE):
                continue
            if docstring is None and _is_text(token) and inside:
                strings.append(token)
            elif strings and (token.type == tokenize.NEWLINE or token.string == ";"):
                docstring = (strings[0].start, strings[-1].end)
                strings, last = [], max(last, docstring[1][0])
            else:
                at = strings[0] if strings else token
                first = at.start if inside and at.type not in ENDS else None
                break
    except IndentationError:
        # What comes next stands further left than anything before: the body is empty.
        pass
    return Head(
        name=name, row=row, colon=colon, docstring=docstring, last=last, first=first
    )


def _width(bare: list[str], token: tokenize.TokenInfo) -> int:
    return (
        columns(indentation(bare[token.start[0]])) if token.start[0] < len(bare) else 0
    )


def _is_text(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.STRING and bool(DOCSTRING.match(token.string))
