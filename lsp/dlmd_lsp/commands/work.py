"""One command under way: its holes, drawn while they settle, and what a key may change of it.

Stopping keeps what has settled; longer and shorter begin again at another length, also after
the text was put in, as long as nobody has touched the document since. Must not know which
command it is, nor how the daemon is reached.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dlmd.wire.protocol import HolePart, Result, State
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from dlmd_lsp import document
from dlmd_lsp.commands.apply import apply
from dlmd_lsp.commands.arguments import Moved
from dlmd_lsp.commands.progress import Report, progress
from dlmd_lsp.commands.region import Region, fitted, parts_of, settled
from dlmd_lsp.document import Document
from dlmd_lsp.editor import Editor, Pieces
from dlmd_lsp.lines import line_ending
from dlmd_lsp.session import Sent
from dlmd_lsp.show.parses import is_whole

Kind = Literal["function", "holes", "rewrite", "repair"]
Wish = Literal["", "stop", "again", "moved"]
Outcome = dict[str, Any]
STEP = 1.5  # between one length and the next


@dataclass(slots=True, kw_only=True)
class Work:
    kind: Kind
    title: str
    uri: str
    version: int
    source: str
    regions: list[Region]
    empty: str  # what is said when the model wrote nothing
    scale: float = 1.0
    wish: Wish = ""
    wished: asyncio.Event = field(default_factory=asyncio.Event)
    drawn: list[Pieces] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        return self.wish == "stop"

    @property
    def moved(self) -> bool:
        return self.wish == "moved"

    def ask_for(self, wish: Wish, factor: float = 1.0) -> None:
        self.wish, self.scale = wish, self.scale * factor
        self.wished.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command left in a document."""

    work: Work
    source: str  # of the document after it
    regions: list[Region]


async def outcome(editor: Editor, work: Work) -> Outcome:
    """Do it, the newest of its document only. ValueError says why it could not be done.

    Typing in the document ends it at once, and nothing pops up for that.
    """
    session = editor.session
    try:
        changed = await session.newest("command", work.uri, _do(editor, work))
    except Moved as moved:
        session.because(work.uri, "typed-on")
        editor.whisper(str(moved))
        changed = None
    if changed is None:
        return {"applied": False, "reason": "cancelled"}
    return {"applied": True, "changed": changed}


async def _do(editor: Editor, work: Work) -> int:
    editor.works[work.uri] = work
    try:
        async with progress(editor, f"dlmd: {work.title}") as report:
            answers = await _answers(editor, work, report)
            return await _put(editor, work, answers)
    finally:
        if editor.works.get(work.uri) is work:
            del editor.works[work.uri]


async def _answers(editor: Editor, work: Work, report: Report) -> list[str]:
    """The fills: the model's, or what had settled when somebody said stop."""
    while True:
        work.wish = ""
        work.wished.clear()
        hearing = asyncio.create_task(_heard(editor, work, report))
        wishing = asyncio.create_task(work.wished.wait())
        try:
            await asyncio.wait({hearing, wishing}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done() and not work.wish:
                return await hearing
        finally:
            hearing.cancel()
            wishing.cancel()
            await asyncio.wait({hearing, wishing})
        if work.moved:
            raise Moved
        if work.stopped:
            return [settled(pieces) for pieces in work.drawn]


async def _heard(editor: Editor, work: Work, report: Report) -> list[str]:
    session, id = editor.session, editor.session.new_id()
    text = _current(editor, work)
    regions = [region.scaled(work.scale) for region in work.regions]
    ranges = [text.span(region.start, region.end) for region in regions]
    base = {
        "kind": work.kind,
        "id": id,
        "uri": work.uri,
        "version": work.version,
        "position": ranges[0].start,
        "range": ranges[0],
        "ranges": ranges,
    }
    parts: list[str | HolePart] = parts_of(work.source, regions)
    session.sent[work.uri] = Sent(id=id, uri=work.uri, parts=parts)
    work.drawn = [[] for _ in regions]
    with editor.drawing(base) as draw:
        messages = session.infill(id, parts, explicit=True, file=text.path)
        async with aclosing(messages):
            async for message in messages:
                _current(editor, work)
                if isinstance(message, Result):
                    editor.recovered()
                    return message.candidates[0].holes
                report(message)
                work.drawn = message.holes
                draw(message, *_led(message, regions))
    raise AssertionError("a request ends in a result or an error")


def _led(
    message: State, regions: list[Region]
) -> tuple[list[Pieces], list[list[float]]]:
    """What is drawn replaces the ranges, so what leads a fill and ends it is drawn too."""
    holes: list[Pieces] = []
    numbers: list[list[float]] = []
    known = message.confidence or [[0.0] * len(pieces) for pieces in message.holes]
    for region, pieces, sure in zip(regions, message.holes, known, strict=True):
        lead: Pieces = [region.lead] if region.lead else []
        tail: Pieces = [region.tail] if region.tail else []
        holes.append([*lead, *pieces, *tail])
        numbers.append([*[1.0] * len(lead), *sure, *[1.0] * len(tail)])
    return holes, numbers


def _current(editor: Editor, work: Work) -> Document:
    text = document.find(editor.workspace, work.uri)
    if text is None or text.version != work.version:
        raise Moved
    return text


async def _put(editor: Editor, work: Work, answers: list[str]) -> int:
    """How many of the regions hold something else now."""
    text, ending = _current(editor, work), line_ending(work.source)
    edits: list[types.TextEdit] = []
    regions: list[Region] = []
    made, at = "", 0
    for region, answer in zip(work.regions, answers, strict=True):
        scaled = region.scaled(work.scale)
        new = fitted(work.source, scaled, answer).replace("\n", ending)
        old = work.source[region.start : region.end]
        new = new or old
        made += work.source[at : region.start]
        regions.append(replace(region, start=len(made), end=len(made) + len(new)))
        made, at = made + new, region.end
        if new != old:
            edits.append(types.TextEdit(text.span(region.start, region.end), new))
    made += work.source[at:]
    # What is not put in can be asked for once more as well, at another length.
    editor.dones[work.uri] = Done(work=work, source=work.source, regions=work.regions)
    if not edits:
        raise ValueError(work.empty)
    if is_whole(work.source, text.tree) and not is_whole(made, text.tree.other()):
        raise ValueError(
            "what the model wrote would break the syntax of the file, so it was not put "
            "in; ask for it once more, longer or shorter"
        )
    try:
        await apply(editor, work.uri, work.version, edits, work.title)
    except ValueError:
        _current(editor, work)  # an edit that typing has overtaken is no trouble either
        raise
    editor.dones[work.uri] = Done(work=work, source=made, regions=regions)
    return len(edits)


def repeated(editor: Editor, text: Document, factor: float) -> Work | None:
    """The last command on a document once more, where its text still stands as it left it."""
    done: Done | None = editor.dones.get(text.uri)
    if done is None or done.source != text.source or text.version is None:
        return None
    return replace(
        done.work,
        version=text.version,
        source=text.source,
        regions=done.regions,
        scale=done.work.scale * factor,
        wish="",
        wished=asyncio.Event(),
        drawn=[],
    )


ERRORS = (OSError, ValueError, JsonRpcException)
