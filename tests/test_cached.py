"""The cached decoder against full forwards, on a small real network."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings, denoise, denoise_cached
from dlmd.decode.cached import window
from dlmd.decode.length_padding import EndsAtPadding
from dlmd.decode.loop import FullForwards
from dlmd.decode.places import find_places
from dlmd.model import Dream, load
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = Path(__file__).parent / "golden"
MASK, PAD = 511, 509
EVERY_STEP: dict[str, Any] = {"refresh_tokens": 1}
few = settings(max_examples=25, deadline=None)


@cache
def model() -> Dream:
    return load(GOLDEN / "tiny_dream").requires_grad_(False)


def row_of(holes: list[int], seed: int, around: int = 6) -> list[int]:
    """Text of `around` tokens before, between and after holes of these sizes."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.randint(0, 500, (around,), generator=generator).tolist()
    for masks in holes:
        row += [MASK] * masks
        row += torch.randint(0, 500, (around,), generator=generator).tolist()
    return row


def canvas_of(*rows: list[int]) -> Canvas:
    """Padding before every other row, after the rest."""
    longest = max(map(len, rows))
    tokens, valid = [], []
    for number, row in enumerate(rows):
        pad = [PAD] * (longest - len(row))
        tokens.append(pad + row if number % 2 else row + pad)
        here = [True] * len(row)
        gone = [False] * len(pad)
        valid.append(gone + here if number % 2 else here + gone)
    valid_BT = torch.tensor(valid)
    padded = None if bool(valid_BT.all()) else valid_BT
    return Canvas(torch.tensor(tokens), mask_id=MASK, valid_BT=padded)


def cached(canvas: Canvas, **choices: Any) -> list[Canvas]:
    return list(denoise_cached(model(), canvas, DecodeSettings(**choices)))


def exact(canvas: Canvas, **choices: Any) -> list[Canvas]:
    return list(denoise(model(), canvas, DecodeSettings(**choices)))


def same(one: list[Canvas], other: list[Canvas]) -> bool:
    first = [state.tokens_BT.tolist() for state in one]
    return first == [state.tokens_BT.tolist() for state in other]


many_holes = st.lists(st.integers(1, 7), min_size=1, max_size=3)
batches = st.lists(many_holes, min_size=1, max_size=3)
paces = st.sampled_from(
    [
        {},
        {"schedule": "even"},
        {"schedule": "even", "steps": 3},
        {"steps": 20},
        {"rule": "threshold", "threshold": 0.02},
        {"rule": "factor", "factor": 3.0},
        {"rule": "entropy_bound", "entropy_bound": 12.0},
        {"rule": "entropy_bound", "block": 2},
        {"schedule": "even", "block": 3},
        {"rule": "threshold", "finish": 0.4},
        {"algorithm": "topk_margin", "schedule": "even"},
        {"algorithm": "maskgit_plus", "temperature": 0.7, "seed": 3},
        {"algorithm": "origin", "seed": 4},
        {"temperature": 1.0, "alg_temp": 0.5, "top_p": 0.9, "seed": 5},
    ]
)


# ---- against full forwards ----


@pytest.mark.slow
@few
@given(batches, paces, st.integers(0, 1000))
def test_a_refresh_at_every_step_is_exact(
    rows: list[list[int]], pace: dict[str, Any], seed: int
) -> None:
    canvas = canvas_of(*(row_of(holes, seed + k) for k, holes in enumerate(rows)))
    assert same(cached(canvas, **pace, **EVERY_STEP), exact(canvas, **pace))


@pytest.mark.slow
@few
@given(batches, paces, st.integers(0, 1000))
def test_a_window_over_everything_is_exact(
    rows: list[list[int]], pace: dict[str, Any], seed: int
) -> None:
    canvas = canvas_of(*(row_of(holes, seed + k) for k, holes in enumerate(rows)))
    states = cached(canvas, **pace, reach=1000)
    assert same(states, exact(canvas, **pace))
    # Padding comes in no window: a row of it has nothing to say and nothing to keep.
    assert states[-1].forwards_full == 1


@pytest.mark.slow
@few
@given(
    batches,
    paces,
    st.integers(0, 8),
    st.none() | st.floats(0.01, 1),
    st.integers(0, 1000),
)
def test_what_always_holds(
    rows: list[list[int]],
    pace: dict[str, Any],
    reach: int,
    doubt: float | None,
    seed: int,
) -> None:
    before = canvas_of(*(row_of(holes, seed + k) for k, holes in enumerate(rows)))
    states = cached(before, **pace, reach=reach, refresh_share=0.5, doubt=doubt)
    every_step = "rule" in pace or pace.get("schedule") == "even"
    for after in states:
        kept_BT = ~before.masked_BT
        assert torch.equal(after.tokens_BT[kept_BT], before.tokens_BT[kept_BT])
        if every_step:
            open_B = before.masked_BT.any(dim=-1)
            fewer_B = after.masked_BT.sum(dim=-1) < before.masked_BT.sum(dim=-1)
            assert bool(fewer_B[open_B].all()) or "steps" in pace
        before = after
    assert not before.masked_BT.any()
    assert before.forwards == before.forwards_full + before.forwards_cached


@pytest.mark.slow
@few
@given(st.integers(1, 12), st.integers(0, 3), st.integers(0, 1000))
def test_a_run_uses_what_the_steps_before_it_committed(
    masks: int, reach: int, seed: int
) -> None:
    """The cache never falls behind its own tokens: a run of its own over a canvas half
    filled, with every key computed anew, says what the full forward says."""
    canvas = canvas_of(row_of([masks], seed))
    half = cached(canvas, schedule="even", reach=reach)[masks // 2]
    again = replace(half, masks_B=())
    pace: dict[str, Any] = {"schedule": "even"}
    assert same(cached(again, **pace, reach=1000), exact(again, **pace))


# ---- windows ----


def test_the_window_is_the_hole_its_scorers_and_their_neighbours() -> None:
    canvas = canvas_of(row_of([2, 3], 0, around=20))
    # Masks at 20..21 and 42..44, scored by 19..20 and 41..43.
    columns = window(canvas, find_places(canvas), 4).nonzero()[:, 0].tolist()
    assert columns == [*range(15, 26), *range(37, 49)]
    states = cached(canvas, schedule="even", reach=4)
    assert [state.forwards_full for state in states] == [1] * 5
    assert [state.forwards_cached for state in states] == [0, 1, 2, 3, 4]
    T = canvas.tokens_BT.shape[1]
    assert [state.query_rows for state in states] == [T + 23 * k for k in range(5)]


def test_a_mask_at_the_start_reads_its_own_row() -> None:
    canvas = canvas_of([MASK, MASK, 5, 6, *range(7, 40)])
    assert window(canvas, find_places(canvas), 0).nonzero()[:, 0].tolist() == [0, 1]
    assert same(
        cached(canvas, schedule="even", reach=1000), exact(canvas, schedule="even")
    )


# ---- looking again ----


@pytest.mark.parametrize(
    ("choice", "full"),
    [
        ({}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({"refresh_share": 1.0}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({"refresh_share": 0.5}, [1, 1, 1, 1, 2, 2, 2, 2]),
        ({"refresh_share": 0.25}, [1, 1, 2, 2, 3, 3, 4, 4]),
        ({"refresh_tokens": 3}, [1, 1, 1, 2, 2, 2, 3, 3]),
        ({"refresh_tokens": 3, "refresh_share": 0.25}, [1, 1, 2, 2, 3, 3, 4, 4]),
        ({"refresh_tokens": 1}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_full_forwards_come_by_what_was_committed(
    choice: dict[str, Any], full: list[int]
) -> None:
    canvas = canvas_of(row_of([8], 0))
    states = cached(canvas, schedule="even", **choice)
    assert [state.forwards_full for state in states] == full
    assert [state.forwards for state in states] == list(range(1, 9))


def test_a_narrow_choice_is_left_to_a_full_forward() -> None:
    """One whose windows say 8 by a hair where a full forward says 7, once in six steps."""

    class Torn:
        config = model().config
        windows = 0

        def new_cache(self, *, rows: int, capacity: int) -> Any:
            return model().new_cache(rows=rows, capacity=capacity)

        def __call__(self, tokens_BT: torch.Tensor, *_: Any, **how: Any) -> Any:
            whole = "slots_T" not in how
            self.windows += not whole
            logits_NV = torch.zeros(len(how["rows_N"]), 512)
            # Places differ too, else which one comes next would be in doubt at each step.
            logits_NV[:, 7] = 9.0 - torch.arange(len(logits_NV))
            if not whole and self.windows == 3:
                logits_NV[:, 8] = logits_NV[:, 7] + 0.05
            return logits_NV

    canvas = canvas_of(row_of([6], 0))
    for doubt, full, token in ((0.1, 2, 7), (0.04, 1, 8)):
        torn: Any = Torn()
        how = DecodeSettings(schedule="even", doubt=doubt)
        *_, last = denoise_cached(torn, canvas, how)
        assert (last.forwards_full, last.forwards_cached) == (full, 5)
        assert last.tokens_BT[0, 9] == token
    every = {"schedule": "even", "doubt": 1e9, "reach": 0}
    states = cached(canvas, **every)
    assert same(states, exact(canvas, schedule="even"))
    assert [states[-1].forwards_full, states[-1].forwards_cached] == [6, 5]


def test_a_last_look_marks_what_would_now_differ() -> None:
    canvas = canvas_of(row_of([12], 5))
    *states, last = cached(canvas, schedule="even", reach=0, verify=True)
    assert len(states) == 12 and all(s.doubtful_BT is None for s in states)
    assert torch.equal(last.tokens_BT, states[-1].tokens_BT)
    assert last.forwards_full == 2 and last.doubtful_BT is not None
    with torch.no_grad():
        logits_TV = model()(last.tokens_BT)[0].roll(1, dims=0)
    logits_TV[:, MASK] = -1e9
    would_T = logits_TV.argmax(dim=-1)
    wanted_T = (would_T != last.tokens_BT[0]) & canvas.masked_BT[0]
    assert torch.equal(last.doubtful_BT[0], wanted_T) and wanted_T.any()


# ---- caches that outlive a run ----


@pytest.mark.slow
@few
@given(st.integers(1, 10), st.integers(0, 9), st.integers(0, 1000))
def test_a_dropped_run_leaves_the_cache_usable(
    masks: int, steps: int, seed: int
) -> None:
    kept = model().new_cache(rows=1, capacity=64)
    pace = DecodeSettings(schedule="even", reach=2)
    dropped = denoise_cached(model(), canvas_of(row_of([10], seed)), pace, cache=kept)
    for _ in range(min(steps, masks)):
        next(dropped)
    dropped.close()
    canvas = canvas_of(row_of([masks], seed + 1, around=9))
    states = list(denoise_cached(model(), canvas, pace, cache=kept))
    assert same(states, cached(canvas, schedule="even", reach=2))


def test_a_cache_of_the_wrong_size_is_left_alone() -> None:
    kept = model().new_cache(rows=1, capacity=4)
    canvas = canvas_of(row_of([3], 1))
    pace = DecodeSettings(schedule="even")
    states = list(denoise_cached(model(), canvas, pace, cache=kept))
    assert same(states, cached(canvas, schedule="even")) and kept.length == 0


# ---- a canvas that somebody changes ----


@pytest.mark.slow
@few
@given(st.integers(2, 10), st.integers(0, 9), st.integers(1, 6), st.integers(0, 1000))
def test_a_pinned_token_stays_and_the_rest_goes_on(
    masks: int, after: int, pinned: int, seed: int
) -> None:
    canvas = canvas_of(row_of([masks], seed))
    after, pinned = min(after, masks - 2), min(pinned, masks)
    for decoder, how in (
        (denoise, DecodeSettings(schedule="even")),
        (denoise_cached, DecodeSettings(schedule="even", reach=1)),
        (denoise_cached, DecodeSettings(rule="entropy_bound", reach=1000)),
    ):
        states: Any = decoder(model(), canvas, how)
        state = next(states)
        for _ in range(after):
            state = next(states, state)
        changed_BT = state.tokens_BT.clone()
        changed_BT[0, 6 : 6 + pinned] = torch.arange(pinned) + 40
        sent = replace(state, tokens_BT=changed_BT)
        if not state.masked_BT.any():
            continue
        try:
            last = states.send(sent)
        except StopIteration:
            assert not sent.masked_BT.any()
            continue
        for last in states:  # noqa: B007 (the last one)
            pass
        assert last.tokens_BT[0, 6 : 6 + pinned].tolist() == list(
            range(40, 40 + pinned)
        )
        assert not last.masked_BT.any() and last.forwards_full == (
            last.forwards if decoder is denoise else 1
        )
        kept_BT = ~sent.masked_BT
        assert torch.equal(last.tokens_BT[kept_BT], changed_BT[kept_BT])


def test_a_change_outside_the_window_asks_for_a_full_forward() -> None:
    canvas = canvas_of(row_of([4], 0, around=30))
    states: Any = denoise_cached(
        model(), canvas, DecodeSettings(schedule="even", reach=2)
    )
    state = next(states)
    changed_BT = state.tokens_BT.clone()
    changed_BT[0, 3] = 77
    sent = states.send(replace(state, tokens_BT=changed_BT))
    assert (sent.forwards_full, sent.forwards_cached) == (2, 0)
    assert next(states).forwards_full == 2


# ---- holes of their own length ----


@pytest.mark.slow
@few
@given(st.lists(st.integers(1, 8), min_size=1, max_size=2), paces, st.integers(0, 1000))
def test_own_length_rules_hold_for_every_decoder(
    sizes: list[int], pace: dict[str, Any], seed: int
) -> None:
    row = row_of(sizes, seed)
    canvas = canvas_of(row)
    holes, start = [], 6
    for size in sizes:
        holes.append(range(start, start + size))
        start += size + 6
    # A few ordinary tokens play padding, so that a random network chooses it at times.
    pads = list(range(0, 500, 3))
    ending = EndsAtPadding(holes, pads, canvas)
    how = DecodeSettings(**pace)
    wanted = list(denoise(model(), canvas, how, ending=ending))
    for choice in ({"reach": 1000}, EVERY_STEP):
        how = DecodeSettings(**pace, **choice)
        assert same(list(denoise_cached(model(), canvas, how, ending=ending)), wanted)
    assert not wanted[-1].masked_BT.any()


def test_scorers_are_told_apart_by_their_work_only() -> None:
    canvas = canvas_of(row_of([3], 0))
    with torch.no_grad():
        places = find_places(canvas)
        logits_BMV, after = FullForwards(model()).score(canvas, places, [3])
    assert logits_BMV.shape == (1, 3, 512)
    assert (after.forwards_full, after.query_rows) == (1, canvas.tokens_BT.numel())
