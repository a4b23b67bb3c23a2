"""Text typed at the start of a running hole: it stays, everything else adapts."""

from typing import Any

import pytest
import torch
from dlmd.decode import (
    Canvas,
    Frame,
    Hole,
    InfillSettings,
    Part,
    Pin,
    Tokenizer,
    infill,
)
from dlmd.decode.pins import written
from dlmd.model import Dream, load
from dlmd.profiles import Profile, for_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.tiny import tiny_model_folder

MASK = 9
Tiny = tuple[Dream, Tokenizer, Profile]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tiny_model_folder(tmp_path_factory.mktemp("model"))
    return load(folder), Tokenizer.load(folder), for_folder(folder)


def run(
    tiny: Tiny, parts: list[Part], pins: dict[int, list[Pin]], **choices: Any
) -> list[Frame]:
    """All frames; `pins[n]` are sent, one at a frame, from the n-th frame on."""
    states = infill(*tiny, parts, InfillSettings(**{"seed": 0} | choices))
    frames, waiting = [next(states)], [] if 1 not in pins else list(pins[1])
    while True:
        try:
            pin = waiting.pop(0) if waiting else None
            frames.append(states.send(pin))
        except StopIteration:
            return frames
        waiting += pins.get(len(frames), [])


def finals(frames: list[Frame]) -> list[list[str]]:
    return [frame.texts for frame in frames if frame.texts is not None]


# ---- on tokens ----


def canvas(*rows: list[int]) -> Canvas:
    return Canvas(torch.tensor(rows), mask_id=MASK)


def test_what_only_fills_masks_keeps_the_rest() -> None:
    before = canvas([1, MASK, 3, MASK, 5, 8], [1, MASK, MASK, MASK, MASK, 8])
    after, rest = written(before, range(1, 5), [7, 3])
    assert after.tokens_BT.tolist() == [[1, 7, 3, MASK, 5, 8], [1, 7, 3, MASK, MASK, 8]]
    assert rest == range(3, 5) and before.tokens_BT[0, 1] == MASK


def test_what_contradicts_masks_the_rest_of_that_row() -> None:
    before = canvas([1, 2, MASK, 4, 5, 8], [1, 7, MASK, 4, 5, 8])
    after, rest = written(before, range(1, 5), [7])
    assert after.tokens_BT.tolist() == [
        [1, 7, MASK, MASK, MASK, 8],
        [1, 7, MASK, 4, 5, 8],
    ]
    assert rest == range(2, 5)


def test_more_than_the_hole_holds_fills_it() -> None:
    after, rest = written(canvas([1, MASK, MASK, 8]), range(1, 3), [4, 5, 6])
    assert after.tokens_BT.tolist() == [[1, 4, 5, 8]] and rest == range(3, 3)


# ---- on a running request ----


@pytest.mark.parametrize("mode", ["exact", "quality", "fast"])
def test_the_text_stays_and_the_run_goes_on(tiny: Tiny, mode: str) -> None:
    parts: list[Part] = ["x = ", Hole(length=12), "\ny = ", Hole(length=3), "\n"]
    how: dict[str, Any] = {"mode": mode, "tokens_per_step": 1}
    frames = run(tiny, parts, {3: [Pin(hole=0, text="typed é")]}, **how)
    (texts,) = finals(frames)
    assert texts[0].startswith("typed é") and len(texts[0]) > len("typed é")
    for frame in frames[3:]:
        first = frame.holes[0][0]
        assert isinstance(first, str) and first.startswith("typed é")
    assert [frame.step for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1].step == frames[-1].of
    if mode == "quality":  # makes a step of a near tie again, by a full forward
        assert frames[-1].forwards_cached <= len(frames) <= frames[-1].forwards
    else:
        assert frames[-1].forwards == len(frames)  # no step was lost, none repeated
    if mode == "fast":
        assert frames[-1].forwards_full == 1  # the window held the change


def test_text_that_stands_there_already_changes_nothing(tiny: Tiny) -> None:
    parts: list[Part] = ["x = ", Hole(length=6), "\n"]
    (alone,) = finals(run(tiny, parts, {}))
    start = alone[0][:2]
    with_initial: list[Part] = ["x = ", Hole(max_tokens=12, initial="def f"), "\n"]
    for pins in ({3: [Pin(hole=0, text="def")]}, {}):
        assert finals(run(tiny, with_initial, pins)) == finals(
            run(tiny, with_initial, {})
        )
    late = run(tiny, parts, {5: [Pin(hole=0, text=start)]})
    assert finals(late)[0][0].startswith(start)


def test_of_two_pins_the_newer_holds(tiny: Tiny) -> None:
    parts: list[Part] = ["x = ", Hole(length=10), "\n"]
    pins = {2: [Pin(hole=0, text="ab")], 4: [Pin(hole=0, text="abcd")]}
    (texts,) = finals(run(tiny, parts, pins))
    assert texts[0].startswith("abcd")
    pins = {2: [Pin(hole=0, text="abcd")], 4: [Pin(hole=0, text="xy")]}
    (texts,) = finals(run(tiny, parts, pins))
    assert texts[0].startswith("xy") and not texts[0].startswith("xycd")


def test_a_pin_that_fills_all_there_is_ends_the_run(tiny: Tiny) -> None:
    parts: list[Part] = ["x = ", Hole(length=4), "\n"]
    long = "much longer than the hole"
    frames = run(tiny, parts, {2: [Pin(hole=0, text=long)]})
    assert finals(frames) == [[long]] and len(frames) == 3


def test_a_pin_where_the_model_had_ended_the_hole(tiny: Tiny) -> None:
    parts: list[Part] = ["x = ", Hole(max_tokens=16), "\n", Hole(max_tokens=8), "\n"]
    frames = run(tiny, parts, {1: [Pin(hole=1, text="text = 1")]})
    (texts,) = finals(frames)
    assert texts[1].startswith("text = 1")


def test_every_candidate_hears_it(tiny: Tiny) -> None:
    parts: list[Part] = ["x = ", Hole(length=8), "\n"]
    frames = run(tiny, parts, {3: [Pin(hole=0, text="both")]}, n=2, temperature=1.0)
    texts = finals(frames)
    assert len(texts) == 2 and all(text[0].startswith("both") for text in texts)


@pytest.mark.parametrize(
    ("pin", "said"),
    [
        (Pin(hole=1, text="x"), "hole 1 is pinned and there are 1"),
        (Pin(hole=-1, text="x"), "hole -1 is pinned"),
        (Pin(hole=0, text="\ud800"), "half"),
    ],
)
def test_a_pin_that_cannot_be(tiny: Tiny, pin: Pin, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run(tiny, ["x", Hole(length=4)], {1: [pin]})


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 1), st.text("ab é\n", max_size=6)),
        max_size=4,
    ),
    st.sampled_from(["exact", "quality", "fast"]),
    st.booleans(),
    st.integers(1, 2),
)
def test_any_pins_at_any_time(
    tiny: Tiny, sent: list[tuple[int, int, str]], mode: str, own: bool, n: int
) -> None:
    pins: dict[int, list[Pin]] = {}
    for when, hole, text in sent:
        pins.setdefault(when, []).append(Pin(hole=hole, text=text))
    gap = Hole(max_tokens=9, initial="a") if own else Hole(length=9)
    frames = run(tiny, ["x = ", gap, "\n", gap, "y"], pins, mode=mode, n=n)
    texts = finals(frames)
    assert len(texts) == n
    masks = [
        sum(p for h in f.holes for p in h if isinstance(p, int)) for f in frames[-n:]
    ]
    assert masks == [0] * n
