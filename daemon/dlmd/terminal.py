"""Draws denoising in a terminal: settled text solid, masked runs dim, the newest text tinted.

Pure functions from (document, state) to rich renderables, so that tests read them as text.
Knows pieces and colours; must not know sockets, files or tokenizers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from dlmd.wire.protocol import HolePart, Result, State, Status

Pieces = Sequence[str | int]
CONTEXT_LINES = 3
LONGEST_RUN = 40
LONGEST_LINE = 160
BAR = 24

# What a file or a model may hold and a terminal must not obey: control and bidi characters.
_UNSAFE = {
    code: "\ufffd" for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F))
}
_UNSAFE |= {code: "\ufffd" for code in range(0x2066, 0x206A)} | {
    10: "\n",
    9: "    ",
    13: "",
}
_KEYWORDS = (
    "and|as|assert|async|await|break|class|const|continue|def|del|elif|else|except|False|finally|fn"
    "|for|from|func|function|global|if|import|in|is|lambda|let|None|nonlocal|not|null|or|pass|raise"
    "|return|self|struct|True|try|type|var|while|with|yield"
)
# Later patterns win: a keyword inside a string is part of the string.
_SYNTAX = (
    (re.compile(rf"\b(?:{_KEYWORDS})\b"), "magenta"),
    (re.compile(r"\b\d[\d_.]*\b"), "cyan"),
    (re.compile(r"(?<=\bdef )\w+|(?<=\bclass )\w+"), "bold blue"),
    (re.compile(r"#[^\n]*"), "bright_black"),
    (re.compile(r"'''.*?'''|'[^'\n]*'|" + r'"""[\s\S]*?"""|"[^"\n]*"'), "yellow"),
)
_STYLES = {"mask": "dim", "new": "bold black on green", "old": "bold"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The lines around the holes; None stands for a hole, a number for lines left out."""

    first_line: int
    items: tuple[str | int | None, ...]


def excerpt(parts: Sequence[str | HolePart], lines: int = CONTEXT_LINES) -> Excerpt:
    """The few lines of a document that are drawn, cut once, so that a frame costs little."""
    items: list[str | int | None] = []
    first_line = 1
    for index, part in enumerate(parts):
        if not isinstance(part, str):
            items.append(None)
        elif index == 0:
            before, kept = _tail(part, lines)
            first_line += before.count("\n")
            items.append(_narrow(kept, before_hole=True))
        elif index == len(parts) - 1:
            items.append(_narrow(_head(part, lines)[0]))
        else:
            items += _middle(part, lines)
    return Excerpt(first_line=first_line, items=tuple(items))


def segments(before: Pieces, now: Pieces) -> Iterator[tuple[str, str]]:
    """The pieces of a hole as (text, "old" | "new" | "mask"): what has settled since `before`."""
    tail = before[-1] if before and isinstance(before[-1], str) else ""
    anchored = (
        bool(tail) and bool(now) and isinstance(now[-1], str) and now[-1].endswith(tail)
    )
    known = [
        piece
        for piece in (before[:-1] if anchored else before)
        if isinstance(piece, str)
    ]
    for index, piece in enumerate(now):
        if isinstance(piece, int):
            yield _run(piece), "mask"
            continue
        last = anchored and index == len(now) - 1
        yield from _since(piece[: len(piece) - len(tail)] if last else piece, known)
        if last:
            yield tail, "old"


def document(shown: Excerpt, holes: Sequence[Sequence[tuple[str, str]]]) -> Text:
    """The excerpt with its holes, numbered and coloured."""
    code, spans, skipped = Text(), [], {}
    pending = iter(holes)
    for item in shown.items:
        if isinstance(item, str):
            code.append(printable(item))
        elif isinstance(item, int):
            skipped[code.plain.count("\n")] = item
            code.append("⋮\n")
        else:
            for text, kind in next(pending):
                start = len(code)
                code.append(printable(text))
                spans.append((start, len(code), kind))
    for pattern, style in _SYNTAX:
        for match in pattern.finditer(code.plain):
            code.stylize(style, *match.span())
    for start, end, kind in spans:
        code.stylize(_STYLES[kind], start, end)
    return _numbered(code, shown.first_line, skipped)


def heading(status: Status) -> Text:
    """Which model speaks, so that a small one is never taken for a large one."""
    line = Text.assemble(
        ("dlmd ", "dim"), (status.model, "bold"), f" on {status.device}"
    )
    if status.profile and status.profile != status.model:
        line.append(f" as {status.profile}", "dim")
    if status.adapter:
        line.append(f" + {status.adapter}")
    return line


def seeing(status: Status) -> str:
    """How much of a document the model is shown, and what it computes in."""
    if not status.context:
        return ""
    return f"sees {status.context} tokens of a document, computes in {status.dtype}"


def loading(status: Status) -> str:
    """How far the model is loaded."""
    if not status.bytes_total:
        return "loading the model"
    unit, name = (1e9, "GB") if status.bytes_total > 1e9 else (1e6, "MB")
    share = f"{status.bytes_done / unit:.1f} of {status.bytes_total / unit:.1f} {name}"
    left = "" if status.eta_s is None else f", {status.eta_s:.0f} s left"
    return f"loading the model: {share}{left}"


def row(status: Status, clients: int, now: float) -> dict[str, str]:
    """A daemon on one line: heading and word of each column."""
    unit, name = (1e9, "GB") if status.memory >= 1e9 else (1e6, "MB")
    left = {"ready": "for ever", "busy": "for ever"}.get(status.phase, "-")
    if status.until is not None:
        left = f"{spoken(max(0.0, status.until - now))} from now"
    return {
        "MODEL": status.model,
        "ADAPTER": status.adapter or "-",
        "DEVICE": status.device or "-",
        "MEMORY": f"{status.memory / unit:.1f} {name}" if status.memory else "-",
        "PHASE": status.phase,
        "UNTIL": left,
        "QUEUE": str(status.queue),
        "CLIENTS": str(clients),
    }


def spoken(seconds: float) -> str:
    """A time for people."""
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def waiting(status: Status) -> Text:
    """What there is to wait for, while no state has come yet."""
    said = loading(status) if status.phase == "loading" else f"waiting: {status.phase}"
    return Text(said, "dim")


def progress(state: State) -> Text:
    masked = sum(
        piece for hole in state.holes for piece in hole if isinstance(piece, int)
    )
    full = round(BAR * state.step / state.of) if state.of else 0
    line = Text(f"step {state.step} of {state.of} ")
    line.append("━" * full, "green").append("━" * (BAR - full), "dim")
    line.append(f" {masked} masked")
    sure = _confidence(state)
    return line if sure is None else line.append(f" confidence {sure:.2f}")


def summary(result: Result) -> Text:
    usage, best = result.usage, result.candidates[0]
    said = [
        f"{usage.steps} steps",
        f"{usage.forwards_full + usage.forwards_cached} forwards",
        _timed("first state", usage.ms_first_state),
        _timed("total", usage.ms_total),
        "" if best.confidence is None else f"confidence {best.confidence:.2f}",
    ]
    return Text(", ".join(filter(None, said)), "dim")


def view(
    shown: Excerpt, status: Status, before: State | None, state: State | None
) -> Group:
    """One drawn state, or what is waited for when there is none."""
    if state is None:
        masks = [[("", "mask")] for item in shown.items if item is None]
        return Group(heading(status), document(shown, masks), waiting(status))
    past = before.holes if before else [[] for _ in state.holes]
    holes = [
        list(segments(old, new)) for old, new in zip(past, state.holes, strict=True)
    ]
    return Group(heading(status), document(shown, holes), progress(state))


def finished(shown: Excerpt, status: Status, result: Result) -> Group:
    """The filled document, with nothing tinted."""
    holes = [[(text, "old")] for text in result.candidates[0].holes]
    return Group(heading(status), document(shown, holes), summary(result))


def printable(text: str) -> str:
    """Text that moves no cursor and reverses no line."""
    return text.translate(_UNSAFE)


def _timed(what: str, ms: float | None) -> str:
    return "" if ms is None else f"{what} {ms:.0f} ms"


def _run(length: int) -> str:
    return "░" * length if length <= LONGEST_RUN else "░" * LONGEST_RUN + f"({length})"


def _since(piece: str, known: list[str]) -> Iterator[tuple[str, str]]:
    """Settled text only grows: what was known is found again, in order; the rest is new."""
    at = 0
    while known and (found := piece.find(known[0], at)) >= 0:
        if found > at:
            yield piece[at:found], "new"
        yield known[0], "old"
        at = found + len(known.pop(0))
    if at < len(piece):
        yield piece[at:], "new"


def _numbered(code: Text, first_line: int, skipped: dict[int, int]) -> Text:
    out = Text(overflow="fold")
    rows = code.split("\n", allow_blank=True)
    number = first_line
    width = len(str(first_line + len(rows) - 1 + sum(n - 1 for n in skipped.values())))
    for index, row in enumerate(rows):
        out.append(
            " " * width if index in skipped else f"{number:>{width}}", "bright_black"
        )
        out.append(" │ ", "bright_black").append_text(row)
        out.append("\n" if index < len(rows) - 1 else "")
        number += skipped.get(index, 1)
    return out


def _confidence(state: State) -> float | None:
    settled = [
        sure
        for pieces, confidences in zip(
            state.holes, state.confidence or [], strict=False
        )
        for piece, sure in zip(pieces, confidences, strict=False)
        if isinstance(piece, str)
    ]
    return sum(settled) / len(settled) if settled else None


def _tail(text: str, lines: int) -> tuple[str, str]:
    at = len(text)
    for _ in range(lines + 1):
        at = text.rfind("\n", 0, at)
        if at < 0:
            return "", text
    return text[: at + 1], text[at + 1 :]


def _head(text: str, lines: int) -> tuple[str, str]:
    at = -1
    for _ in range(lines + 1):
        at = text.find("\n", at + 1)
        if at < 0:
            return text, ""
    return text[:at], text[at:]


def _middle(text: str, lines: int) -> list[str | int | None]:
    """Text between two holes: whole when short, else its two ends and the lines left out."""
    if text.count("\n") <= 2 * lines + 2:
        return [_narrow(text)]
    head, rest = _head(text, lines)
    gap, tail = _tail(rest, lines)
    return [_narrow(head) + "\n", gap.count("\n") - 1, _narrow(tail, before_hole=True)]


def _narrow(text: str, *, before_hole: bool = False) -> str:
    """Cut long lines where they are farthest from a hole; a hole follows the last line's end."""
    lines = [
        line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…"
        for line in text.split("\n")
    ]
    last = text[text.rfind("\n") + 1 :]
    if before_hole and len(last) > LONGEST_LINE:
        lines[-1] = "…" + last[-LONGEST_LINE:]
    return "\n".join(lines)
