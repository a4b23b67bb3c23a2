"""What commands are called with, checked. ValueError names what is wrong with it.

Must not know what the commands do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from dlmd_lsp import document
from dlmd_lsp.ask.gate import never, told
from dlmd_lsp.document import Document
from dlmd_lsp.editor import Editor

CHANGED = (
    "the document changed while the command ran, so nothing was inserted; "
    "run the command again"
)

MOVED = "the command ended because the text changed meanwhile; run it again"


class Moved(ValueError):
    """Somebody went on typing: no mistake of theirs, and nothing to stop them for."""

    def __init__(self) -> None:
        super().__init__(MOVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    uri: str
    version: int | None = None
    position: types.Position | None = None
    range: types.Range | None = None
    ranges: tuple[types.Range, ...] = ()
    diagnostics: tuple[types.Range, ...] = ()


def read(command: str, given: tuple[Any, ...]) -> Arguments:
    """One object, or uri, position and version one after the other."""
    rest: dict[Any, Any]
    match given:
        case ({"uri": str(uri)} as found,):
            rest = found
        case (str(uri), *more) if len(more) <= 2:
            rest = dict(zip(("position", "version"), more, strict=False))
        case _:
            raise _wrong(command)
    version = rest.get("version")
    if not (version is None or type(version) is int):
        raise _wrong(command)
    place = rest.get("position")
    area = rest.get("range")
    return Arguments(
        uri=uri,
        version=version,
        position=None if place is None else _position(command, place),
        range=None if area is None else _range(command, area),
        ranges=tuple(_range(command, one) for one in _list(command, rest, "ranges")),
        diagnostics=tuple(
            _range(command, one.get("range") if isinstance(one, dict) else None)
            for one in _list(command, rest, "diagnostics")
        ),
    )


def opened(editor: Editor, arguments: Arguments) -> Document:
    """The document they name, at the version they name, if it may leave the server."""
    text = document.find(editor.workspace, arguments.uri)
    if text is None or text.version is None:
        raise ValueError(
            f"{arguments.uri} is not open in the editor; open it and try again"
        )
    if arguments.version is not None and arguments.version != text.version:
        raise ValueError(CHANGED)
    reason = never(text)
    if reason is not None:
        editor.session.because(text.uri, reason)
        raise ValueError(told(text, reason))
    return text


def _list(command: str, rest: dict[Any, Any], key: str) -> list[Any]:
    found = rest.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > 256:
        raise _wrong(command)
    return found


def _position(command: str, given: Any) -> types.Position:
    match given:
        case {"line": int(line), "character": int(character)}:
            if line >= 0 and character >= 0:
                return types.Position(line, character)
    raise _wrong(command)


def _range(command: str, given: Any) -> types.Range:
    match given:
        case {"start": start, "end": end}:
            return types.Range(_position(command, start), _position(command, end))
    raise _wrong(command)


def _wrong(command: str) -> ValueError:
    return ValueError(
        f"{command} was called with other arguments than docs/editors.md names; "
        "update the editor's dlmd plugin"
    )
