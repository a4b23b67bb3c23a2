"""Views, scores, advantages and the loss: by hand, by property, and against what the
published trainer computes on a tiny model."""

import json
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.model import Dream, load
from dlmd_finetune.learning.loss import (
    by_spread,
    k2,
    k3,
    leave_one_out,
    mean_baseline,
    policy_loss,
)
from dlmd_finetune.learning.scores import (
    Fills,
    draw_views,
    masked_scores,
    pair_scores,
    released_scores,
)
from dlmd_finetune.learning.views import coupled_pairs, exact_masks
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
PADDING = 509
RECORDED: dict[str, Any] = json.loads((GOLDEN / "coupled_grpo.json").read_text())


@pytest.fixture(scope="module")
def model() -> Dream:
    return load(GOLDEN / "tiny_dream")


def fills() -> Fills:
    prompts, ends = (
        torch.tensor(RECORDED[k]) for k in ("prompt_ids", "completion_ids")
    )
    tokens_BT = torch.cat([prompts, ends], dim=1)
    at_S = torch.arange(prompts.shape[1], tokens_BT.shape[1])
    return Fills(
        tokens_BT=tokens_BT,
        at_BS=at_S.expand(len(tokens_BT), -1),
        scored_BS=torch.ones_like(ends, dtype=torch.bool),
        mask_id=RECORDED["mask_token_id"],
    )


# ---- against the published trainer


@pytest.mark.parametrize("case", RECORDED["logp_cases"])
def test_released_scores_are_those_of_the_published_trainer(
    model: Dream, case: dict[str, Any]
) -> None:
    first_BS = torch.tensor(case["mask_pass2"]).bool()
    with torch.no_grad():
        found = released_scores(model, fills(), first_BS, case["mask_ratio_t"])
    recorded = torch.tensor(case["per_token_logps"])
    torch.testing.assert_close(found, recorded, atol=2e-4, rtol=0)


@pytest.mark.parametrize("case", RECORDED["loss_cases"], ids=lambda c: c["name"])
def test_loss_and_gradients_are_those_of_the_published_trainer(
    case: dict[str, Any],
) -> None:
    model = load(GOLDEN / "tiny_dream")
    scores = RECORDED["logp_cases"][case["logp_case"]]
    first_BS = torch.tensor(scores["mask_pass2"]).bool()
    new_BS = released_scores(model, fills(), first_BS, scores["mask_ratio_t"])
    terms = policy_loss(
        new_BS,
        torch.tensor(scores["old_per_token_logps"]),
        torch.tensor(case["advantages"])[:, None],
        torch.tensor(RECORDED["completion_mask"]).bool(),
        low=case["epsilon"],
        high=case["epsilon"],
        reference=torch.tensor(scores["ref_per_token_logps"]),
        beta=case["beta"],
        distance="k3",
    )
    assert float(terms.loss.detach()) == pytest.approx(case["loss"], abs=1e-5)
    assert float(terms.ratio) == pytest.approx(case["mean_ratio"], abs=1e-4)
    assert float(terms.clipped) == pytest.approx(case["clip_fraction"], abs=1e-6)
    assert float(terms.distance) == pytest.approx(case["mean_kl"], abs=1e-3)
    terms.loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    # Their embedding learns nothing for padding, ours is never shown any where it learns.
    grads["model.embed_tokens.weight"][PADDING] = 0
    for name, norm in case["grad_norms"].items():
        assert float(grads[name].norm()) == pytest.approx(norm, rel=1e-3), name
    whole = torch.tensor(case["grad_model.norm.weight"])
    torch.testing.assert_close(grads["model.norm.weight"], whole, rtol=1e-3, atol=1e-5)


def test_advantages_are_those_of_the_published_trainer() -> None:
    case = RECORDED["advantage_case"]
    rewards = torch.tensor(case["rewards"])
    ours = {
        "loo_advantages_repo": leave_one_out(rewards),
        "mean_baseline_advantages_paper_default": mean_baseline(rewards),
        "loo_scaled_repo_scale_rewards_true": by_spread(
            leave_one_out(rewards), rewards
        ),
    }
    for name, found in ours.items():
        torch.testing.assert_close(found, torch.tensor(case[name]))


# ---- views

scored = st.lists(st.integers(1, 12), min_size=1, max_size=5).map(
    lambda counts: torch.arange(12)[None] < torch.tensor(counts)[:, None]
)


@given(scored, st.integers(1, 3), st.integers(0, 99))
def test_each_token_is_masked_in_exactly_one_view_of_a_pair(
    scored_BS: Tensor, pairs: int, seed: int
) -> None:
    views = coupled_pairs(scored_BS, pairs, torch.Generator().manual_seed(seed))
    assert views.shape == (pairs, 2, *scored_BS.shape)
    for first, second in views:
        assert torch.equal(first ^ second, scored_BS) and not (first & second).any()
        # Wherever there are two tokens, neither view is empty.
        several = scored_BS.sum(dim=-1) > 1
        assert (first.any(dim=-1) & second.any(dim=-1))[several].all()


@given(scored, st.integers(0, 99))
def test_counts_are_exact(scored_BS: Tensor, seed: int) -> None:
    share_B = torch.full((len(scored_BS),), 0.5)
    found = exact_masks(scored_BS, share_B, torch.Generator().manual_seed(seed))
    count_B = scored_BS.sum(dim=-1)
    wanted_B = (count_B * 0.5).round().clamp(min=1)
    assert torch.equal(found.sum(dim=-1), wanted_B.long())


def test_every_place_is_as_likely_and_the_shares_spread() -> None:
    scored_BS = torch.ones(4000, 10, dtype=torch.bool)
    first_BS = coupled_pairs(scored_BS, 1, torch.Generator().manual_seed(5))[0, 0]
    assert (first_BS.float().mean(dim=0) - 0.5).abs().max() < 0.03
    shares = set(first_BS.sum(dim=-1).tolist())
    assert shares == set(range(2, 9))


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    draw_views("coupled", torch.ones(2, 5, dtype=torch.bool), 2, torch.Generator())
    assert torch.equal(torch.rand(3), expected)


def test_an_estimator_nobody_knows() -> None:
    with pytest.raises(ValueError, match="--estimator is 'best'; expected coupled"):
        draw_views("best", torch.ones(1, 2, dtype=torch.bool), 1, torch.Generator())


# ---- scores


def test_a_view_scores_what_it_hides_given_the_rest(model: Dream) -> None:
    whole = fills()
    masked_BS = coupled_pairs(whole.scored_BS, 1, torch.Generator().manual_seed(0))[
        0, 0
    ]
    with torch.no_grad():
        found = masked_scores(model, whole, masked_BS)
        tokens_BT = whole.tokens_BT.clone()
        tokens_BT.scatter_(1, whole.at_BS, whole.tokens_BT.gather(1, whole.at_BS).masked_fill(masked_BS, whole.mask_id))  # fmt: skip
        sure = model(tokens_BT).log_softmax(dim=-1)
    for b, s in masked_BS.nonzero().tolist():
        at = int(whole.at_BS[b, s])
        expected = sure[b, at - 1, whole.tokens_BT[b, at]]
        torch.testing.assert_close(found[b, s], expected, atol=1e-4, rtol=0)
    assert not found[~masked_BS].any()


def test_a_hole_in_the_middle_is_scored_as_well(model: Dream) -> None:
    whole = fills()
    inside = Fills(
        tokens_BT=whole.tokens_BT,
        at_BS=torch.tensor([[3, 4, 5]] * 4),
        scored_BS=torch.ones(4, 3, dtype=torch.bool),
        mask_id=whole.mask_id,
    )
    views = draw_views("coupled", inside.scored_BS, 2, torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = torch.stack([pair_scores(model, inside, pair) for pair in views])
    assert found.shape == (2, 2, 4, 3) and (found.sum(dim=1) < 0).all()


def test_a_fill_at_the_very_start_has_no_row_before_it() -> None:
    with pytest.raises(ValueError, match="begins at position 0"):
        Fills(
            tokens_BT=torch.zeros(1, 3, dtype=torch.long),
            at_BS=torch.tensor([[0, 1]]),
            scored_BS=torch.ones(1, 2, dtype=torch.bool),
            mask_id=1,
        )


# ---- loss


def test_the_clip_has_two_bounds_and_binds_only_where_it_costs() -> None:
    new = torch.tensor([0.0, 0.5, -0.5, 0.5, -0.5]).requires_grad_()
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    counted = torch.ones(5, dtype=torch.bool)
    terms = policy_loss(new, torch.zeros(5), advantages, counted, low=0.2, high=0.28)
    terms.loss.backward()
    assert new.grad is not None
    assert (new.grad != 0).tolist() == [True, False, False, True, True]
    assert float(terms.clipped) == pytest.approx(0.4)
    gains = [1.0, 1.28, -0.8, -exp(0.5), exp(-0.5)]
    assert float(terms.loss.detach()) == pytest.approx(-sum(gains) / 5, rel=1e-6)


def test_what_is_not_counted_counts_nothing() -> None:
    new = torch.tensor([0.1, 9.0]).requires_grad_()
    counted = torch.tensor([True, False])
    terms = policy_loss(new, torch.zeros(2), torch.ones(2), counted)
    terms.loss.backward()
    assert new.grad is not None and new.grad[1] == 0
    assert float(terms.loss.detach()) == pytest.approx(-torch.tensor(0.1).exp().item())


@pytest.mark.parametrize("distance", [k2, k3])
@given(st.floats(-3, 3))
def test_a_distance_is_zero_at_home_and_positive_elsewhere(
    distance: Any, away: float
) -> None:
    here = torch.tensor(-1.0)
    assert float(distance(here, here)) == 0
    assert float(distance(here, here + away)) >= -1e-6  # rounding


def test_k2_pulls_towards_the_reference() -> None:
    new = torch.tensor([-1.0]).requires_grad_()
    reference = torch.tensor([-2.0])
    terms = policy_loss(
        new, new.detach(), torch.zeros(1), torch.ones(1, dtype=torch.bool),
        reference=reference, beta=0.5,
    )  # fmt: skip
    terms.loss.backward()
    assert new.grad is not None and float(new.grad) == pytest.approx(0.5)


def test_a_group_of_one_and_a_distance_to_nothing() -> None:
    with pytest.raises(ValueError, match="1 rollout in a group"):
        leave_one_out(torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"beta is 0\.1 and there is no reference"):
        one = torch.ones(1)
        policy_loss(one, one, one, one.bool(), beta=0.1)
