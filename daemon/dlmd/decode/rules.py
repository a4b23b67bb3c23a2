"""Which masks a step commits: small functions behind one shape, all on the device.

A rule takes what the model said at every place of a row (`Reading`) and which places are
still open, and returns which of these are committed. Nothing here waits for a number, so
a step can be captured as a graph; no rule commits nothing while a place is open. Must not
know models, canvases or schedules.

Shapes: B rows, M places of a row, N = B*M, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlmd.decode.settings import DecodeSettings

# Prophet (2508.19982): early on only a wide lead ends a hole, later less will do.
LEADS = ((1 / 3, 3.0), (2 / 3, 2.0), (1.0, 1.0))
LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What the model says at each place: the likeliest token that is no mask, and how
    sure it is. `rank_BM` is the algorithm's own measure, the higher the surer."""

    x0_BM: Tensor
    rank_BM: Tensor
    top_BM: Tensor  # probability of x0
    entropy_BM: Tensor  # in nats
    lead_BM: Tensor | None = None  # of x0's logit over the next one's


def read(logits_BMV: Tensor, settings: DecodeSettings, mask_id: int) -> Reading:
    """One pass over the vocabulary, no sort. The mask counts in the distribution and is
    passed over as a token. Overwrites float32 logits."""
    logits_BMV = logits_BMV.float()
    whole_BM = logits_BMV.logsumexp(dim=-1)
    entropy_BM = whole_BM - torch.linalg.vecdot(logits_BMV.softmax(dim=-1), logits_BMV)
    if 0 <= mask_id < logits_BMV.shape[-1]:
        logits_BMV[..., mask_id] = LOWEST
    lead_BM = None
    if settings.by_lead or settings.algorithm == "topk_margin":
        best_BM2, ids_BM2 = logits_BMV.topk(2, dim=-1)
        best_BM, x0_BM = best_BM2[..., 0], ids_BM2[..., 0]
        lead_BM = best_BM - best_BM2[..., 1]
    else:
        best_BM, x0_BM = logits_BMV.max(dim=-1)
    top_BM = (best_BM - whole_BM).exp()
    rank_BM = top_BM
    if settings.algorithm == "entropy":
        rank_BM = -entropy_BM
    elif settings.algorithm == "topk_margin":
        assert lead_BM is not None
        rank_BM = top_BM - (best_BM - lead_BM - whole_BM).exp()
    return Reading(
        x0_BM=x0_BM,
        rank_BM=rank_BM,
        top_BM=top_BM,
        entropy_BM=entropy_BM,
        lead_BM=lead_BM,
    )


def decide(
    reading: Reading,
    open_BM: Tensor,
    settings: DecodeSettings,
    *,
    count_B: Tensor | None = None,
    order_BM: Tensor | None = None,
    begun_B: Tensor | None = None,
) -> Tensor:
    """True at the places to commit. `count_B` is the schedule's word, `order_BM` each
    place's number from the left, `begun_B` how many masks each row began with."""
    near_BM = open_BM
    if settings.block is not None and order_BM is not None:
        near_BM = leftmost_block(open_BM, order_BM // settings.block)
    match settings.rule:
        case "threshold":
            chosen_BM = probable(reading, near_BM, settings.threshold)
        case "factor":
            chosen_BM = jointly_probable(reading, near_BM, settings.factor)
        case "entropy_bound":
            chosen_BM = little_entropy(reading, near_BM, settings.entropy_bound)
        case _:
            assert count_B is not None
            chosen_BM = highest(reading.rank_BM, near_BM, count_B)
    if settings.rule != "schedule":
        one_B = torch.ones_like(open_BM[:, 0], dtype=torch.long)
        chosen_BM = chosen_BM | highest(reading.rank_BM, near_BM, one_B)
    if settings.finish is not None and begun_B is not None:
        clear_B1 = clear_lead(reading, open_BM, settings.finish, begun_B)[:, None]
        chosen_BM = chosen_BM | (open_BM & clear_B1)
    return chosen_BM


def narrowest(reading: Reading, open_BM: Tensor, chosen_BM: Tensor) -> Tensor:
    """By how little the choice came about: the least lead of a chosen token over the next
    one, or of a chosen place over one passed over, whichever is less. One number."""
    assert reading.lead_BM is not None
    most = torch.finfo(torch.float32).max
    token = reading.lead_BM.where(chosen_BM, most).amin()
    last_B = reading.rank_BM.where(chosen_BM, most).amin(dim=-1)
    next_B = reading.rank_BM.where(open_BM & ~chosen_BM, -most).amax(dim=-1)
    return torch.minimum(token, (last_B - next_B).abs().amin())


# ---- the rules ----


def highest(rank_BM: Tensor, open_BM: Tensor, count_B: Tensor) -> Tensor:
    """The `count_B` surest of each row; of equals the leftmost."""
    return (placed(rank_BM, open_BM) < count_B[:, None]) & open_BM


def probable(reading: Reading, open_BM: Tensor, threshold: float) -> Tensor:
    """Fast-dLLM's threshold: every token that is probable enough by itself."""
    return open_BM & (reading.top_BM >= threshold)


def jointly_probable(reading: Reading, open_BM: Tensor, factor: float) -> Tensor:
    """Fast-dLLM's factor: the n most probable, n the largest with
    (n + 1) * (1 - the least of their probabilities) < factor."""
    place_BM = placed(reading.top_BM, open_BM)
    fits_BM = (place_BM + 2) * (1 - reading.top_BM) < factor
    last_B1 = place_BM.where(fits_BM & open_BM, -1).amax(dim=-1, keepdim=True)
    return open_BM & (place_BM <= last_B1)


def little_entropy(reading: Reading, open_BM: Tensor, bound: float) -> Tensor:
    """EB-Sampler (2505.24857): in order of entropy, as long as the entropies of all but
    the largest sum to at most the bound."""
    place_BM = placed(-reading.entropy_BM, open_BM)
    entropy_BM = reading.entropy_BM.clamp(min=0).where(open_BM, 0.0)
    sorted_BM = torch.zeros_like(entropy_BM).scatter(1, place_BM, entropy_BM)
    before_BM = (sorted_BM.cumsum(dim=-1) - sorted_BM).gather(1, place_BM)
    return open_BM & (before_BM <= bound)


def clear_lead(
    reading: Reading, open_BM: Tensor, finish: float, begun_B: Tensor
) -> Tensor:
    """Prophet: the rest of a row is settled once its tokens lead the next ones by enough,
    on average over the open places."""
    assert reading.lead_BM is not None
    left_B = open_BM.sum(dim=-1)
    mean_B = (reading.lead_BM * open_BM).sum(dim=-1) / left_B.clamp(min=1)
    done_B = 1 - left_B / begun_B.clamp(min=1)
    wanted_B = torch.full_like(mean_B, finish * LEADS[-1][1])
    for share, times in reversed(LEADS[:-1]):
        wanted_B = wanted_B.where(done_B >= share, finish * times)
    return mean_B >= wanted_B


def leftmost_block(open_BM: Tensor, block_BM: Tensor) -> Tensor:
    """The open places of the first block that has any."""
    beyond = torch.iinfo(block_BM.dtype).max
    first_B1 = block_BM.where(open_BM, beyond).amin(dim=-1, keepdim=True)
    return open_BM & (block_BM == first_B1)


def placed(rank_BM: Tensor, open_BM: Tensor) -> Tensor:
    """The place of each in its row's order, the surest first, those not open last."""
    rank_BM = rank_BM.masked_fill(~open_BM, float("-inf"))
    order_BM = rank_BM.argsort(dim=-1, descending=True, stable=True)
    counted_BM = torch.arange(rank_BM.shape[1], device=rank_BM.device)
    return torch.empty_like(order_BM).scatter(
        1, order_BM, counted_BM.expand_as(order_BM)
    )


# ---- how many, by the schedule ----


def quotas(
    left_B: Tensor, i: int, steps_B: Tensor, share_B: Tensor, kind: str
) -> Tensor:
    """`commit.quota` for every row at once: what step `i` of its steps commits."""
    if kind == "even":
        return left_B // torch.minimum(left_B, steps_B - i).clamp(min=1)
    return (left_B.float() * share_B).long()
