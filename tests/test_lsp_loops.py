"""dlmd_lsp.show.loops, and what choose makes of a suggestion that goes in a circle."""

import pytest
from dlmd_lsp.context import Budget, fitted, plan
from dlmd_lsp.document import Document
from dlmd_lsp.options import Options
from dlmd_lsp.show import choose
from dlmd_lsp.show.loops import before_loop, is_loop
from dlmd_lsp.show.offer import Offer, Place
from hypothesis import given
from hypothesis import strategies as st

LOOPS = [
    ("a, b, b, b, b, b", ""),
    ("b b b b", ""),
    ("self.a.b.b.b.b", ""),
    ("f(x, 1), f(x, 1), f(x, 1)", ""),
    ("x = 1\nx = 1\nx = 1", "x = 1"),
    ("\n    x = 1\n    x = 1\n    x = 1", "\n    x = 1"),
    ("a = 2\nx = 1\n\nx = 1\n\nx = 1\n", "a = 2\nx = 1"),
    ("y = 2\nreturn f(b, b, b, b", "y = 2"),
    ("y = 2\r\nreturn f(b, b, b, b", "y = 2"),
]
PLAIN = [
    "",
    "b, b",
    "None, None, None",
    "'%s %s %s'",
    "[0, 0, 0, 0, 0, 0]",
    "--------",
    "a = b = c = d = e",
    "self.a = a\nself.b = b\nself.c = c\nself.d = d",
    "      end\n    end\n  end\nend",
    "dict[str, dict[str, int]]",
    "if a:\n    if a:\n        if a:\n            b",
]


@pytest.mark.parametrize(("text", "left"), LOOPS)
def test_a_loop_ends_a_suggestion_at_the_line_before(text: str, left: str) -> None:
    assert before_loop(text) == left
    assert is_loop(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_people_write_is_no_loop(text: str) -> None:
    assert before_loop(text) == text
    assert not is_loop(text)


@given(
    st.text(st.sampled_from("ab1_ (),=\n"), max_size=12),
    st.lists(st.sampled_from(["ab", "cd", "(", "1"]), min_size=2, max_size=6),
)
def test_what_is_left_of_a_text_is_its_beginning_and_no_loop(
    head: str, unit: list[str]
) -> None:
    text = head + "\n" + " ".join(unit * 5)
    left = before_loop(text)
    assert text.startswith(left) and not is_loop(left)
    assert is_loop(text) is bool({"ab", "cd"} & set(unit)) or is_loop(head + "\n")


def chosen(*holes: str, manual: bool) -> Offer | str:
    text = "value = \n"
    at = len(text) - 1
    document = Document("file:///a.py", text, 1, "python")
    ask = plan(
        text,
        at,
        manual=manual,
        ending="\n",
        budget=Budget(),
        place=document.place(at),
    )
    assert not isinstance(ask, str) and fitted(ask, holes[0])
    answer: choose.Answer = [(hole, []) for hole in holes]
    place = Place(text=text, offset=at)
    return choose.offer("a", place, ask, answer, document, Options(), manual)


def test_nobody_is_shown_a_loop_who_did_not_ask() -> None:
    assert chosen("a, b, b, b, b", manual=False) == "loop"
    found = chosen("a, b", manual=False)
    assert isinstance(found, Offer) and found.texts == ("a, b",)


def test_a_loop_that_was_asked_for_stays_whole_and_comes_last() -> None:
    found = chosen("a, b, b, b, b", "c, d", manual=True)
    assert isinstance(found, Offer)
    assert found.texts == ("c, d", "a, b, b, b, b")
