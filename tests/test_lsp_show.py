"""dlmd_lsp.show: what is left of an offer, how sure its parts are, what would break a file."""

import ast
import warnings
from dataclasses import replace

import pytest
from dlmd_lsp.context import Ask, Budget, fitted, plan
from dlmd_lsp.document import Document
from dlmd_lsp.show.items import parts
from dlmd_lsp.show.offer import Offer, Place
from dlmd_lsp.show.parses import is_whole, without_breaking
from dlmd_lsp.show.sureness import (
    confident,
    first_line,
    letters,
    mean,
    sure_lines,
    units,
)
from dlmd_lsp.syntax.languages import language_of
from dlmd_lsp.syntax.tree import Tree
from hypothesis import given, settings
from hypothesis import strategies as st

CODE = st.text(st.sampled_from("abx_1 ().,:='\"\n😀"), max_size=24)
ROWS = st.lists(
    st.sampled_from(
        [
            "x = 1",
            "def f(a):",
            "    return a",
            "    if a:",
            "        b",
            "",
            ")",
            "'''",
            "@d",
            "else:",
        ]
    ),
    max_size=8,
).map("\n".join)


def offer(text: str, marked: str) -> Offer:
    before, after = marked.split("|")
    place = Place(text=before + after, offset=len(before))
    return Offer(id="a", place=place, texts=(text,), sure=((),), manual=False)


def rest(found: Offer, marked: str) -> list[str]:
    before, after = marked.split("|")
    return [text for text, _ in found.rest(before + after, len(before))]


def test_nothing_is_left_where_a_pinned_slip_was_deleted_again() -> None:
    found = replace(offer("zshow(a)", "x = |\n"), pinned="z")
    assert rest(found, "x = z|\n") == ["show(a)"]
    assert rest(found, "x = |\n") == []


@pytest.mark.parametrize(
    ("marked", "left"),
    [
        ("x = |\n", ["show(a)"]),
        ("x = sh|\n", ["ow(a)"]),
        ("x = show(|)\n", ["a"]),
        ("x = show(a)|\n", []),
        ("x = sx|\n", []),
        ("x =|\n", []),
        ("y = |\n", []),
        ("x = | + 1\n", []),
        ("x = \n|", []),
    ],
)
def test_what_is_left(marked: str, left: list[str]) -> None:
    assert rest(offer("show(a)", "x = |\n"), marked) == left


@given(CODE, CODE, CODE, st.integers(0, 24))
def test_typing_the_offer_leaves_its_end(
    before: str, after: str, text: str, count: int
) -> None:
    found = offer(text, "|").__class__(
        id="a",
        place=Place(text=before + after, offset=len(before)),
        texts=(text,),
        sure=((),),
        manual=False,
    )
    typed, left = text[:count], text[count:]
    now = before + typed + after
    told = [one for one, _ in found.rest(now, len(before) + len(typed))]
    assert told == ([left] if left.strip() else [])


@given(CODE, CODE, CODE, CODE)
def test_other_changes_leave_nothing(
    before: str, after: str, text: str, other: str
) -> None:
    found = Offer(
        id="a",
        place=Place(text=before + after, offset=len(before)),
        texts=(text,),
        sure=((),),
        manual=False,
    )
    now = other + after
    for left, _ in found.rest(now, len(other)):
        # Only what is the same document with some of the offer in it.
        assert other.startswith(before) and (other[len(before) :] + left) == text


@given(CODE, CODE, CODE)
def test_the_suffix_is_never_said_twice(before: str, after: str, hole: str) -> None:
    """Neither its first line behind the cursor, nor the lines below."""
    text, at = before + after, len(before)
    place = Document("file:///a.txt", text, 1).place(at)
    found = plan(text, at, manual=True, ending="\n", budget=Budget(), place=place)
    assert isinstance(found, Ask)
    text = fitted(found, hole)
    behind = after.partition("\n")[0].strip()
    if behind and not behind[0].isalnum() and behind[0] != "_":
        assert not text.endswith(behind)
    below = [row.rstrip() for row in after.split("\n")[1:] if row.strip()]
    last = (before + text).rpartition("\n")[2].rstrip()
    if text and below and not behind and "\n" not in text:
        assert last != below[0] or not found.single_line


def test_letters_carry_the_sureness_of_their_token() -> None:
    sure = letters(["ab", 3, "c"], [0.5, 0.0, 1.0])
    assert sure == [0.5, 0.5, 1.0]
    assert mean(sure, "ab") == 0.5 and mean([], "ab") is None


def test_the_confident_part_ends_with_a_word() -> None:
    text = "price * count"
    sure = [0.9] * 5 + [0.9] * 3 + [0.9, 0.9, 0.1, 0.1, 0.1]
    assert text[: confident(sure, text)] == "price *"
    assert confident([], text) == len(text) == confident([1.0] * 13, text)
    assert confident([0.0], "x") == 0


def test_lines_that_are_not_sure_go() -> None:
    text = "a = 1\nb = 2\nc = 3"
    sure = [0.9] * 6 + [0.8] * 6 + [0.1] * 5
    assert sure_lines(text, sure, 0.5) == "a = 1\nb = 2"
    assert sure_lines(text, [0.1] * 17, 0.5) == "a = 1"
    assert sure_lines(text, [], 0.5) == text


def test_parts_are_counted_in_utf16() -> None:
    assert units("a😀") == 3
    assert parts("😀 + b\n    c", [1.0] * 11) == {"word": 2, "line": 6, "confident": 12}
    assert first_line("\r\n    a\r\n    b") == len("\r\n    a")


def parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


@settings(deadline=None)
@given(ROWS, ROWS, ROWS)
def test_a_python_file_that_parsed_still_parses(
    before: str, insert: str, after: str
) -> None:
    text = before + "\n" + after
    kept = without_breaking(text, len(before), insert, Tree(language_of("python", "")))
    assert insert.startswith(kept)
    if parses(text):
        assert parses(before + kept + "\n" + after)


def test_other_languages_by_their_trees() -> None:
    tree = Tree(language_of("go", ""))
    text = "package a\n\nfunc f() {\n\t\n}\n"
    at = text.index("\t") + 1
    assert without_breaking(text, at, "return", tree) == "return"
    assert without_breaking(text, at, "if {", tree) == ""
    assert is_whole(text, tree) and not is_whole(text + "}", tree.other())
    assert without_breaking("x", 1, "(", Tree(language_of("ruby", ""))) == "("
