"""What a policy learns from: views of a fill, log-probabilities, advantages, the loss.

Pure functions of tensors. A masked-diffusion model gives no probability of a whole text;
tokens are scored where they are masked, with the rest in sight. A coupled pair masks each
token in exactly one of two views (DiffuCoder, arXiv 2506.20639, section 4), so that none
goes without a signal. The same views serve the new, the old and the reference policy:
sharing them matters more for the ratio's variance than coupling does. Private generators
only. Must not know text, rewards' meaning or how a model is trained.

Shapes: B rows, T positions, G groups, K rollouts of a group, N scored places, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

ESTIMATORS = ("coupled", "indep", "released")
LEAST, MOST = 0.2, 0.8  # share of a fill that the first view of a pair masks
ALL_LOGITS = 2**26  # numbers that may be there at once


# ---- views


def coupled_views(
    target_BT: Tensor, ratio_B: Tensor, seeds_B: Tensor | Sequence[int]
) -> tuple[Tensor, Tensor]:
    """A view that masks round(ratio * n) of each row's n targets, at least 1 and at most
    n - 1, and its complement; of a single target all and none. A row's draw depends on
    its seed and its number of targets alone, not on its batch or padding."""
    target_BT = target_BT.bool()
    count_B = target_BT.sum(dim=-1)
    ratio_B = torch.as_tensor(ratio_B).to(count_B.device)
    wanted_B = (ratio_B * count_B).round().long()
    wanted_B = wanted_B.clamp(min=1).minimum((count_B - 1).clamp(min=1))
    view_BT = torch.zeros_like(target_BT)
    for b, seed in enumerate(torch.as_tensor(seeds_B).tolist()):
        at_N = target_BT[b].nonzero()[:, 0]
        order_N = torch.randperm(len(at_N), generator=Generator().manual_seed(seed))
        view_BT[b, at_N[order_N[: int(wanted_B[b])].to(at_N.device)]] = True
    return view_BT, target_BT & ~view_BT


def draw_views(
    estimator: str, target_BT: Tensor, seeds_B: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The pair of views by which an estimator scores each row; `indep` draws the second
    by itself, for comparison at equal cost."""
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"--estimator is {estimator!r}; expected {', '.join(ESTIMATORS)}"
        )
    view_BT, other_BT = coupled_views(target_BT, shares(seeds_B), seeds_B)
    if estimator == "indep":
        second = [(seed + 1) * 0x9E3779B1 % 2**63 for seed in seeds_B]
        other_BT, _ = coupled_views(target_BT, shares(second), second)
    return view_BT, other_BT


def shares(seeds_B: Sequence[int]) -> Tensor:
    """The share that each row's first view masks, evenly between LEAST and MOST."""
    drawn = [torch.rand(1, generator=Generator().manual_seed(s ^ 1)) for s in seeds_B]
    return LEAST + (MOST - LEAST) * torch.cat(drawn)


# ---- scores


def token_scores(
    model: Any,
    tokens_BT: Tensor,
    target_BT: Tensor,
    view_BT: Tensor,
    valid_BT: Tensor | None = None,
) -> Tensor:
    """log p of the token at each target, given all that `view_BT` does not mask; 0
    elsewhere. Head and last layer run on the rows of the targets alone. Always one forward,
    also without any target: other processes may wait for it."""
    target_BT, view_BT = target_BT.bool(), view_BT.bool()
    if bool(target_BT[:, 0].any()):
        raise ValueError(
            "a target is at position 0, which no row predicts; put a token before it"
        )
    b_N, t_N = target_BT.nonzero(as_tuple=True)
    if not len(b_N):  # the complement of views of single tokens
        first_1 = torch.zeros(1, dtype=torch.long, device=tokens_BT.device)
        nothing_BT = torch.zeros(tokens_BT.shape, device=tokens_BT.device)
        return nothing_BT + 0.0 * model(tokens_BT, valid_BT, rows_N=first_1).sum()
    labels_N = tokens_BT[b_N, t_N]
    seen_BT = tokens_BT.masked_fill(view_BT, bare(model).config.mask_token_id)
    rows_N = b_N * tokens_BT.shape[1] + t_N - 1  # row i predicts token i + 1
    if len(rows_N) * bare(model).config.vocab_size <= ALL_LOGITS:
        logits_NV = model(seen_BT, valid_BT, rows_N=rows_N).float()
        scores_N = -F.cross_entropy(logits_NV, labels_N, reduction="none")
    else:
        scores_N = model(seen_BT, valid_BT, rows_N=rows_N, labels_N=labels_N)
    scores_BT = scores_N.new_zeros(tokens_BT.shape)
    return scores_BT.index_put((b_N, t_N), scores_N)


def bare(model: Any) -> Any:
    """The network inside what several processes wrap around it."""
    return getattr(model, "module", model)


def released_scores(
    full_BT: Tensor, view_BT: Tensor, complement_BT: Tensor, mask_BT: Tensor, t: float
) -> Tensor:
    """As the trainer that was published with DiffuCoder combines scores with all masked,
    with `mask_BT` masked and with its complement: half of (the first + the token's own
    view over its share of the mask). In expectation it is one and a half times log p, so
    that a ratio of it is no ratio of probabilities: for comparison."""
    own_BT = torch.where(mask_BT.bool(), view_BT / t, complement_BT / (1 - t))
    return (full_BT + own_BT) / 2


# ---- advantages


def leave_one_out(rewards_GK: Tensor) -> Tensor:
    """Each reward less the mean of its group's others. ValueError for groups of one."""
    K = rewards_GK.shape[-1]
    if K < 2:
        raise ValueError(
            f"{K} rollout in a group; the baseline is the others' mean: give 2 or more"
        )
    total_G1 = rewards_GK.sum(dim=-1, keepdim=True)
    return rewards_GK - (total_G1 - rewards_GK) / (K - 1)


# ---- the loss


def grpo_loss(
    new_BT: Tensor,
    old_BT: Tensor,
    advantages_B: Tensor,
    target_BT: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    kl: float = 0.0,
    kl_form: str = "k2",
    ref_BT: Tensor | None = None,
) -> Tensor:
    """The clipped ratio's loss plus `kl` times the distance to the reference: the sum over
    the targets by their number. Log-probabilities of the same tokens under the same masks;
    gradients flow through `new_BT` alone."""
    if kl_form not in DISTANCES:
        raise ValueError(f"kl_form is {kl_form!r}; give {' or '.join(DISTANCES)}")
    if kl and ref_BT is None:
        raise ValueError(f"kl is {kl} and there is no reference; give one, or kl 0")
    target_BT = target_BT.bool()
    # What is no target may hold anything, also what no exponential can.
    apart_BT = (new_BT - old_BT.detach()).masked_fill(~target_BT, 0.0)
    ratio_BT = apart_BT.exp()
    bounded_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    each_B1 = advantages_B.to(ratio_BT.dtype)[:, None]
    lost_BT = -torch.minimum(ratio_BT * each_B1, bounded_BT * each_B1)
    if kl and ref_BT is not None:
        away_BT = (ref_BT.detach() - new_BT).masked_fill(~target_BT, 0.0)
        lost_BT = lost_BT + kl * DISTANCES[kl_form](away_BT)
    return mean_where(lost_BT, target_BT)


def k2(away: Tensor) -> Tensor:
    """Half the squared log-ratio: its gradient is that of the KL divergence."""
    return away.square() / 2


def k3(away: Tensor) -> Tensor:
    """Unbiased for the divergence, and what the published trainer has."""
    return away.exp() - away - 1


DISTANCES = {"k2": k2, "k3": k3}


def mean_where(values_BT: Tensor, counted_BT: Tensor) -> Tensor:
    kept_BT = values_BT.masked_fill(~counted_BT, 0.0)
    return kept_BT.sum() / counted_BT.sum().clamp(min=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What to look at while the loss falls."""

    ratio: float  # mean
    clipped: float  # share of targets where the clip is what counts
    distance: float  # mean, in nats


def watch(
    new_BT: Tensor,
    old_BT: Tensor,
    advantages_B: Tensor,
    target_BT: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    kl_form: str = "k2",
    ref_BT: Tensor | None = None,
) -> Watched:
    target_BT = target_BT.bool()
    ratio_BT = (new_BT.detach() - old_BT).masked_fill(~target_BT, 0.0).exp()
    each_B1 = advantages_B[:, None]
    binding_BT = ((ratio_BT < 1 - clip_low) & (each_B1 < 0)) | (
        (ratio_BT > 1 + clip_high) & (each_B1 > 0)
    )
    away = 0.0
    if ref_BT is not None:
        away_BT = (ref_BT - new_BT.detach()).masked_fill(~target_BT, 0.0)
        away = float(mean_where(DISTANCES[kl_form](away_BT), target_BT))
    return Watched(
        ratio=float(mean_where(ratio_BT, target_BT)),
        clipped=float(mean_where(binding_BT.to(ratio_BT.dtype), target_BT)),
        distance=away,
    )
