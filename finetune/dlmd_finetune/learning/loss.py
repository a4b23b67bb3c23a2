"""Advantages, the clipped ratio and the distance to the reference: pure functions.

After GRPO (arXiv 2402.03300) with what DiffuCoder's trainer does differently: a baseline
that leaves the rollout itself out, no division by the group's spread, clipping with two
bounds. Must not know models, masks or rewards' meaning.

Shapes: G groups, K rollouts of a group; loss tensors have any shape, all the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SPREAD_FLOOR = 1e-4


def leave_one_out(rewards_GK: Tensor) -> Tensor:
    """Each reward less the mean of its group's others. ValueError for groups of one."""
    K = rewards_GK.shape[-1]
    if K < 2:
        raise ValueError(
            f"{K} rollout in a group; the baseline is the others' mean: give 2 or more"
        )
    total_G1 = rewards_GK.sum(dim=-1, keepdim=True)
    return rewards_GK - (total_G1 - rewards_GK) / (K - 1)


def mean_baseline(rewards_GK: Tensor) -> Tensor:
    """Each reward less its group's mean."""
    return rewards_GK - rewards_GK.mean(dim=-1, keepdim=True)


def by_spread(advantages_GK: Tensor, rewards_GK: Tensor) -> Tensor:
    """Divided by the group's standard deviation, as GRPO was published."""
    return advantages_GK / (rewards_GK.std(dim=-1, keepdim=True) + SPREAD_FLOOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The loss, and what to watch while it falls; all are single numbers."""

    loss: Tensor
    ratio: Tensor  # mean
    clipped: Tensor  # share of tokens where the clip is what counts
    distance: Tensor  # mean, in nats


def policy_loss(
    new: Tensor,
    old: Tensor,
    advantages: Tensor,
    counted: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.28,
    reference: Tensor | None = None,
    beta: float = 0.0,
    distance: str = "k2",
) -> Terms:
    """Mean over the `counted` places (bool) of the clipped ratio's loss plus `beta` times
    the distance to `reference`. Log-probabilities of the same tokens under the same masks;
    gradients flow through `new` alone. `advantages` has to broadcast."""
    if beta and reference is None:
        raise ValueError(
            f"beta is {beta} and there is no reference; give one, or beta 0"
        )
    ratio = (new - old.detach()).exp()
    bounded = ratio.clamp(1 - low, 1 + high)
    advantages = advantages.expand_as(ratio)
    gain = torch.minimum(ratio * advantages, bounded * advantages)
    away = torch.zeros_like(new)
    if reference is not None:
        away = DISTANCES[distance](new, reference.detach())
    binding = ((ratio < 1 - low) & (advantages < 0)) | (
        (ratio > 1 + high) & (advantages > 0)
    )
    return Terms(
        loss=mean_where(beta * away - gain, counted),
        ratio=mean_where(ratio, counted).detach(),
        clipped=mean_where(binding.to(new.dtype), counted).detach(),
        distance=mean_where(away, counted).detach(),
    )


def k2(new: Tensor, reference: Tensor) -> Tensor:
    """Half the squared log-ratio: its gradient is that of the KL divergence."""
    return (reference - new).square() / 2


def k3(new: Tensor, reference: Tensor) -> Tensor:
    """Unbiased for the divergence, and what the published trainer has."""
    return (reference - new).exp() - (reference - new) - 1


DISTANCES = {"k2": k2, "k3": k3}


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / counted.sum().clamp(min=1)
