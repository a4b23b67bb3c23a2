"""dlmd_lsp.lines: where lines break and what repeats."""

from dlmd_lsp.lines import (
    columns,
    line_ending,
    plain,
    split_lines,
    without_repeated_lines,
)
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.sampled_from("ab \t\n\r\f\v\x85\u2028é😀"))


@given(TEXT)
def test_lines_joined_are_the_text(text: str) -> None:
    assert "".join(split_lines(text)) == text


@given(TEXT)
def test_only_the_protocols_breaks_break(text: str) -> None:
    # One line per break of LSP 3.18, and one for a rest without a break.
    breaks = text.replace("\r\n", "\n").replace("\r", "\n")
    expected = breaks.count("\n") + (not breaks.endswith("\n") and breaks != "")
    assert len(split_lines(text)) == expected


def test_line_ending_is_the_first_lines() -> None:
    assert line_ending("a\r\nb\n") == "\r\n"
    assert line_ending("a\nb\r\n") == "\n"
    assert line_ending("a\rb") == "\r"
    assert line_ending("no break") == "\n"
    assert line_ending("") == "\n"


def test_plain_text_knows_one_break() -> None:
    assert plain("a\r\nb\rc\nd\f") == "a\nb\nc\nd\f"


def test_columns_take_tabs_to_their_stops() -> None:
    assert (columns("\t"), columns("  \t"), columns("\t", 4)) == (8, 8, 4)


def test_a_tail_that_the_following_text_repeats_goes() -> None:
    following = ["", "    return a", "", "def g():"]
    assert without_repeated_lines(["    x = 1", "    return a"], following) == [
        "    x = 1"
    ]
    assert without_repeated_lines(["    return a", "def g():"], following) == []
    # Another depth is another statement.
    assert without_repeated_lines(["return a"], following) == ["return a"]
    assert without_repeated_lines(["x"], []) == ["x"]
