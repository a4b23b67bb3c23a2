"""Parts and tokens, there and back: layout, splicing, and pieces for drawing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, Hole, Part, Tokenizer, splice
from dlmd.decode.canvas import DEFAULT_MASKS, draw_pieces, lay_out
from dlmd.profiles import PROFILES, Profile
from hypothesis import given, settings
from hypothesis import strategies as st

DREAM = Tokenizer.load(Path(__file__).parent / "golden" / "dream_tokenizer")
PROFILE = replace(PROFILES["dream-v0-7b-instruct"], context=256, length_policy="fixed")
MASK = PROFILE.mask_id
TAUGHT = replace(PROFILE, always_bos=True)

few = settings(max_examples=30, deadline=None)
hard_texts = st.sampled_from(
    ["", "a\r\nb", "\tx", "no end", "e\u0301\u1100\u1161", "\U0001f469\u200d\U0001f4bb"]
) | st.text(max_size=20)
documents = st.lists(hard_texts | st.builds(Hole), max_size=8)


# ---- splicing ----


@few
@given(documents, st.data())
def test_text_outside_holes_is_verbatim(parts: list[Part], data: st.DataObject) -> None:
    holes = sum(isinstance(part, Hole) for part in parts)
    fills = data.draw(st.lists(st.text(), min_size=holes, max_size=holes))
    whole = splice(parts, fills)
    at = 0
    left = list(fills)
    for part in parts:
        expected = left.pop(0) if isinstance(part, Hole) else part
        assert whole[at : at + len(expected)] == expected
        at += len(expected)
    assert at == len(whole)


def test_a_text_for_every_hole() -> None:
    with pytest.raises(ValueError, match="1 texts for 2 holes"):
        splice([Hole(), Hole()], ["x"])


# ---- canvases ----


def test_masks_are_counted_once_and_padding_is_none() -> None:
    tokens_BT = torch.tensor([[9, 9, 1], [9, 9, 9]])
    valid_BT = torch.tensor([[0, 1, 1], [1, 1, 1]])
    canvas = Canvas(tokens_BT, mask_id=9, valid_BT=valid_BT)
    assert canvas.masked_BT.tolist() == [[False, True, False], [True] * 3]
    after = replace(canvas, tokens_BT=torch.zeros(2, 3, dtype=torch.long))
    assert canvas.masks_B == after.masks_B == (1, 3)


def test_a_canvas_has_rows() -> None:
    with pytest.raises(ValueError, match=r"shape \[3\]; give rows"):
        Canvas(torch.tensor([1, 2, 3]), mask_id=9)


# ---- layout ----


@few
@given(documents.filter(lambda parts: any(isinstance(p, Hole) for p in parts)))
def test_layout_keeps_texts_and_holes_apart(parts: list[Part]) -> None:
    layout = lay_out([*parts], DREAM, replace(PROFILE, context=4096))
    assert len(layout.holes) == sum(isinstance(part, Hole) for part in parts)
    assert layout.tokens[0] != MASK
    inside = {k for hole in layout.holes for k in hole}
    masked = {k for k, token in enumerate(layout.tokens) if token == MASK}
    assert inside == masked and len(inside) == DEFAULT_MASKS * len(layout.holes)


def test_every_side_is_encoded_by_itself() -> None:
    layout = lay_out(
        ["def f", Hole(length=2), "(x)", Hole(length=1), "y"], DREAM, PROFILE
    )
    wanted = [
        *DREAM.encode("def f"), MASK, MASK, *DREAM.encode("(x)"), MASK, *DREAM.encode("y")
    ]  # fmt: skip
    assert list(layout.tokens) == wanted


def test_neighbouring_texts_are_one() -> None:
    split = lay_out(["de", "f f", Hole(length=1), "a", "b"], DREAM, PROFILE)
    assert split == lay_out(["def f", Hole(length=1), "ab"], DREAM, PROFILE)


def test_control_text_in_the_document_stays_text() -> None:
    layout = lay_out(["<|mask|>", Hole(length=3)], DREAM, PROFILE)
    assert layout.tokens.count(MASK) == 3


@pytest.mark.parametrize(
    ("profile", "prefix", "first"),
    [
        (PROFILE, "", [PROFILE.bos_id]),
        (PROFILE, "x", DREAM.encode("x")),
        (TAUGHT, "", [PROFILE.bos_id]),
        (TAUGHT, "x", [PROFILE.bos_id, *DREAM.encode("x")]),
        (replace(PROFILE, bos_id=None), "", [PROFILE.eos_id]),
        (replace(PROFILE, bos_id=None, eos_id=None), "", DREAM.encode("\n")),
    ],
)
def test_what_stands_in_front(profile: Profile, prefix: str, first: list[int]) -> None:
    layout = lay_out([prefix, Hole(length=1)], DREAM, profile)
    assert list(layout.tokens) == [*first, MASK]


def test_only_a_hole_and_adjacent_holes() -> None:
    layout = lay_out([Hole(length=2), Hole(length=1)], DREAM, PROFILE)
    assert layout.tokens == (PROFILE.bos_id, MASK, MASK, MASK)
    assert layout.holes == (range(1, 3), range(3, 4))


def test_initial_text_opens_its_hole() -> None:
    start = DREAM.encode("return")
    layout = lay_out([Hole(length=5, initial="return")], DREAM, PROFILE)
    assert list(layout.tokens) == start + [MASK] * (5 - len(start))
    roomy = lay_out([Hole(initial="return")], DREAM, PROFILE)
    assert roomy.tokens.count(MASK) == DEFAULT_MASKS
    full = lay_out([Hole(length=1, initial="return x + 1")], DREAM, PROFILE)
    assert MASK not in full.tokens


def test_long_sides_are_cropped_to_the_context() -> None:
    line = "    x = f(x)\n"
    layout = lay_out([line * 500, Hole(length=8), line * 500], DREAM, PROFILE)
    assert 200 < len(layout.tokens) <= PROFILE.context
    hole = layout.holes[0]
    after = len(layout.tokens) - hole.stop
    assert hole.start > after > 0
    short = lay_out(["x", Hole(length=8), line * 500], DREAM, PROFILE)
    assert len(short.tokens) > 180  # what one side leaves, the other uses


def test_a_budget_crops_the_text_around_holes_and_nothing_else() -> None:
    long = "word = other\n" * 400
    parts: list[Part] = [long, Hole(length=8), "between", Hole(length=8), long]
    most = len(lay_out(parts, DREAM, PROFILE).tokens)
    kept = lay_out(parts, DREAM, PROFILE, 160)
    assert 100 < len(kept.tokens) <= 160 < most
    assert [len(hole) for hole in kept.holes] == [8, 8]
    assert lay_out(parts, DREAM, PROFILE, 10_000) == lay_out(parts, DREAM, PROFILE)
    small = lay_out([long, Hole(length=90), long], DREAM, PROFILE, 64)
    assert 90 + 16 < len(small.tokens) <= 91 + 32  # half the budget stays text


# ---- refusals ----


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "no hole"),
        (["text"], "no hole"),
        (["a", Hole(length=1), "b\udc80"], "half a surrogate pair"),
        ([Hole(initial="\ud800")], "half a surrogate pair"),
        ([Hole(length=300)], "the holes and the text between them take 301 tokens"),
        ([Hole(), "x\n" * 300, Hole()], "holes closer together"),
        ([Hole(), "x" * 99_999, Hole()], "two holes lie 99999 characters apart"),
        ([Hole(initial="x" * 99_999)], "hold 99999 characters"),
        ([Hole(), *["x" * 9_999, Hole()] * 9], "hold 89991 characters"),
    ],
)
def test_requests_that_cannot_be_laid_out(parts: list[Part], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lay_out(parts, DREAM, PROFILE)


@pytest.mark.parametrize("wrong", [{"length": 0}, {"length": "all"}, {"length": True},
                                   {"max_tokens": -1}, {"max_tokens": 2.5}])  # fmt: skip
def test_holes_of_impossible_size(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give a whole number of at least 1"):
        Hole(**wrong)


# ---- pieces ----


def pieces_of(ids: list[int]) -> list[str | int]:
    pieces, numbers = draw_pieces(ids, [0.5] * len(ids), MASK, DREAM)
    assert numbers == [0.5 if isinstance(piece, str) else 0.0 for piece in pieces]
    return pieces


def test_settled_text_and_runs_of_masks() -> None:
    ids = DREAM.encode("def f")
    assert pieces_of([MASK, MASK, *ids, MASK]) == [2, "def f", 1]
    assert pieces_of([]) == [] and pieces_of(ids) == ["def f"]


def test_surplus_and_control_tokens_draw_as_nothing() -> None:
    pad = DREAM.added["<|endoftext|>"]
    assert pieces_of([*DREAM.encode("def"), pad, MASK, pad, pad]) == ["def", 1]
    assert pieces_of([pad, pad]) == []


def test_a_character_shows_when_it_is_whole() -> None:
    first, second = DREAM.encode("\u00df")  # two bytes, two tokens here
    assert pieces_of([first, MASK]) == [2]
    assert pieces_of([MASK, second]) == [2]
    assert pieces_of([first, second]) == ["ß"]
    x = DREAM.encode("x")[0]
    assert pieces_of([x, first, MASK]) == ["x", 2]
    assert pieces_of([MASK, second, x]) == [2, "x"]


def test_confidence_is_the_mean_of_a_piece() -> None:
    ids = [*DREAM.encode("x")[:1], *DREAM.encode("y")[:1], MASK]
    assert draw_pieces(ids, [0.2, 0.6, 0.9], MASK, DREAM) == (["xy", 1], [0.4, 0.0])


@few
@given(st.text(max_size=12), st.data())
def test_pieces_never_break_or_take_back_a_character(
    text: str, data: st.DataObject
) -> None:
    """Uncover the tokens of a text in any order: what shows once stays, and all is whole."""
    ids = DREAM.encode(text)
    order = data.draw(st.permutations(range(len(ids))))
    shown = [MASK] * len(ids)
    before = 0
    for k in order:
        shown[k] = ids[k]
        pieces = pieces_of(shown)
        told = "".join(piece for piece in pieces if isinstance(piece, str))
        told.encode("utf-8")
        assert "\ufffd" not in told or "\ufffd" in text
        assert len(told) >= before
        before = len(told)
    assert "".join(map(str, pieces_of(ids))) == DREAM.decode(ids)


@few
@given(st.lists(st.integers(0, 255) | st.just(MASK), max_size=12))
def test_any_bytes_draw_as_valid_text(ids: list[int]) -> None:
    pieces = pieces_of(ids)
    masks = sum(piece for piece in pieces if isinstance(piece, int))
    assert ids.count(MASK) <= masks <= len(ids)
    for piece in pieces:
        assert piece if isinstance(piece, int) else piece.encode("utf-8")


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_the_model_sees_line_ends_and_a_start_as_it_learnt_them(
    end: str, mark: str
) -> None:
    def tokens(end: str, mark: str) -> object:
        lines = f"{mark}def f(a):{end}    return ", f"{end}{end}x = 1{end}"
        between = f"{end}b ="
        hole, typed = Hole(length=3), Hole(length=9, initial=f"a{end}")
        return lay_out([lines[0], hole, between, typed, lines[1]], DREAM, PROFILE)

    assert tokens(end, mark) == tokens("\n", "")
