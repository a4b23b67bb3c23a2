"""Foreign forms and ours: both sides out of one prompt, text as it grows, stop words."""

import pytest
from dlmd.serve.compat import (
    MARKS,
    Ask,
    Marks,
    Teller,
    choice,
    cut,
    held_back,
    leading,
    sides,
    to_infill,
)
from dlmd.wire.protocol import HolePart, Turn
from hypothesis import example, given
from hypothesis import strategies as st

CODE = st.text(alphabet="ab <>|_\n", max_size=12)


@given(CODE, CODE, st.sampled_from(MARKS), st.booleans())
@example(" ", " ", MARKS[3], False)
def test_both_sides_come_back(
    before: str, after: str, marks: Marks, turn: bool
) -> None:
    blank = marks.blank
    begin, hole, end = marks.begin, marks.hole, marks.end
    prompt = f"{begin}{blank}{before}{blank}{hole}{after}{blank}{end}"
    if turn and not blank:
        prompt = f"{hole}{after}{begin}{before}{end}"  # suffix first
    assert sides(prompt, None) == (before, after)
    assert sides(prompt, "given") == (prompt, "given")


def test_other_files_stand_before_it_without_their_marks() -> None:
    prompt = "<|repo_name|>r\n<|file_sep|>a.py\nx = 1\n<|fim_prefix|>b<|fim_suffix|>c"
    before, after = sides(prompt + "<|fim_middle|>", None)
    assert (before, after) == ("r\n\na.py\nx = 1\n\nb", "c")
    assert sides("Context:\n<fim_prefix>b<fim_suffix>c<fim_middle>", None)[0] == (
        "Context:\n\nb"
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "plain",
        "<|fim_middle|>",
        "<fim_prefix>x",
        "[SUFFIX]x",
        "a [SUFFIX]b[PREFIX]c",
    ],
)
def test_a_prompt_without_all_marks_stays_as_it_is(prompt: str) -> None:
    assert sides(prompt, None) == (prompt, "")
    assert sides(prompt, "<|endoftext|>") == (prompt, "")


@given(
    st.lists(st.text("abc", max_size=4), max_size=6),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=3),
)
def test_what_is_told_adds_up_and_is_never_taken_back(
    texts: list[str], stop: list[str]
) -> None:
    teller = Teller(stop=tuple(stop))
    told = ""
    for end in range(len(texts) + 1):
        told += teller.more(["".join(texts[:end]), 3])
        assert "".join(texts).startswith(told)
    whole, _ = cut("".join(texts), stop)
    assert told + teller.last(whole) == whole


def test_an_end_that_contradicts_what_was_told_is_said() -> None:
    teller = Teller()
    assert teller.more(["abc", 2]) == "abc"
    with pytest.raises(ValueError, match="ask again without stream"):
        teller.last("abX")


def test_only_what_stands_before_the_first_mask_is_told() -> None:
    assert leading([2, "x"]) == ""
    assert leading(["a", 1, "b"]) == "a"
    assert leading([]) == ""


def test_an_end_that_may_become_a_stop_word_is_held_back() -> None:
    assert held_back("x = 1\n", ("\n\n",)) == "x = 1"
    assert held_back("x = 1\n\n", ("\n\n\n", "zz")) == "x = 1"
    assert held_back("abc", ()) == "abc"


def test_the_earliest_stop_word_cuts() -> None:
    assert cut("one two", ["two", "ne"]) == ("o", "ne")
    told = choice("one two", "length", ["two"])
    assert (told.text, told.finish, told.word) == ("one ", "stop", "two")
    assert choice("one", "length", ["two"]).finish == "length"


def test_a_request_asks_for_no_more_than_there_is_room_for() -> None:
    asked = to_infill(Ask(before="a", max_tokens=4096), "i", room=256, states=False)
    hole = asked.parts[1]
    assert isinstance(hole, HolePart) and hole.hole.max_tokens == 256
    turns = (Turn(role="user", content="x"),)
    free = to_infill(Ask(before="a"), "i", room=256, states=False).parts[1]
    assert isinstance(free, HolePart) and free.hole.max_tokens is None
    chat = to_infill(Ask(turns=turns, max_tokens=7), "i", room=256, states=False)
    [answer] = chat.parts
    assert isinstance(answer, HolePart) and answer.hole.length == 7
    assert chat.chat == [*turns]


def test_a_filter_is_passed_on_only_with_heat() -> None:
    cold = to_infill(Ask(top_p=0.9), "i", room=8, states=False)
    warm = to_infill(Ask(top_p=0.9, temperature=0.5), "i", room=8, states=False)
    least = to_infill(Ask(top_p=0, temperature=0.5), "i", room=8, states=False)
    assert (cold.top_p, warm.top_p, least.top_p) == (None, 0.9, 1e-4)
