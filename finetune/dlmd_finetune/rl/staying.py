"""What keeps a policy from forgetting: on code of others it should say what it said before.

A convention that pays in one repository is soon said everywhere, because nothing in the
rewards speaks against it. So each step also looks at lines of the standard library, each
masked as a whole, and adds how far the model has moved from itself without the adapter:
the divergence over the whole vocabulary, exact, at every masked token. The files are never
those that the verdict looks at. Must not know rewards.

Shapes: B rows, T positions, N masked places, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from dlmd.model import Dream, adapting
from torch import Tensor
from torch.nn import functional as F

from dlmd_finetune.rl import ranks
from dlmd_finetune.rl.general import LEARNT, foreign, masked_rows
from dlmd_finetune.rl.rollout import Writer, seed_of

LINES = 8  # of each step, over all processes
MOST = 128  # tokens of a line with what stands around it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anchors:
    """This process's lines of one step."""

    tokens_BT: Tensor
    valid_BT: Tensor
    rows_N: Tensor  # that predict the masked places
    share: float  # of all processes' masked places


def anchors(writer: Writer, seed: Sequence[int | str]) -> Anchors:
    """As many in each process, so that all take the same forwards."""
    count = max(LINES, ranks.count())
    lines = foreign(count, seed_of(*seed, "staying") % 2**32, side=LEARNT)
    tokens_BT, valid_BT, rows_N, _ = masked_rows(writer, ranks.mine(lines), MOST)
    device = writer.network.lm_head.weight.device
    return Anchors(
        tokens_BT=tokens_BT.to(device),
        valid_BT=valid_BT.to(device),
        rows_N=torch.tensor(rows_N, device=device),
        share=len(rows_N) / ranks.summed(float(len(rows_N))),
    )


def before(model: Dream, anchors: Anchors) -> Tensor:
    """What the model without its adapter says there, as log-probabilities (N, V)."""
    with torch.no_grad(), adapting.without(model):
        return said(model, anchors)


def said(model: Any, anchors: Anchors) -> Tensor:
    logits_NV = model(anchors.tokens_BT, anchors.valid_BT, rows_N=anchors.rows_N)
    return F.log_softmax(logits_NV.float(), dim=-1)


def moved(model: Any, anchors: Anchors, before_NV: Tensor) -> Tensor:
    """Nats a token, this process's share: a scalar with a gradient."""
    now_NV = said(model, anchors)
    away = F.kl_div(now_NV, before_NV, log_target=True, reduction="none")
    return away.sum(dim=-1).mean() * anchors.share
