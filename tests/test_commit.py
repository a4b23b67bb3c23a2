"""Schedules against recorded ones, and draws against torch's own."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import schedule
from dlmd.decode.commit import best_of_each_row, shaken, timesteps
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDED = json.loads((Path(__file__).parent / "golden" / "schedules.json").read_text())
EPS = {"dream_eps1e-3": 1e-3, "diffucoder_eps1e-12": 1e-12}


@pytest.mark.parametrize(
    "case", RECORDED["cases"], ids=lambda c: f"{c['n_masks']}-{c['steps']}"
)
def test_published_schedules(case: dict[str, Any]) -> None:
    for name, eps in EPS.items():
        wanted = [count for count, times in case[name] for _ in range(times)]
        assert schedule(case["n_masks"], case["steps"], eps) == wanted


@pytest.mark.parametrize("name", RECORDED["timesteps_float32_hex"])
def test_timesteps_bit_for_bit(name: str) -> None:
    steps, eps = name.removeprefix("steps").split("_eps")
    times = timesteps(int(steps), float(eps)).numpy().astype("<f4")
    assert [t.tobytes().hex() for t in times] == RECORDED["timesteps_float32_hex"][name]


@given(st.integers(0, 200), st.integers(1, 300))
def test_even_schedules_have_no_empty_step(masks: int, steps: int) -> None:
    counts = schedule(masks, steps, kind="even")
    assert len(counts) == min(masks, steps) and sum(counts) == masks
    assert not counts or 1 <= min(counts) <= max(counts) <= min(counts) + 1


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(1, 60), st.sampled_from([1e-3, 1e-12]))
def test_published_schedules_spend_every_mask(
    masks: int, steps: int, eps: float
) -> None:
    counts = schedule(masks, steps, eps)
    assert len(counts) == steps and sum(counts) == masks and min(counts) >= 0


@pytest.mark.parametrize(("masks", "steps"), [(-1, 1), (1, 0)])
def test_impossible_schedules(masks: int, steps: int) -> None:
    with pytest.raises(ValueError, match="at least 0 masks and 1 step"):
        schedule(masks, steps)


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="published or even"):
        schedule(1, 1, kind="odd")


def test_best_of_each_row_prefers_the_left_among_equals() -> None:
    row_N = torch.tensor([0, 0, 0, 1, 1])
    rank_N = torch.tensor([0.5, 0.9, 0.9, 0.1, 0.1])
    chosen_N = best_of_each_row(row_N, rank_N, [1, 1])
    assert chosen_N.tolist() == [False, True, False, True, False]


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_shaken_ranks_are_multinomial_draws(seed: int, count: int) -> None:
    masked_BT = torch.tensor([[False, True, True, False, True, True, True, True]])
    rank_N = torch.linspace(-1, 1, 6)
    rank_BT = torch.full((1, 8), float("-inf")).masked_scatter(masked_BT, rank_N)
    generator = torch.Generator().manual_seed(seed)
    wanted = rank_BT.softmax(-1).multinomial(count, generator=generator)[0]
    shaken_N = shaken(rank_N, masked_BT, torch.Generator().manual_seed(seed))
    got = masked_BT[0].nonzero()[:, 0][shaken_N.topk(count).indices]
    assert sorted(got.tolist()) == sorted(wanted.tolist())


def test_shaken_ranks_survive_a_tiny_temperature() -> None:
    rank_N = torch.tensor([-3.0, -1.0, -2.0]) / 1e-6
    masked_BT = torch.ones(1, 3, dtype=torch.bool)
    shaken_N = shaken(rank_N, masked_BT, torch.Generator().manual_seed(0))
    assert shaken_N.argsort(descending=True).tolist() == [1, 2, 0]
