"""Open documents: line breaks and positions as the protocol defines them.

LSP 3.18 breaks lines at \\n, \\r\\n and \\r only, while str.splitlines, which pygls uses, also
breaks at form feeds and eight other characters: a file that holds one would drift from the
editor's text with the first edit below it. Column arithmetic stays in pygls' position codec.
A document also keeps its syntax tree and its count of secrets up with every edit.
Must not know about holes or daemons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, islice
from time import monotonic

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument, Workspace

from dlmd_lsp.ask.secrets import secrets_in
from dlmd_lsp.lines import split_lines
from dlmd_lsp.syntax.languages import Language, language_of
from dlmd_lsp.syntax.place import Place, place_of
from dlmd_lsp.syntax.tree import Tree
from dlmd_lsp.syntax.window import Window, window_at

# Beyond this a document is not looked through for secrets, so nothing of it is sent.
LARGEST = 4_000_000


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
    _tree: Tree | None = None
    _window: Window | None = None
    # A line and the offset it begins at: the next place is mostly near the last.
    _anchor: tuple[int, int] = (0, 0)
    _secrets: int | None = None
    changed_at: float = 0.0
    # Where the newest edit ended, and how often there was one.
    edited_to: int = 0
    edits: int = 0

    @property
    def language(self) -> Language:
        return self.tree.language

    @property
    def tree(self) -> Tree:
        if self._tree is None:
            self._tree = Tree(language_of(self.language_id, self.path))
        return self._tree

    def window(self, offset: int) -> Window:
        """The text around an offset with its own tree; a short document is all window."""
        if self._window is None or not self._window.holds(self.source, offset):
            self._window = window_at(self.source, offset, self.language)
        return self._window

    def place(self, offset: int) -> Place:
        """What stands at an offset, and how much is missing there."""
        window = self.window(offset)
        text = window.text(self.source)
        return place_of(text, offset - window.start, window.tree)

    @property
    def secrets(self) -> int:
        """How many lines look like a secret."""
        if self._secrets is None:
            self._secrets = secrets_in(self.source)
        return self._secrets

    @property
    def too_large(self) -> bool:
        return len(self.source) > LARGEST

    @property
    def lines(self) -> Sequence[str]:
        if self._lines is None or self._source is None:
            self._lines = split_lines(self.source)
        return self._lines

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        if isinstance(change, types.TextDocumentContentChangePartial):
            start = self.offset(change.range.start)
            end = max(start, self.offset(change.range.end))
            top = change.range.start.line
            rows = (top, max(top, change.range.end.line))
            self._split_again(rows, start, end, change.text)
            self._replace(start, end, change.text)
        else:
            self._source, self._secrets, self._lines = change.text, None, None
            self._anchor, self._window = (0, 0), None
            self.tree.forget()
        self.changed_at = monotonic()
        self.edits += 1

    def _split_again(
        self, rows: tuple[int, int], start: int, end: int, new: str
    ) -> None:
        """Split only the lines that the edit touches, and their neighbours: \\r and \\n may
        have met."""
        lines = self._lines
        if lines is None:
            return
        first = max(0, min(rows[0], len(lines)) - 1)
        last = min(len(lines), rows[1] + 2)
        at = self._start_of(first)
        old = "".join(lines[first:last])
        made = old[: start - at] + new + old[end - at :]
        lines[first:last] = split_lines(made)
        self._anchor = (first, at)

    def _start_of(self, line: int) -> int:
        """The offset at which a line begins, counted from the last one asked for."""
        lines, (known, at) = self.lines, self._anchor
        if known > len(lines) or line < known // 2:
            known, at = 0, 0
        if line >= known:
            at += sum(map(len, islice(lines, known, line)))
        else:
            at -= sum(map(len, islice(lines, line, known)))
        self._anchor = (line, at)
        return at

    def _replace(self, start: int, end: int, new: str) -> None:
        old = self.source
        self.tree.edited(old, start, end, new)
        if self._window is not None and not self._window.edited(old, start, end, new):
            self._window = None
        self._source = old[:start] + new + old[end:]
        self.edited_to = start + len(new)
        if self._secrets is not None:
            # A secret is looked for line by line, so only these lines can have changed it.
            first = old.rfind("\n", 0, start) + 1
            rest = old.find("\n", end)
            tail = old[end:] if rest < 0 else old[end:rest]
            self._secrets += secrets_in(old[first:start] + new + tail)
            self._secrets -= secrets_in(old[first:end] + tail)

    def offset(self, position: types.Position) -> int:
        lines = self.lines
        row = min(position.line, len(lines))
        near = types.Position(0, position.character)
        if row < position.line:
            near = types.Position(0, 0)
        line = lines[row : row + 1]
        return self._start_of(row) + offset_at(line, near, self.position_codec)

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
