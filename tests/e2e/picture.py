"""A screen of cells as an SVG picture: text in a fixed pitch, each run in its colours.

What a person looks at after a run, and what the README shows. It knows cells and colours
and no editor.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

WIDE, HIGH = 8.4, 19.0  # of one cell, in a 14 px monospaced font


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """Of a highlight; None: the screen's own."""

    front: int | None = None
    back: int | None = None
    bold: bool = False
    italic: bool = False

    @staticmethod
    def read(rgb: Mapping[str, Any]) -> "Colours":
        front, back = rgb.get("foreground"), rgb.get("background")
        if rgb.get("reverse"):
            front, back = back, front
        return Colours(
            front=front,
            back=back,
            bold=bool(rgb.get("bold")),
            italic=bool(rgb.get("italic")),
        )


def drawn(
    cells: Sequence[Sequence[str]],
    groups: Sequence[Sequence[int]],
    colours: Mapping[int, Colours],
) -> str:
    """The rows down to the last that holds something."""
    used = [n for n, row in enumerate(cells) if "".join(row).strip(" ~")]
    rows = range((used[-1] if used else 0) + 1)
    own = colours[0]
    wide, high = WIDE * len(cells[0]) + 16, HIGH * len(rows) + 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" '
        'xml:space="preserve">',
        f'<rect width="100%" height="100%" rx="6" fill="{_hex(own.back)}"/>',
    ]
    for row in rows:
        for column, text, group in _runs(cells[row], groups[row]):
            out += _run(row, column, text, colours.get(group, own), own)
    return "\n".join([*out, "</svg>"]) + "\n"


def _runs(
    cells: Sequence[str], groups: Sequence[int]
) -> Iterator[tuple[int, str, int]]:
    for group, run in groupby(range(len(cells)), key=lambda n: groups[n]):
        columns = list(run)
        yield columns[0], "".join(cells[n] for n in columns), group


def _run(row: int, column: int, text: str, look: Colours, own: Colours) -> list[str]:
    x, y = 8 + WIDE * column, 8 + HIGH * row
    out = []
    if look.back is not None and look.back != own.back:
        out.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDE * len(text):g}" height="{HIGH:g}" '
            f'fill="{_hex(look.back)}"/>'
        )
    shown = text.rstrip()
    if shown.strip():
        lead = len(shown) - len(shown.lstrip())
        front = look.front if look.front is not None else own.front
        style = ' font-weight="bold"' * look.bold + ' font-style="italic"' * look.italic
        out.append(
            f'<text x="{x + WIDE * lead:g}" y="{y + 14:g}" '
            f'textLength="{WIDE * len(shown.strip()):g}" '
            f'fill="{_hex(front)}"{style}>{escape(shown.strip())}</text>'
        )
    return out


def _hex(colour: int | None) -> str:
    return f"#{colour or 0:06x}"
