"""What the model sees of a long text, and that typing does not move the cut."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from dlmd.decode import Tokenizer
from dlmd.decode.crop import borders_after, borders_before, crop_after, crop_before
from hypothesis import given, settings
from hypothesis import strategies as st

DREAM = Tokenizer.load(Path(__file__).parent / "golden" / "dream_tokenizer")
LINES = [f"    value_{n} = compute({n}, {n * 7})\n" for n in range(400)]
DOCUMENT = "".join(LINES)

texts = st.lists(
    st.sampled_from(["a\n", "\n", "é x", "\r\n", "word " * 300, "    if x:\n", "→"]),
    max_size=30,
).map("".join)


@settings(max_examples=20, deadline=None)
@given(texts)
def test_borders_run_from_the_hole_to_the_far_end(text: str) -> None:
    before, after = list(borders_before(text)), list(borders_after(text))
    assert all(a > b for a, b in pairwise(before)) and before[-1] == 0
    assert all(a < b for a, b in pairwise(after)) and after[-1] == len(text)


@settings(max_examples=20, deadline=None)
@given(texts, st.integers(0, 300))
def test_never_more_than_the_room(text: str, room: int) -> None:
    before, after = crop_before(text, DREAM, room), crop_after(text, DREAM, room)
    assert len(before) <= room and len(after) <= room
    whole = DREAM.encode(text)
    if len(whole) <= room:
        assert before == after == whole


def test_the_near_end_is_what_stays() -> None:
    assert DOCUMENT.endswith(DREAM.decode(crop_before(DOCUMENT, DREAM, 500)))
    assert DOCUMENT.startswith(DREAM.decode(crop_after(DOCUMENT, DREAM, 500)))


def test_the_room_is_well_used() -> None:
    block = len(DREAM.encode("".join(LINES[-8:])))
    for crop in (crop_before, crop_after):
        assert 500 - 2 * block <= len(crop(DOCUMENT, DREAM, 500)) <= 500


@pytest.mark.slow
def test_typing_moves_the_cut_seldom() -> None:
    typed = "".join(LINES[:12])
    starts = set()
    for end in range(0, len(typed), 3):
        seen = DREAM.decode(crop_before(DOCUMENT + typed[:end], DREAM, 500))
        starts.add(len(DOCUMENT) + end - len(seen))
    assert 1 < len(starts) <= 4  # twelve lines typed, the cut jumped by eights


def test_typing_before_a_text_leaves_its_cut() -> None:
    kept = {len(crop_after(DOCUMENT, DREAM, room)) for room in range(480, 500)}
    assert len(kept) <= 2


def test_the_cut_lies_between_lines() -> None:
    seen = DREAM.decode(crop_before(DOCUMENT, DREAM, 500))
    assert seen[0] == " " and DOCUMENT[-len(seen) - 1] == "\n"


def test_a_room_smaller_than_a_line_is_filled() -> None:
    line = "é" * 100
    assert len(crop_before(line, DREAM, 5)) == len(crop_after(line, DREAM, 5)) == 5


def test_a_line_without_end_is_cut_at_steady_places() -> None:
    line = "abc, " * 4000
    starts = set()
    for end in range(64):
        text = line + "x" * end
        starts.add(len(text) - len(DREAM.decode(crop_before(text, DREAM, 300))))
    assert len(starts) <= 2 and all(start % 256 == 0 for start in starts)


@pytest.mark.parametrize("unit", [LINES[0], "word ", "\n"])
def test_five_megabytes_cost_little(unit: str) -> None:
    text = unit * (5_000_000 // len(unit))
    started = time.process_time()
    crop_before(text, DREAM, 600)
    crop_after(text, DREAM, 300)
    assert time.process_time() - started < 0.5
