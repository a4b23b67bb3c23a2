"""Curves with intervals, and heat maps, as SVG that needs nothing but a viewer.

Drawn in the viewer's own text colour, so they read on light and on dark pages. Must not
know what the numbers mean.
"""

from collections.abc import Mapping, Sequence
from html import escape

from dlmd_finetune.evidence.statistics import Interval

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 96, 26, 34
COLOURS = ("#3b7dd8", "#d8743b", "#2f9e6e", "#a14bc0", "#b8a020", "#c0485a")
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#555}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}}"
    ".axis{stroke:#8888;fill:none}.line{fill:none;stroke-width:1.8}"
)
Curve = Mapping[float, Interval]


def curves(title: str, across: str, lines: Mapping[str, Curve]) -> str:
    """One panel, from 0 to 1 upwards: a line for each name, a bar for each interval."""
    ticks = sorted({x for line in lines.values() for x in line})
    assert ticks, "a picture of nothing"
    span = (ticks[-1] - ticks[0]) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across_px = (x - ticks[0]) / span * (WIDTH - LEFT - RIGHT)
        return LEFT + across_px, HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    drawn = [_text(LEFT, 16, title), _text(LEFT, HEIGHT - 6, across)]
    for y in (0.0, 0.5, 1.0):
        (x0, py), (x1, _) = place(ticks[0], y), place(ticks[-1], y)
        drawn.append(f'<path class="axis" d="M{x0:.1f} {py:.1f}H{x1:.1f}"/>')
        drawn.append(_text(LEFT - 28, py + 4, f"{y:g}"))
    drawn += [_text(place(x, 0)[0] - 8, HEIGHT - BOTTOM + 14, f"{x:g}") for x in ticks]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [(place(x, line[x].value), line[x], x) for x in sorted(line)]
        path = " ".join(f"{px:.1f},{py:.1f}" for (px, py), _, _ in points)
        drawn.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        for (px, _), known, x in points:
            low, high = place(x, known.low)[1], place(x, known.high)[1]
            drawn.append(
                f'<path stroke="{colour}" d="M{px:.1f} {low:.1f}V{high:.1f}"/>'
            )
        drawn.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 12 + 16 * number}" '
            f'style="fill:{colour}">{escape(name)}</text>'
        )
    return _svg(WIDTH, HEIGHT, drawn)


def heat(title: str, across: str, down: str, shares: Sequence[Sequence[float]]) -> str:
    """Cells from pale to full by their share of the largest; the first row on top."""
    size = 16
    most = max((share for row in shares for share in row), default=0) or 1
    drawn = [_text(8, 16, title)]
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            drawn.append(
                f'<rect x="{8 + x * size}" y="{24 + y * size}" width="{size - 1}" '
                f'height="{size - 1}" fill="{COLOURS[0]}" '
                f'fill-opacity="{share / most:.3f}"/>'
            )
    bottom = 24 + len(shares) * size
    drawn += [_text(8, bottom + 14, f"{across}; from the top: {down}")]
    width = max(16 + size * max(map(len, shares), default=0), 260)
    return _svg(width, bottom + 22, drawn)


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(width: int, height: int, drawn: Sequence[str]) -> str:
    inside = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">\n'
        f"<style>{STYLE}</style>\n{inside}\n</svg>\n"
    )
