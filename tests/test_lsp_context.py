"""dlmd_lsp.context: from a cursor to a request, and from an answer to an insert."""

import pytest
from dlmd_lsp.context import (
    REACH,
    STRIDE,
    Ask,
    Budget,
    fitted,
    plan,
    shown,
    without_repeat,
)
from dlmd_lsp.document import Document
from hypothesis import given
from hypothesis import strategies as st

BUDGET = Budget(line=10, block=20, function=30)
CODE = st.text(st.sampled_from("abx_1 ().,:='\"\n😀"), max_size=24)


def planned(text: str, offset: int, manual: bool, ending: str = "\n") -> object:
    place = Document("file:///a.txt", text, 1).place(offset)
    return plan(text, offset, manual=manual, ending=ending, budget=BUDGET, place=place)


def ask(marked: str, *, manual: bool = False, ending: str = "\n") -> Ask:
    before, after = marked.split("|")
    found = planned(before + after, len(before), manual, ending)
    assert isinstance(found, Ask), found
    return found


def reason(marked: str) -> object:
    before, after = marked.split("|")
    return planned(before + after, len(before), manual=False)


def test_the_hole_lies_between_both_texts() -> None:
    found = ask("def f():\n    return |\n")
    assert (found.before, found.after) == ("def f():\n    return ", "\n")
    assert found.tokens == 10 and found.single_line
    assert ask("|", manual=True).tokens == 20


def test_the_model_sees_one_kind_of_line_break() -> None:
    found = ask("a\r\nb = |\r\nc", ending="\r\n")
    assert (found.before, found.after) == ("a\nb = ", "\nc")


def test_reasons_not_to_ask() -> None:
    assert reason("|") == "empty-document"
    assert reason("  \n|\n") == "empty-document"
    assert reason("val|ue = 1") == "mid-word"
    assert isinstance(reason("value|(1)"), Ask)
    assert isinstance(reason("x\n|"), Ask)


@pytest.mark.parametrize(
    ("marked", "single"),
    [("def f():\n    |\n", False), ("x = |\n", True), ("f(|)\n", True), ("|", False)],
)
def test_only_a_manual_request_on_a_blank_line_takes_a_block(
    marked: str, single: bool
) -> None:
    assert ask(marked, manual=True).single_line is single


@pytest.mark.parametrize(
    ("marked", "hole", "expected"),
    [
        # One line, whatever the model goes on to say.
        ("x = |\n", "1\ny = 2", "1"),
        ("x = |\n", "1\r\ny = 2", "1"),
        ("x = 1|\n", "\ny = 2", ""),
        ("x = |\n", "   ", ""),
        ("x = |\n", "1  ", "1"),
        # What stands behind the cursor is not said again.
        ("print(|)\n", "a)", "a"),
        ("print(| )\n", "a)", "a"),
        ("f(|, b)\n", "a, b)", "a"),
        ("f(|, b)\n", "a", "a"),
        ("f(| )\n", "a ", "a"),
        ("x = |  # note\n", "1  # note", "1"),
        # A letter is no repeat of a word's end.
        ("|x + 1\n", "y = max", "y = max"),
        ("|x + 1\n", "y = x", "y = "),
        # Nor is the next line said again.
        ("def f():\n    |\n    return a\n", "return a", ""),
        ("def f():\n    |\n\n    return a\n", "return a", ""),
        ("def f():\n    re|\n    return a\n", "turn a", ""),
        ("def f():\n        |\n    return a\n", "return a", "return a"),
    ],
)
def test_one_line(marked: str, hole: str, expected: str) -> None:
    assert fitted(ask(marked), hole) == expected


@pytest.mark.parametrize(
    ("marked", "hole", "expected"),
    [
        (
            "def f():\n    |\n",
            "a = 1\n    return a\n\n\n",
            "a = 1\n    return a",
        ),
        # It ends where the block ends.
        ("def f():\n    |\n", "return 1\n\ndef g():\n    pass", "return 1"),
        ("def f():\n    |\n", "if a:\n        b\n    c\nd", "if a:\n        b\n    c"),
        ("    |\n    return a\n", "b = 1\n\n    return a\n", "b = 1"),
        ("|\n", "\n\n", ""),
    ],
)
def test_block(marked: str, hole: str, expected: str) -> None:
    assert fitted(ask(marked, manual=True), hole) == expected


@given(CODE, CODE, CODE)
def test_an_insert_never_repeats_what_follows(
    before: str, after: str, hole: str
) -> None:
    found = planned(before + after, len(before), manual=False)
    if not isinstance(found, Ask):
        return
    text = fitted(found, hole)
    rest = after.partition("\n")[0]
    assert "\n" not in text
    for ahead in (rest, rest.lstrip()):
        for length in range(1, len(ahead) + 1):
            # Inside a word nothing repeats: letters only meet there.
            word = text[-length - 1 : -length]
            inside = (word.isalnum() or word == "_") and (
                ahead[0].isalnum() or ahead[0] == "_"
            )
            assert inside or not ahead.strip() or not text.endswith(ahead[:length])


@given(CODE, CODE)
def test_what_is_kept_is_the_models_beginning(text: str, following: str) -> None:
    kept = without_repeat(text, following)
    assert text.startswith(kept)
    assert without_repeat(kept, following) == kept


def test_states_of_one_line_end_where_its_text_will() -> None:
    one = ask("x = |\n")
    assert shown(one, ["ab", 3, "c\nd", 2]) == ["ab", 3, "c"]
    assert shown(one, [4, "\nd"]) == [4]
    assert shown(one, [4]) == [4]
    block = ask("|\n", manual=True)
    assert shown(block, ["a\n", 2]) == ["a\n", 2]


def test_a_long_file_is_cut_at_a_border_that_typing_does_not_move() -> None:
    lines = [f"line_{number} = {number}\n" for number in range(60_000)]
    head, tail = "".join(lines[:30_000]), "".join(lines[30_000:])
    seen = set()
    for typed in ("", "x", "x =", "x = 'long enough to pass a word'"):
        found = ask(f"{head}{typed}|\n{tail}")
        assert REACH <= len(found.before) <= REACH + STRIDE + 32
        assert REACH - 32 <= len(found.after) <= REACH + STRIDE
        assert found.after.endswith("\n")
        seen.add((found.before.partition("\n")[0], found.after[-20:]))
    assert len(seen) == 1
    assert next(iter(seen))[0].startswith("line_")


def test_one_endless_line_is_cut_all_the_same() -> None:
    found = ask("a" * 500_000 + "|" + " " * 500_000)
    assert len(found.before) <= REACH + STRIDE
    assert len(found.after) <= REACH + STRIDE
