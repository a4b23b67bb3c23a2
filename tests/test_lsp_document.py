"""dlmd_lsp.document: positions and incremental edits, held against a plain model of LSP."""

import pytest
from dlmd_lsp.document import Document, adopt, find, offset_at, position_at
from dlmd_lsp.lines import split_lines
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types
from pygls.workspace import PositionCodec

UTF16 = PositionCodec()
# A letter, CJK, an emoji (two UTF-16 units), a combining accent, every kind of break and
# three characters that only str.splitlines takes for breaks.
TEXT = st.text(st.sampled_from("a漢😀\u0301\n\r\t\f\x85\u2028"), max_size=30)


def boundaries(text: str) -> list[int]:
    """Offsets that a position can name: none lies inside a \\r\\n."""
    return [i for i in range(len(text) + 1) if text[i - 1 : i + 1] != "\r\n" or i == 0]


@given(TEXT)
def test_offset_and_position_are_inverse(text: str) -> None:
    lines = split_lines(text)
    for offset in boundaries(text):
        position = position_at(lines, offset, UTF16)
        assert offset_at(lines, position, UTF16) == offset


@given(TEXT)
def test_units_are_utf16(text: str) -> None:
    lines = split_lines(text)
    for offset in boundaries(text):
        position = position_at(lines, offset, UTF16)
        start = offset_at(lines, types.Position(position.line, 0), UTF16)
        units = len(text[start:offset].encode("utf-16-le")) // 2
        assert position.character == units


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_every_negotiable_encoding(encoding: str) -> None:
    codec = PositionCodec(encoding)
    text = "x = '漢😀e\u0301'"
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    name = encoding if size == 1 else f"{encoding}-le"
    for offset in range(len(text) + 1):
        position = position_at([text], offset, codec)
        assert position.character == len(text[:offset].encode(name)) // size


def test_positions_past_the_end_mean_the_end() -> None:
    lines = split_lines("ab\r\n😀")
    assert offset_at(lines, types.Position(0, 99), UTF16) == 2
    assert offset_at(lines, types.Position(1, 99), UTF16) == 5
    assert offset_at(lines, types.Position(7, 0), UTF16) == 5
    assert offset_at([], types.Position(3, 3), UTF16) == 0


def test_a_position_is_not_changed_by_its_conversion() -> None:
    position = types.Position(0, 99)
    offset_at(["ab"], position, UTF16)
    assert position == types.Position(0, 99)


@given(TEXT, st.data())
def test_edits_follow_the_editor(text: str, data: st.DataObject) -> None:
    document = Document("file:///a.py", source=text, version=1)
    for _ in range(3):
        at = st.sampled_from(boundaries(text))
        start, end = sorted((data.draw(at), data.draw(at)))
        new = data.draw(TEXT)
        change = types.TextDocumentContentChangePartial(
            range=document.span(start, end), text=new
        )
        document.apply_change(change)
        text = text[:start] + new + text[end:]
        assert document.source == text
        assert list(document.lines) == split_lines(text)
        # From whichever place was asked for last.
        for line in data.draw(st.lists(st.integers(0, 12), max_size=4)):
            place = types.Position(line, data.draw(st.integers(0, 6)))
            expected = offset_at(split_lines(text), place, UTF16)
            assert document.offset(place) == expected


def test_a_whole_text_replaces() -> None:
    document = Document("file:///a.py", source="old\n", version=1)
    document.apply_change(types.TextDocumentContentChangeWholeDocument("a\nb"))
    assert list(document.lines) == ["a\n", "b"]


def test_only_open_documents_are_found() -> None:
    from pygls.workspace import Workspace

    workspace = Workspace(None)
    adopt(workspace)
    item = types.TextDocumentItem("file:///a%20b.py", "python", 3, "x\f\ny")
    workspace.put_text_document(item)
    document = find(workspace, "file:///a%20b.py")
    assert document is not None
    assert (document.version, len(document.lines)) == (3, 2)
    workspace.remove_text_document("file:///a%20b.py")
    assert find(workspace, "file:///a%20b.py") is None
