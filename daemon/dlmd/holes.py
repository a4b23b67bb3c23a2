"""Where the holes of a document are: `FILE:LINE[:COL]`, or markers in the text; and back.

Text outside a hole comes back byte for byte, so it is only ever cut, never re-encoded by
anything but UTF-8. Knows files and positions; must not know sockets, models or terminals.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dlmd.wire.protocol import HolePart, Limits, hole

Part = str | HolePart
_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?", re.DOTALL)
_MARK = re.compile(r"⟦(\d*)⟧")
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Text with holes, and the file it came from, as it was then."""

    parts: tuple[Part, ...]
    path: Path | None = None
    original: bytes = b""


def from_file(place: str, tokens: int | None) -> Document:
    """The document of `FILE:LINE[:COL]`, both counted from 1, columns in characters."""
    found = _PLACE.fullmatch(place)
    if found is None:
        raise ValueError(
            f"{place!r} is no place in a file; write FILE:LINE or FILE:LINE:COL"
        )
    path = Path(found["file"])
    if path.exists() and not path.is_file() and not path.is_dir():
        # A pipe would wait for a writer, and some devices never end.
        raise ValueError(f"{path} is no regular file; give one, or pipe its text to -")
    original = path.read_bytes()
    column = None if found["column"] is None else int(found["column"])
    text = decoded(original, str(path))
    at = _offset(text, int(found["line"]), column, str(path))
    return Document(
        parts=(text[:at], hole(length=tokens), text[at:]), path=path, original=original
    )


def from_marks(text: str, marker: str | None, tokens: int | None) -> Document:
    """The document in which ⟦⟧, ⟦12⟧ (tokens) or the user's own marker stands for a hole."""
    if marker is None:
        texts, lengths = _split_marks(text, tokens)
    else:
        texts = text.split(marker)
        lengths = [tokens] * (len(texts) - 1)
    if not lengths:
        mark = "⟦⟧ or ⟦12⟧" if marker is None else repr(marker)
        raise ValueError(f"no hole in the text; put {mark} where it should be filled")
    parts: list[Part] = [texts[0]]
    for length, after in zip(lengths, texts[1:], strict=True):
        parts += [hole(length=length), after]
    return Document(parts=tuple(parts))


def spliced(parts: Sequence[Part], fills: Sequence[str]) -> str:
    """The document with its holes filled; a fill follows the line ends of the text around it."""
    texts = [part for part in parts if isinstance(part, str)]
    crlf = any("\r\n" in text for text in texts)
    pending = iter(fills)
    done: list[str] = []
    for part in parts:
        if isinstance(part, str):
            done.append(part)
        else:
            fill = next(pending)
            done.append(re.sub(r"\r?\n", "\r\n", fill) if crlf else fill)
    return "".join(done)


def decoded(data: bytes, name: str) -> str:
    """Strict UTF-8, so that writing the text back gives the same bytes."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as broken:
        raise ValueError(
            f"{name} is not UTF-8 text (byte 0x{data[broken.start]:02x} at offset "
            f"{broken.start}); dlmd fills holes in text only"
        ) from broken
    if "\0" in text:
        raise ValueError(
            f"{name} is a binary file (a NUL at offset {data.index(0)}); dlmd fills holes in text only"
        )
    return text


def write_back(document: Document, text: str) -> None:
    """Replace the file in one step, or leave it as it was."""
    assert document.path is not None
    # A link keeps pointing where it does; what it points at is replaced.
    path = Path(os.path.realpath(document.path))
    was = path.stat()
    if not os.access(path, os.W_OK):
        raise ValueError(
            f"{document.path} is write-protected; it is unchanged: `chmod u+w` it, or copy "
            "the fill from the output without --write"
        )
    if was.st_nlink > 1:
        raise ValueError(
            f"{document.path} has {was.st_nlink} hard links, and a new file would part them; "
            "it is unchanged: copy the fill from the output without --write"
        )
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    except OSError as failure:
        raise ValueError(
            f"cannot write beside {document.path}: {failure.strerror}; it is unchanged"
        ) from failure
    try:
        with os.fdopen(handle, "wb") as file:
            with suppress(PermissionError):  # then it becomes the writer's
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            os.fchmod(file.fileno(), was.st_mode & 0o7777)
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        if path.read_bytes() != document.original:
            raise ValueError(
                f"{document.path} changed while its hole was being filled; nothing was written, run it again"
            )
        os.replace(name, path)
    except OSError as failure:
        os.unlink(name)
        raise ValueError(
            f"cannot write {document.path}: {failure.strerror}; it is unchanged"
        ) from failure
    except BaseException:
        os.unlink(name)
        raise


def _split_marks(text: str, tokens: int | None) -> tuple[list[str], list[int | None]]:
    # re.split with one group alternates: text, digits, text, digits, ..., text.
    pieces = _MARK.split(text)
    return pieces[::2], [_marked(digits, tokens) for digits in pieces[1::2]]


def _marked(digits: str, tokens: int | None) -> int | None:
    most = Limits().max_tokens
    if digits and not (len(digits) < 9 and 1 <= int(digits) <= most):
        raise ValueError(
            f"the mark ⟦{digits[:20]}⟧ asks for a hole of that many tokens, expected 1 to "
            f"{most}; write ⟦⟧ to let the model find the length"
        )
    return int(digits) if digits else tokens


def _offset(text: str, line: int, column: int | None, name: str) -> int:
    starts = [0, *(end.end() for end in _LINE_END.finditer(text))]
    if not 1 <= line <= len(starts):
        raise ValueError(
            f"{name} has {_count(len(starts), 'line')}, so there is no line {line}; "
            f"choose 1 to {len(starts)}"
        )
    start = starts[line - 1]
    end = _LINE_END.search(text, start)
    stop = end.start() if end else len(text)
    # A byte order mark is no character to a person who counts columns.
    start += text.startswith("\ufeff", start, stop) and line == 1
    if column is None:
        return stop
    if not 1 <= column <= stop - start + 1:
        raise ValueError(
            f"line {line} of {name} has {_count(stop - start, 'character')}, so there is no column "
            f"{column}; choose 1 to {stop - start + 1}"
        )
    return start + column - 1


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
