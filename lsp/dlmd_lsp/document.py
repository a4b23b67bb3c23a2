"""Open documents: line breaks and positions as the protocol defines them.

LSP 3.18 breaks lines at \\n, \\r\\n and \\r only, while str.splitlines, which pygls uses, also
breaks at form feeds and eight other characters: a file that holds one would drift from the
editor's text with the first edit below it. Column arithmetic stays in pygls' position codec.
Must not know about holes or daemons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, islice

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument, Workspace

from dlmd_lsp.lines import split_lines


def offset_at(
    lines: Sequence[str], position: types.Position, codec: PositionCodec
) -> int:
    """Code points before a client position; past a line's end means that end (LSP, Position)."""
    before = sum(map(len, islice(lines, position.line)))
    if position.line >= len(lines):
        return before
    line = lines[position.line].rstrip("\r\n")
    units = min(position.character, codec.client_num_units(line))
    # The codec changes the position it is given, so it gets one of its own.
    found = codec.position_from_client_units([line], types.Position(0, units))
    return before + found.character


def position_at(
    lines: Sequence[str], offset: int, codec: PositionCodec
) -> types.Position:
    """The client position of an offset; the end of a text with a final break is the next line."""
    start = 0
    for number, end in enumerate(accumulate(map(len, lines))):
        line = lines[number]
        if offset < end or (offset == end and not line.endswith(("\n", "\r"))):
            return types.Position(
                number, codec.client_num_units(line[: offset - start])
            )
        start = end
    return types.Position(len(lines), 0)


class Document(TextDocument):
    """A text document that keeps to the protocol's lines, split once per version."""

    _lines: list[str] | None = None

    @property
    def lines(self) -> Sequence[str]:
        if self._lines is None or self._source is None:
            self._lines = split_lines(self.source)
        return self._lines

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        if isinstance(change, types.TextDocumentContentChangePartial):
            start = self.offset(change.range.start)
            end = max(start, self.offset(change.range.end))
            self._source = self.source[:start] + change.text + self.source[end:]
        else:
            self._source = change.text
        self._lines = None

    def offset(self, position: types.Position) -> int:
        return offset_at(self.lines, position, self.position_codec)

    def position(self, offset: int) -> types.Position:
        return position_at(self.lines, offset, self.position_codec)

    def span(self, start: int, end: int) -> types.Range:
        return types.Range(self.position(start), self.position(end))


def adopt(workspace: Workspace) -> None:
    """Let a workspace make these documents from now on."""

    def create(
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> Document:
        return Document(
            doc_uri,
            source=source,
            version=version,
            language_id=language_id,
            position_codec=workspace.position_codec,
        )

    # pygls builds its workspace itself and offers no other way in.
    workspace._create_text_document = create  # type: ignore[method-assign]


def find(workspace: Workspace, uri: str) -> Document | None:
    """The open document of that address; None when the editor never opened or has closed it."""
    document = workspace.get_text_document(uri)
    # pygls answers for files that are not open too; those have no version.
    if isinstance(document, Document) and document.version is not None:
        return document
    return None
