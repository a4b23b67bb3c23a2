"""What goes along from other files, within a budget, as comments above the text.

First come signatures of imported names that stand near the cursor, then chunks of other
files that share its words. The text around the cursor always comes first: a model with
little context gets next to nothing of other files, and what the daemon crops is what stands
furthest from the hole, these. Must not know the daemon.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlmd_lsp.around.ring import likeness, words
from dlmd_lsp.around.signatures import imported
from dlmd_lsp.context import Ask
from dlmd_lsp.document import Document

if TYPE_CHECKING:
    from dlmd_lsp.editor import Editor

LETTERS = 3  # of code in a token, rather too few
USUAL_CONTEXT = 1024
# A model that sees less than this gets signatures only.
ROOMY = 2048
NEAR = 2_000  # letters on each side of the cursor whose names count
LEAST_LIKE = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    path: str
    kind: str  # signature, viewed or edited
    first: int  # lines, from 0
    last: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    before: str
    after: str
    others: list[Extra] = field(default_factory=list)


def gathered(editor: Editor, document: Document, offset: int, ask: Ask) -> Gathered:
    plain = Gathered(before=ask.before, after=ask.after)
    if not editor.session.options.other_files:
        return plain
    tokens = editor.session.link.context or USUAL_CONTEXT
    found = _chosen(editor, document, offset, tokens)
    if not found:
        return plain
    head = "".join(_as_comment(extra, document.language.comment) for extra in found)
    room = tokens * LETTERS - len(head) - ask.tokens * LETTERS
    if room < 4 * len(head):
        return plain  # a hole that large leaves no room for others
    return Gathered(
        before=head + _cropped(ask.before, max(room * 2 // 3, 1)),
        after=ask.after,
        others=found,
    )


def _chosen(
    editor: Editor, document: Document, offset: int, tokens: int
) -> list[Extra]:
    """The same from one keystroke to the next, so that the model's keys stay warm."""
    row = document.source.count("\n", 0, offset)
    key = (row // 8, editor.elsewhere(document.uri), tokens)
    kept: Any = editor.extras.get(document.uri)
    if kept is None or kept[0] != key:
        kept = editor.extras[document.uri] = (
            key,
            _selected(editor, document, offset, tokens),
        )
    chosen: list[Extra] = kept[1]
    return chosen


def _selected(
    editor: Editor, document: Document, offset: int, tokens: int
) -> list[Extra]:
    near = words(document.source[max(0, offset - NEAR) : offset + NEAR])
    roots = editor.roots()
    left = tokens * LETTERS // (10 if tokens < ROOMY else 4)
    found: list[Extra] = []
    for one in imported(document.source, document.path, roots, document.language.name):
        if one.name in near and len(one.text) + len(one.path) < left:
            left -= len(one.text) + 8
            found.append(
                Extra(
                    path=_short(one.path, roots),
                    kind="signature",
                    first=one.line,
                    last=one.line,
                    text=one.text,
                )
            )
    if tokens < ROOMY:
        return found
    chunks = [
        (likeness(words(c.text), near), c) for c in editor.elsewhere(document.uri)
    ]
    for like, chunk in sorted(chunks, key=lambda pair: -pair[0]):
        if like >= LEAST_LIKE and len(chunk.text) < left:
            left -= len(chunk.text)
            found.append(
                Extra(
                    path=_short(chunk.path, roots),
                    kind=chunk.kind,
                    first=chunk.first,
                    last=chunk.last,
                    text=chunk.text,
                )
            )
    # What is likest stands nearest to the text.
    return [
        *reversed([e for e in found if e.kind != "signature"]),
        *(e for e in found if e.kind == "signature"),
    ]


def _as_comment(extra: Extra, mark: str) -> str:
    lines = [extra.path, *extra.text.replace("\r\n", "\n").split("\n")]
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)


def _cropped(before: str, room: int) -> str:
    """The end of the text, cut at a line that typing does not move."""
    over = len(before) - room
    if over <= 0:
        return before
    stride = max(1, room // 4)
    cut = min(len(before), -(-over // stride) * stride)
    border = before.find("\n", cut)
    return before[border + 1 if border >= 0 else cut :]


def _short(path: str, roots: list[str]) -> str:
    for root in roots:
        if path.startswith(root.rstrip("/") + "/"):
            return os.path.relpath(path, root)
    return os.path.basename(path)
