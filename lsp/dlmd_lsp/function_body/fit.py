"""How a new function body is laid into a file: its depth, its indentation style, its end.

Pure functions on the text of a filled hole. Must not know how the function was found, nor the
protocol or the daemon.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlmd_lsp.lines import (
    BREAK,
    columns,
    indentation,
    plain,
    trimmed,
    without_repeated_lines,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The text between two offsets gives way to `lead` and the body; `lead` ends in `indent`."""

    name: str
    start: int
    end: int
    lead: str
    indent: str
    unit: str

    @property
    def tab(self) -> int:
        return 4 if self.unit == "\t" else len(self.unit)


def fit(body: Body, answer: str, after: str) -> str:
    """The answer as lines of that body, its own style of indentation, up to where it dedents."""
    lines = BREAK.split(answer)
    floor = columns(body.indent, body.tab)
    widths = [columns(indentation(line), body.tab) for line in lines]
    if lines[0].strip():
        widths[0] = floor
    kept = [(width, line.strip()) for width, line in zip(widths, lines, strict=True)]
    while kept and not kept[0][1]:
        del kept[0]
    shift = _shift(kept, floor)
    rows: list[str] = []
    for width, line in kept:
        # The first stands at the body's depth even where the others were set too deep.
        width = max(width, floor + shift) if not rows and width == floor else width
        if line and width - shift < floor:
            break
        rows.append(_indented(body, width - shift - floor) + line if line else "")
    rows = trimmed(rows)
    rows = trimmed(without_repeated_lines(rows, plain(after).split("\n")[:200]))
    return "\n".join(rows).removeprefix(body.indent)


def _shift(kept: list[tuple[int, str]], floor: int) -> int:
    """How much too deep the answer stands: a model may repeat the indentation it was given."""
    if not kept:
        return 0
    if kept[0][0] > floor:
        return kept[0][0] - floor
    deeper = [width for width, line in kept[1:] if line]
    opens = kept[0][1].endswith((":", "(", "[", "{", ",", "\\"))
    return max(0, min(deeper, default=floor) - floor) if not opens else 0


def _indented(body: Body, extra: int) -> str:
    if body.unit == "\t":
        return body.indent + "\t" * (extra // body.tab) + " " * (extra % body.tab)
    return body.indent + " " * extra
