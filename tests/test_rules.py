"""Commit rules, by hand and by property: rows are independent, none stands still."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from dlmd.decode import DecodeSettings
from dlmd.decode.commit import quota, released
from dlmd.decode.rules import (
    Reading,
    decide,
    highest,
    narrowest,
    placed,
    quotas,
    read,
)
from hypothesis import given, settings
from hypothesis import strategies as st

MASK = 3
few = settings(max_examples=50, deadline=None)


def reading(top: list[float], entropy: list[float] | None = None) -> Reading:
    """One row with these probabilities; ranked by them unless entropies are given."""
    top_BM = torch.tensor([top])
    entropy_BM = 1 - top_BM if entropy is None else torch.tensor([entropy])
    return Reading(
        x0_BM=torch.zeros_like(top_BM, dtype=torch.long),
        rank_BM=-entropy_BM,
        top_BM=top_BM,
        entropy_BM=entropy_BM,
        lead_BM=top_BM * 10,
    )


def chosen(seen: Reading, closed: tuple[int, ...] = (), **choices: Any) -> list[int]:
    open_BM = torch.ones_like(seen.top_BM, dtype=torch.bool)
    open_BM[0, list(closed)] = False
    chosen_BM = decide(
        seen,
        open_BM,
        DecodeSettings(**choices),
        count_B=torch.tensor([2]),
        order_BM=torch.arange(open_BM.shape[1])[None],
        begun_B=torch.tensor([open_BM.shape[1]]),
    )
    return chosen_BM[0].nonzero()[:, 0].tolist()


# ---- each rule ----


def test_the_schedule_takes_the_surest() -> None:
    seen = reading([0.1, 0.9, 0.5, 0.9])
    assert chosen(seen) == [1, 3]
    assert chosen(seen, closed=(1,)) == [2, 3]
    assert chosen(reading([0.4] * 4)) == [0, 1]  # of equals the leftmost


def test_a_threshold_takes_all_above_it_or_the_best() -> None:
    seen = reading([0.1, 0.95, 0.5, 0.9])
    assert chosen(seen, rule="threshold") == [1, 3]
    assert chosen(seen, rule="threshold", threshold=0.4) == [1, 2, 3]
    assert chosen(seen, rule="threshold", threshold=1.0) == [1]
    assert chosen(seen, closed=(1, 3), rule="threshold") == [2]


def test_a_factor_takes_as_many_as_are_sure_together() -> None:
    # By probability 0.99, 0.9, 0.7: 2 * 0.01, 3 * 0.1, 4 * 0.3 = 1.2.
    seen = reading([0.9, 0.7, 0.99])
    assert chosen(seen, rule="factor") == [0, 2]
    assert chosen(seen, rule="factor", factor=1.3) == [0, 1, 2]
    assert chosen(seen, rule="factor", factor=0.01) == [2]
    assert chosen(seen, closed=(2,), rule="factor") == [0, 1]  # 3 * 0.3


def test_an_entropy_bound_sums_all_but_the_least_sure() -> None:
    seen = reading([0.5] * 4, entropy=[0.05, 2.0, 0.04, 0.02])
    assert chosen(seen, rule="entropy_bound", entropy_bound=0.0) == [3]
    assert chosen(seen, rule="entropy_bound", entropy_bound=0.03) == [2, 3]
    assert chosen(seen, rule="entropy_bound", entropy_bound=0.1) == [0, 2, 3]
    assert chosen(seen, rule="entropy_bound", entropy_bound=0.2) == [0, 1, 2, 3]
    # The bound is on what is committed beside the last: one token always fits.
    assert chosen(seen, closed=(0, 2, 3), rule="entropy_bound") == [1]


def test_blocks_go_from_left_to_right() -> None:
    seen = reading([0.1, 0.2, 0.95, 0.99])
    assert chosen(seen, block=2) == [0, 1]
    assert chosen(seen, rule="threshold", block=2) == [1]
    assert chosen(seen, closed=(1,), rule="threshold", block=2) == [0]
    assert chosen(seen, closed=(0, 1), rule="threshold", block=2) == [2, 3]
    assert chosen(seen, closed=(0,), block=3) == [1, 2]


def test_a_clear_lead_finishes_and_less_will_do_later() -> None:
    seen = reading([0.1, 0.4, 0.1, 0.2])  # leads 1, 4, 1, 2
    quick: dict[str, Any] = {"rule": "threshold", "threshold": 1.0}
    assert chosen(seen, **quick, finish=0.6) == [0, 1, 2, 3]  # 2 >= 3 * 0.6
    assert chosen(seen, **quick, finish=0.7) == [1]
    assert chosen(seen, closed=(0, 2), **quick, finish=1.5) == [1, 3]  # 3 >= 2 * 1.5
    assert chosen(seen, closed=(0, 1, 2), **quick, finish=2.0) == [3]


# ---- what always holds ----

rules = st.sampled_from(["threshold", "factor", "entropy_bound"])
numbers = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9)


@few
@given(numbers, rules, st.data())
def test_open_places_only_and_at_least_one(
    top: list[float], rule: str, data: st.DataObject
) -> None:
    closed = data.draw(st.sets(st.integers(0, len(top) - 1)))
    block = data.draw(st.sampled_from([None, 1, 4]))
    found = chosen(reading(top), tuple(closed), rule=rule, block=block)
    assert set(found) <= set(range(len(top))) - closed
    assert bool(found) == (len(closed) < len(top))


@few
@given(numbers, st.integers(0, 9))
def test_highest_is_a_sort(top: list[float], count: int) -> None:
    rank_BM = torch.tensor([top])
    every_BM = torch.ones_like(rank_BM, dtype=torch.bool)
    found_BM = highest(rank_BM, every_BM, torch.tensor([count]))
    order = sorted(range(len(top)), key=lambda k: (-rank_BM[0, k].item(), k))
    assert found_BM[0].nonzero()[:, 0].tolist() == sorted(order[:count])
    assert placed(rank_BM, every_BM)[0].argsort().tolist() == order


@few
@given(
    st.integers(0, 200),
    st.integers(0, 40),
    st.integers(1, 40),
    st.sampled_from([1e-3, 1e-12]),
)
def test_quotas_are_those_of_single_rows(
    left: int, i: int, steps: int, eps: float
) -> None:
    for kind in ("published", "even"):
        if kind == "even" and i >= steps:
            continue
        share_B = torch.stack([released(i, steps, eps)])
        found_B = quotas(torch.tensor([left]), i, torch.tensor([steps]), share_B, kind)
        assert found_B.tolist() == [quota(left, i, steps, eps, kind)]


# ---- reading ----


def test_a_reading_by_hand() -> None:
    logits_BMV = torch.tensor([[[2.0, 1.0, 0.0, -1.0], [0.0, 0.5, 3.0, 9.0]]])
    probs_BMV = logits_BMV.softmax(dim=-1)
    entropy_BM = -(probs_BMV * probs_BMV.log()).sum(dim=-1)
    for algorithm in ("entropy", "maskgit_plus", "topk_margin"):
        how = DecodeSettings(algorithm=algorithm, finish=1.0)
        seen = read(logits_BMV.clone(), how, MASK)
        assert seen.x0_BM.tolist() == [[0, 2]]  # the mask is no choice
        assert torch.allclose(seen.top_BM, probs_BMV[0, [0, 1], [0, 2]])
        assert torch.allclose(seen.entropy_BM, entropy_BM, atol=1e-5)
        assert seen.lead_BM is not None
        assert torch.allclose(seen.lead_BM, torch.tensor([[1.0, 2.5]]))
        rank_BM = {
            "entropy": -entropy_BM,
            "maskgit_plus": seen.top_BM,
            "topk_margin": seen.top_BM - probs_BMV[0, [0, 1], [1, 1]],
        }[algorithm]
        assert torch.allclose(seen.rank_BM, rank_BM, atol=1e-5)


@pytest.mark.parametrize("mask_id", [-1, 4])
def test_a_mask_without_a_logit_bars_nothing(mask_id: int) -> None:
    seen = read(torch.tensor([[[0.0, 1.0, 2.0, 9.0]]]), DecodeSettings(), mask_id)
    assert seen.x0_BM.tolist() == [[3]]


def test_half_precision_is_read_in_float32() -> None:
    halves = torch.tensor([[[2.0, 1.0, 0.0, -1.0]]]).bfloat16()
    seen = read(halves, DecodeSettings(), MASK)
    assert seen.rank_BM.dtype == seen.top_BM.dtype == torch.float32
    assert halves[0, 0, MASK] == -1.0


# ---- how near a choice was to another ----


def test_the_narrowest_lead_is_of_a_token_or_of_a_place() -> None:
    open_BM = torch.ones(1, 3, dtype=torch.bool)
    first_BM = torch.tensor([[True, False, False]])
    # Tokens lead by 8, 7 and 1; places by what their entropies differ.
    seen = reading([0.8, 0.7, 0.1], entropy=[1.0, 1.5, 2.0])
    assert narrowest(seen, open_BM, first_BM).item() == 0.5
    assert narrowest(seen, open_BM, open_BM).item() == pytest.approx(1.0)
    alone_BM = torch.tensor([[True, False, False]])
    assert narrowest(seen, alone_BM, first_BM).item() == pytest.approx(8.0)
    nothing_BM = torch.zeros_like(open_BM)
    assert narrowest(seen, nothing_BM, nothing_BM).item() > 1e30


@few
@given(st.lists(st.integers(0, 90), min_size=2, max_size=9, unique=True))
def test_a_nudge_of_less_than_half_the_narrowest_lead_changes_no_choice(
    hundredths: list[int],
) -> None:
    """What makes the bound one: were every number off by less, the choice would stand."""
    seen = reading([each / 100 for each in hundredths])
    open_BM = torch.ones_like(seen.top_BM, dtype=torch.bool)
    one = torch.tensor([1])
    first_BM = highest(seen.rank_BM, open_BM, one)
    room = float(narrowest(seen, open_BM, first_BM)) * 0.49
    signs_BM = torch.where(first_BM, -1.0, 1.0)
    nudged_BM = highest(seen.rank_BM + room * signs_BM, open_BM, one)
    assert torch.equal(nudged_BM, first_BM)


# ---- refusals ----


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rule": "luck"}, "rule is 'luck'; give schedule or threshold"),
        ({"threshold": 0.0}, "threshold is 0.0; give above 0"),
        ({"factor": -1.0}, "factor is -1.0"),
        ({"entropy_bound": -0.1}, "entropy_bound is -0.1"),
        ({"block": 0}, "block is 0; give at least 1"),
        ({"reach": -1}, "reach is -1"),
        ({"refresh_share": 1.5}, "refresh_share is 1.5"),
        ({"refresh_tokens": 0}, "refresh_tokens is 0"),
        ({"doubt": 0.0}, "doubt is 0.0"),
        ({"finish": 0.0}, "finish is 0.0"),
        ({"rule": "factor", "steps": 3}, "steps is 3 and rule 'factor'"),
        ({"rule": "factor", "temperature": 0.5}, "leave temperature"),
        ({"block": 4, "algorithm": "origin"}, "leave temperature"),
    ],
)
def test_settings_out_of_bounds(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(DecodeSettings(), **wrong)
