"""Views, scores, advantages and the loss: by hand, by property, and against what the
published trainer computes on a tiny model."""

import json
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.model import Dream, load
from dlmd_finetune.rl.loss import (
    DISTANCES,
    coupled_views,
    draw_views,
    grpo_loss,
    leave_one_out,
    released_scores,
    shares,
    token_scores,
    watch,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
PADDING = 509
RECORDED: dict[str, Any] = json.loads((GOLDEN / "coupled_grpo.json").read_text())


@pytest.fixture(scope="module")
def model() -> Dream:
    return load(GOLDEN / "tiny_dream")


def fills() -> tuple[Tensor, Tensor]:
    """The recorded documents, and which of their tokens were filled in."""
    prompts, ends = (
        torch.tensor(RECORDED[k]) for k in ("prompt_ids", "completion_ids")
    )
    target_BT = torch.cat([torch.zeros_like(prompts), torch.ones_like(ends)], dim=1)
    return torch.cat([prompts, ends], dim=1), target_BT.bool()


def ended(view_BS: Any, like_BT: Tensor) -> Tensor:
    """A view of the completions as one of the whole documents."""
    view_BT = torch.zeros_like(like_BT)
    view_BT[:, -len(view_BS[0]) :] = torch.tensor(view_BS).bool()
    return view_BT


# ---- against the published trainer


def released(model: Dream, case: dict[str, Any]) -> Tensor:
    tokens_BT, target_BT = fills()
    view_BT = ended(case["mask_pass2"], target_BT)
    other_BT = target_BT & ~view_BT
    full_BT, own_BT, rest_BT = (
        token_scores(model, tokens_BT, target_BT, masked_BT)
        for masked_BT in (target_BT, view_BT, other_BT)
    )
    return released_scores(full_BT, own_BT, rest_BT, view_BT, case["mask_ratio_t"])


@pytest.mark.parametrize("case", RECORDED["logp_cases"])
def test_released_scores_are_those_of_the_published_trainer(
    model: Dream, case: dict[str, Any]
) -> None:
    with torch.no_grad():
        found = released(model, case)
    recorded = torch.tensor(case["per_token_logps"])
    torch.testing.assert_close(
        found[:, -recorded.shape[1] :], recorded, atol=2e-4, rtol=0
    )


@pytest.mark.parametrize("case", RECORDED["loss_cases"], ids=lambda c: c["name"])
def test_loss_and_gradients_are_those_of_the_published_trainer(
    case: dict[str, Any],
) -> None:
    model = load(GOLDEN / "tiny_dream")
    scores = RECORDED["logp_cases"][case["logp_case"]]
    old_BS, ref_BS = (
        torch.tensor(scores[f"{k}_per_token_logps"]) for k in ("old", "ref")
    )
    new_BS = released(model, scores)[:, -old_BS.shape[1] :]
    given: dict[str, Any] = {
        "clip_low": case["epsilon"],
        "clip_high": case["epsilon"],
        "kl_form": "k3",
        "ref_BT": ref_BS,
    }
    target_BS = torch.tensor(RECORDED["completion_mask"]).bool()
    advantages_B = torch.tensor(case["advantages"])
    loss = grpo_loss(new_BS, old_BS, advantages_B, target_BS, kl=case["beta"], **given)
    seen = watch(new_BS, old_BS, advantages_B, target_BS, **given)
    assert float(loss.detach()) == pytest.approx(case["loss"], abs=1e-5)
    assert seen.ratio == pytest.approx(case["mean_ratio"], abs=1e-4)
    assert seen.clipped == pytest.approx(case["clip_fraction"], abs=1e-6)
    assert seen.distance == pytest.approx(case["mean_kl"], abs=1e-3)
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    # Their embedding learns nothing for padding, ours is never shown any where it learns.
    grads["model.embed_tokens.weight"][PADDING] = 0
    for name, norm in case["grad_norms"].items():
        assert float(grads[name].norm()) == pytest.approx(norm, rel=1e-3), name
    whole = torch.tensor(case["grad_model.norm.weight"])
    torch.testing.assert_close(grads["model.norm.weight"], whole, rtol=1e-3, atol=1e-5)


def test_advantages_are_those_of_the_published_trainer() -> None:
    case = RECORDED["advantage_case"]
    found = leave_one_out(torch.tensor(case["rewards"]))
    torch.testing.assert_close(found, torch.tensor(case["loo_advantages_repo"]))


# ---- views

targets = st.lists(st.integers(0, 12), min_size=1, max_size=5).map(
    lambda counts: (
        torch.arange(14)[None].ge(2)
        & (torch.arange(14)[None] < 2 + torch.tensor(counts)[:, None])
    )
)


@given(targets, st.floats(0, 1), st.integers(0, 99))
def test_each_target_is_masked_in_exactly_one_view_of_a_pair(
    target_BT: Tensor, ratio: float, seed: int
) -> None:
    B = len(target_BT)
    seeds_B = torch.arange(seed, seed + B)
    first, second = coupled_views(target_BT, torch.full((B,), ratio), seeds_B)
    assert torch.equal(first ^ second, target_BT) and not (first & second).any()
    for n, count in zip(
        target_BT.sum(-1).tolist(), first.sum(-1).tolist(), strict=True
    ):
        wanted = int((torch.tensor(ratio) * n).round())
        assert count == (n if n < 2 else min(max(wanted, 1), n - 1))


def test_a_draw_belongs_to_its_row_not_to_its_batch() -> None:
    target_BT = torch.tensor([[0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]])
    ratio_B, seeds_B = torch.tensor([0.5, 0.5]), torch.tensor([4, 5])
    both, _ = coupled_views(target_BT, ratio_B, seeds_B)
    alone, _ = coupled_views(target_BT[1:, 1:], ratio_B[1:], seeds_B[1:])
    assert torch.equal(both[1:, 1:], alone)


def test_every_place_is_as_likely_and_the_shares_spread() -> None:
    target_BT = torch.ones(4000, 10, dtype=torch.bool)
    first_BT, _ = draw_views("coupled", target_BT, range(4000))
    assert (first_BT.float().mean(dim=0) - 0.5).abs().max() < 0.03
    assert set(first_BT.sum(dim=-1).tolist()) == set(range(2, 9))
    assert ((shares(range(99)) >= 0.2) & (shares(range(99)) <= 0.8)).all()


def test_independent_views_overlap_and_leave_gaps() -> None:
    target_BT = torch.ones(50, 10, dtype=torch.bool)
    first, second = draw_views("indep", target_BT, range(50))
    assert (first & second).any() and (~first & ~second).any()


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    draw_views("indep", torch.ones(2, 5, dtype=torch.bool), [3, 4])
    assert torch.equal(torch.rand(3), expected)


def test_an_estimator_nobody_knows() -> None:
    with pytest.raises(ValueError, match="--estimator is 'best'; expected coupled"):
        draw_views("best", torch.ones(1, 2, dtype=torch.bool), [0])


# ---- scores


def test_a_view_scores_its_targets_given_what_is_not_masked(model: Dream) -> None:
    tokens_BT, target_BT = fills()
    view_BT, _ = draw_views("coupled", target_BT, range(len(tokens_BT)))
    with torch.no_grad():
        found = token_scores(model, tokens_BT, target_BT, view_BT)
        masked_BT = tokens_BT.masked_fill(view_BT, RECORDED["mask_token_id"])
        sure = model(masked_BT).log_softmax(dim=-1)
    for b, t in target_BT.nonzero().tolist():
        expected = sure[b, t - 1, tokens_BT[b, t]]
        torch.testing.assert_close(found[b, t], expected, atol=1e-4, rtol=0)
    assert not found[~target_BT].any()


def test_padding_changes_no_score(model: Dream) -> None:
    tokens_BT, target_BT = fills()
    view_BT, _ = draw_views("coupled", target_BT, range(len(tokens_BT)))
    pad = torch.nn.functional.pad
    wide_BT, wide_target_BT, wide_view_BT = (
        pad(each, (0, 3)) for each in (tokens_BT, target_BT, view_BT)
    )
    valid_BT = torch.ones_like(wide_BT, dtype=torch.bool)
    valid_BT[:, -3:] = False
    with torch.no_grad():
        plain = token_scores(model, tokens_BT, target_BT, view_BT)
        padded = token_scores(model, wide_BT, wide_target_BT, wide_view_BT, valid_BT)
    torch.testing.assert_close(padded[:, :-3], plain, atol=1e-4, rtol=0)


def test_chunks_and_recomputed_layers_give_the_same_scores_and_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens_BT, target_BT = fills()
    view_BT, _ = draw_views("coupled", target_BT, range(len(tokens_BT)))
    found = []
    for thrifty in (False, True):
        model = load(GOLDEN / "tiny_dream")
        if thrifty:
            model.recompute = True
            monkeypatch.setattr("dlmd.model.dream.CHUNK_BYTES", 2048 * 5)
            monkeypatch.setattr("dlmd_finetune.rl.loss.ALL_LOGITS", 0)
        scores_BT = token_scores(model, tokens_BT, target_BT, view_BT)
        scores_BT.sum().backward()
        assert model.lm_head.weight.grad is not None
        found.append((scores_BT.detach(), model.lm_head.weight.grad))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_a_target_at_the_very_start_has_no_row_before_it(model: Dream) -> None:
    first = torch.tensor([[True, False]])
    with pytest.raises(ValueError, match="a target is at position 0"):
        token_scores(model, torch.zeros(1, 2, dtype=torch.long), first, first)


def test_no_targets_have_no_scores(model: Dream) -> None:
    tokens_BT, target_BT = fills()
    nothing_BT = torch.zeros_like(target_BT)
    assert not token_scores(model, tokens_BT, nothing_BT, nothing_BT).any()


# ---- loss


CLIP: dict[str, Any] = {"clip_low": 0.2, "clip_high": 0.28}


def test_the_clip_has_two_bounds_and_binds_only_where_it_costs() -> None:
    new = torch.tensor([[0.0], [0.5], [-0.5], [0.5], [-0.5]]).requires_grad_()
    advantages_B = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    target = torch.ones(5, 1, dtype=torch.bool)
    old = torch.zeros(5, 1)
    loss = grpo_loss(new, old, advantages_B, target, **CLIP)
    loss.backward()
    assert new.grad is not None
    assert (new.grad[:, 0] != 0).tolist() == [True, False, False, True, True]
    assert watch(new, old, advantages_B, target, **CLIP).clipped == pytest.approx(0.4)
    gains = [1.0, 1.28, -0.8, -exp(0.5), exp(-0.5)]
    assert float(loss.detach()) == pytest.approx(-sum(gains) / 5, rel=1e-6)


@pytest.mark.parametrize("wild", [9.0, 1e4, float("-inf"), float("nan")])
def test_what_is_no_target_counts_nothing(wild: float) -> None:
    new = torch.tensor([[0.1, wild]]).requires_grad_()
    target = torch.tensor([[True, False]])
    loss = grpo_loss(
        new, torch.zeros(1, 2), torch.ones(1), target, kl=0.1, ref_BT=torch.zeros(1, 2),
        **CLIP,
    )  # fmt: skip
    loss.backward()
    assert new.grad is not None and new.grad[0, 1] == 0
    expected = -torch.tensor(0.1).exp().item() + 0.1 * 0.1**2 / 2
    assert float(loss.detach()) == pytest.approx(expected)


def test_no_advantage_and_no_distance_teach_nothing() -> None:
    new = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.ones(2, 4, dtype=torch.bool)
    grpo_loss(new, new.detach() - 0.1, torch.zeros(2), target, **CLIP).backward()
    assert new.grad is not None and not new.grad.any()


@pytest.mark.parametrize("form", DISTANCES)
@given(st.floats(-3, 3))
def test_a_distance_is_zero_at_home_and_positive_elsewhere(
    form: str, away: float
) -> None:
    assert float(DISTANCES[form](torch.tensor(0.0))) == 0
    assert float(DISTANCES[form](torch.tensor(away))) >= -1e-6  # rounding


def test_k2_pulls_towards_the_reference() -> None:
    new = torch.tensor([[-1.0]]).requires_grad_()
    target = torch.ones(1, 1, dtype=torch.bool)
    reference = torch.tensor([[-2.0]])
    grpo_loss(
        new, new.detach(), torch.zeros(1), target, kl=0.5, ref_BT=reference, **CLIP
    ).backward()
    assert new.grad is not None and float(new.grad) == pytest.approx(0.5)


def test_a_group_of_one_a_distance_to_nothing_and_one_nobody_knows() -> None:
    with pytest.raises(ValueError, match="1 rollout in a group"):
        leave_one_out(torch.ones(3, 1))
    one, target = torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"kl is 0\.1 and there is no reference"):
        grpo_loss(one, one, torch.ones(1), target, kl=0.1, **CLIP)
    with pytest.raises(ValueError, match="kl_form is 'k1'; give k2 or k3"):
        grpo_loss(one, one, torch.ones(1), target, kl_form="k1", **CLIP)
