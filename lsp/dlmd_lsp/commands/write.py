"""Which texts give way in each command: of a function, its gaps, a selection, doubtful lines.

Each makes a `Work` of a document. ValueError says in one sentence why there is nothing to do.
Must not know how the work is done.
"""

from __future__ import annotations

from lsprotocol import types

from dlmd_lsp.commands.arguments import Arguments
from dlmd_lsp.commands.region import Region
from dlmd_lsp.commands.work import Work
from dlmd_lsp.context import Budget
from dlmd_lsp.document import Document
from dlmd_lsp.function_body.find import find_body
from dlmd_lsp.function_body.fit import Body
from dlmd_lsp.lines import plain
from dlmd_lsp.syntax.functions import braced_body, function_at, unit_of
from dlmd_lsp.syntax.gaps import Gap, gaps_in

# Holes in one command, and how sure the model must be of a word that it does not see.
MOST_HOLES = 16
KEEP_SELECTION = 0.5
KEEP_DOUBTFUL = 0.2
LONGEST_DRAFT = 3_000


def function(text: Document, given: Arguments, budget: Budget) -> Work:
    offset = text.offset(_position(given))
    if text.language.name == "python":
        body, tail = find_body(text.source, offset), ""
    else:
        body, tail = braced_body(text.source, offset, text.tree)
    region = Region(
        start=body.start,
        end=body.end,
        tokens=budget.function,
        lead=body.lead,
        tail=tail,
        body=body,
    )
    return _work(
        text,
        "function",
        f"filling {body.name}",
        [region],
        f"the model left the body of {body.name} empty; say more in its docstring "
        "and try again",
    )


def holes(text: Document, given: Arguments, budget: Budget, context: int) -> Work:
    if given.ranges:
        areas = [_span(text, one) for one in given.ranges]
        found = [
            Gap(start=start, end=end, statement=_alone(text.source, start, end))
            for start, end in sorted(areas)
        ]
    else:
        found = gaps_in(text.source, *_area(text, given), text.tree)
    if not found:
        raise ValueError(
            "there is no `...` and no TODO here to fill; write one where code is missing, "
            "or select the places"
        )
    if len(found) > MOST_HOLES:
        raise ValueError(
            f"there are {len(found)} places to fill, expected at most {MOST_HOLES}; "
            "select fewer of them"
        )
    # All holes and the text between them have to be seen at once.
    room = max(8, (context or 512) // 2 // len(found))
    regions = [_gap_region(text.source, gap, budget, room) for gap in found]
    return _work(
        text,
        "holes",
        f"filling {len(found)} holes",
        regions,
        "the model left every hole empty; say more around them and try again",
    )


def rewrite(text: Document, given: Arguments) -> Work:
    if given.range is None:
        raise ValueError("nothing is selected; select what is to be written anew")
    start, end = _span(text, given.range)
    draft = plain(text.source[start:end])
    if not draft.strip() or len(draft) > LONGEST_DRAFT:
        raise ValueError(
            f"the selection has {len(draft)} characters, expected 1 to {LONGEST_DRAFT} "
            "with some text among them; select a part"
        )
    region = Region(
        start=start, end=end, tokens=len(draft), draft=draft, keep=KEEP_SELECTION
    )
    return _work(
        text,
        "rewrite",
        "writing the selection anew",
        [region],
        "the model would write the selection as it is; ask once more, longer or shorter, "
        "for something else",
    )


def repair(text: Document, given: Arguments) -> Work:
    areas = list(given.diagnostics) or [r for r in (given.range,) if r is not None]
    if not areas:
        at = _position(given)
        areas = [types.Range(at, at)]
    rows = sorted(
        {row for area in areas for row in range(area.start.line, area.end.line + 1)}
    )
    regions = []
    for first, last in _runs(rows):
        start = text.offset(types.Position(first, 0))
        end = text.offset(types.Position(last, 1_000_000))
        draft = plain(text.source[start:end])
        if draft.strip() and len(draft) <= LONGEST_DRAFT:
            # Indentation stays as it is; only what is said on the line is doubted.
            lead = len(draft) - len(draft.lstrip(" \t"))
            regions.append(
                Region(
                    start=start + lead,
                    end=end,
                    tokens=len(draft),
                    draft=draft[lead:],
                    keep=KEEP_DOUBTFUL,
                )
            )
    if not regions:
        raise ValueError("there is no text to repair here; name a line with a fault")
    return _work(
        text,
        "repair",
        "repairing",
        regions[:MOST_HOLES],
        "the model doubts none of these words, so nothing was changed",
    )


def _work(
    text: Document, kind: str, title: str, regions: list[Region], empty: str
) -> Work:
    assert text.version is not None
    return Work(
        kind=kind,  # type: ignore[arg-type]
        title=title,
        uri=text.uri,
        version=text.version,
        source=text.source,
        regions=regions,
        empty=empty,
    )


def _position(given: Arguments) -> types.Position:
    if given.position is None:
        raise ValueError(
            "the command was called without a position; update the editor's dlmd plugin"
        )
    return given.position


def _span(text: Document, area: types.Range) -> tuple[int, int]:
    start = text.offset(area.start)
    return start, max(start, text.offset(area.end))


def _area(text: Document, given: Arguments) -> tuple[int, int]:
    if given.range is not None:
        return _span(text, given.range)
    if given.position is None:
        return 0, len(text.source)
    found = function_at(text.source, text.offset(given.position), text.tree)
    return found or (0, len(text.source))


def _alone(source: str, start: int, end: int) -> bool:
    """Whether a text has its lines to itself."""
    before = source[source.rfind("\n", 0, start) + 1 : start]
    after = source[end:].split("\n", 1)[0]
    return not before.strip() and not after.strip()


def _gap_region(source: str, gap: Gap, budget: Budget, room: int) -> Region:
    if not gap.statement:
        return Region(start=gap.start, end=gap.end, tokens=min(budget.line, room))
    line = source.rfind("\n", 0, gap.start) + 1
    indent = source[line : gap.start] if gap.indent is None else gap.indent
    body = Body(
        name="",
        start=gap.start,
        end=gap.end,
        lead=gap.lead,
        indent=indent,
        unit=unit_of(source),
    )
    return Region(
        start=gap.start,
        end=gap.end,
        tokens=min(budget.block, room),
        lead=gap.lead,
        body=body,
    )


def _runs(rows: list[int]) -> list[tuple[int, int]]:
    """Neighbouring rows as one."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and row == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs
