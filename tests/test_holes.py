"""Places and markers become parts; text outside holes comes back byte for byte."""

import os
import re
import stat
from pathlib import Path

import pytest
from dlmd.holes import Document, from_file, from_marks, spliced, write_back
from dlmd.wire.protocol import hole
from hypothesis import given
from hypothesis import strategies as st


def placed(
    tmp_path: Path, data: bytes, place: str, tokens: int | None = None
) -> Document:
    (tmp_path / "f.py").write_bytes(data)
    return from_file(f"{tmp_path / 'f.py'}:{place}", tokens)


@pytest.mark.parametrize(
    ("text", "place", "before"),
    [
        ("", "1", ""),
        ("", "1:1", ""),
        ("ab\ncd\n", "1", "ab"),
        ("ab\ncd\n", "1:1", ""),
        ("ab\ncd\n", "2:2", "ab\nc"),
        ("ab\ncd\n", "2:3", "ab\ncd"),
        ("ab\ncd\n", "3", "ab\ncd\n"),
        ("ab\ncd", "2", "ab\ncd"),
        ("if x:\n    \ny\n", "2", "if x:\n    "),
        ("ab\r\ncd\r\n", "1", "ab"),
        ("ab\r\ncd\r\n", "2:2", "ab\r\nc"),
        ("ab\rcd", "2:1", "ab\r"),
        ("\ta\f\u2028b\nc", "1", "\ta\f\u2028b"),
        ("\ufeffab\n", "1:2", "\ufeffa"),
        ("😀é́x", "1:4", "😀é\u0301"),
    ],
)
def test_a_place_cuts_the_text_there(
    tmp_path: Path, text: str, place: str, before: str
) -> None:
    document = placed(tmp_path, text.encode(), place, tokens=5)
    assert document.parts == (before, hole(length=5), text[len(before) :])


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        (b"", "2", "has 1 line, so there is no line 2; choose 1 to 1"),
        (b"", "1:2", "has 0 characters, so there is no column 2; choose 1 to 1"),
        (b"ab\ncd\n", "9", "has 3 lines, so there is no line 9; choose 1 to 3"),
        (b"ab\ncd\n", "0", "there is no line 0"),
        (
            b"ab\r\ncd\n",
            "1:4",
            "has 2 characters, so there is no column 4; choose 1 to 3",
        ),
        (b"ab", "1:0", "there is no column 0"),
        (b"a\xffb", "1", "is not UTF-8 text (byte 0xff at offset 1)"),
        (b"a\0b", "1", "is a binary file (a NUL at offset 1)"),
    ],
)
def test_a_place_that_is_not_there_is_one_sentence(
    tmp_path: Path, data: bytes, place: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        placed(tmp_path, data, place)


def test_a_place_without_a_line_is_explained() -> None:
    with pytest.raises(
        ValueError, match=r"'a\.py' is no place in a file; write FILE:LINE"
    ):
        from_file("a.py", None)


def test_a_colon_in_the_name_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    (tmp_path / "a:b" / "f.py").write_text("x")
    assert from_file(f"{tmp_path}/a:b/f.py:1:2", None).parts[0] == "x"


def test_marks_with_and_without_a_length() -> None:
    parts = from_marks("a⟦⟧b⟦12⟧", None, tokens=3).parts
    assert parts == ("a", hole(length=3), "b", hole(length=12), "")


def test_a_marker_of_the_users_own_leaves_the_others_alone() -> None:
    parts = from_marks("a ⟦⟧ <fill> b", "<fill>", None).parts
    assert parts == ("a ⟦⟧ ", hole(), " b")


@pytest.mark.parametrize(("marker", "named"), [(None, "⟦⟧"), ("XX", "'XX'")])
def test_no_mark_is_one_sentence(marker: str | None, named: str) -> None:
    with pytest.raises(ValueError, match=f"no hole in the text; put {named}"):
        from_marks("nothing here", marker, None)


@given(
    st.lists(st.text(st.characters(exclude_characters="⟦⟧")), min_size=2, max_size=5)
)
def test_text_outside_holes_is_returned_as_it_was(texts: list[str]) -> None:
    document = from_marks("⟦⟧".join(texts), None, None)
    assert spliced(document.parts, [""] * (len(texts) - 1)) == "".join(texts)


def test_a_fill_takes_the_line_ends_around_it() -> None:
    assert (
        spliced(("a\r\n", hole(), "\r\nb\n"), ["x\ny\r\nz"])
        == "a\r\nx\r\ny\r\nz\r\nb\n"
    )
    assert spliced(("a\n", hole(), ""), ["x\ny"]) == "a\nx\ny"


def test_writing_back_keeps_mode_and_link(tmp_path: Path) -> None:
    document = placed(tmp_path, b"a\r\n\tb", "1")
    os.chmod(tmp_path / "f.py", 0o754)
    link = tmp_path / "link.py"
    link.symlink_to("f.py")
    write_back(
        Document(parts=document.parts, path=link, original=document.original), "new\r\n"
    )
    assert (tmp_path / "f.py").read_bytes() == b"new\r\n"
    assert stat.S_IMODE((tmp_path / "f.py").stat().st_mode) == 0o754
    assert link.is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f.py", "link.py"]


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    document = placed(tmp_path, b"a", "1")
    (tmp_path / "f.py").write_bytes(b"edited")
    with pytest.raises(ValueError, match="changed while its hole was being filled"):
        write_back(document, "fill")
    assert (tmp_path / "f.py").read_bytes() == b"edited"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.py"]


def test_what_would_never_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is no regular file; give one"):
        from_file(f"{tmp_path / 'pipe'}:1", None)


def filled(path: Path) -> Document:
    return from_file(f"{path}:1", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.py"
    path.write_bytes(b"a = \n")
    return path


def test_a_write_protected_file_is_left_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so the kernel's answer is given here.
    monkeypatch.setattr("dlmd.holes.os.access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(ValueError, match="is write-protected; it is unchanged"):
        write_back(filled(file), "a = 1\n")
    assert file.read_bytes() == b"a = \n"


def test_a_file_with_two_names_is_not_parted(file: Path, tmp_path: Path) -> None:
    os.link(file, tmp_path / "other")
    with pytest.raises(ValueError, match="2 hard links"):
        write_back(filled(file), "a = 1\n")
    assert (tmp_path / "other").read_bytes() == file.read_bytes() == b"a = \n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(file: Path) -> None:
    os.chown(file, 65534, 65534)
    write_back(filled(file), "a = 1\n")
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)
