"""Text as lines: where they break, how deep they stand, which of them repeat. Pure functions.

Must not know what a line means: neither Python nor the protocol.
"""

from __future__ import annotations

import io
import re

BREAK = re.compile(r"\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    """Lines with their endings; a text that ends in a line break has no line after it here."""
    # newline="" is exactly the protocol's rule, and runs in C.
    return io.StringIO(text, newline="").readlines()


def line_ending(text: str) -> str:
    """The ending of the first line, which an insert has to follow."""
    found = BREAK.search(text)
    return found.group() if found else "\n"


def plain(text: str) -> str:
    """Line breaks as models read and write them."""
    if "\r" not in text:
        return text
    return BREAK.sub("\n", text)


def indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def columns(blank: str, tab: int = 8) -> int:
    """Width of leading white space, to compare indentations by."""
    return len(blank.expandtabs(tab))


def trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def without_repeated_lines(lines: list[str], following: list[str]) -> list[str]:
    """The lines less a tail that is how the following text, blank lines aside, begins."""
    ahead = [line.rstrip() for line in following if line.strip()]
    for count in range(min(len(lines), len(ahead)), 0, -1):
        if [line.rstrip() for line in lines[-count:]] == ahead[:count]:
            return lines[:-count]
    return lines
