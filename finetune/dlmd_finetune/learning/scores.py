"""Log-probabilities of fills under a model, by views that mask parts of them.

A token at position p is predicted by row p - 1, so no fill may begin at position 0. Head
and last layer run on the masked rows only. Must not know rewards or files.

Shapes: B fills, T positions, S tokens of a fill, P pairs, N masked places.
"""

from dataclasses import dataclass

import torch
from dlmd.model import Dream
from torch import Tensor

from dlmd_finetune.learning.views import coupled_pairs, independent_pairs

ESTIMATORS = ("coupled", "indep", "released")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """Documents with their holes filled: what is scored."""

    tokens_BT: Tensor
    at_BS: Tensor  # positions of the fill's tokens; anything where not scored
    scored_BS: Tensor  # bool
    mask_id: int
    valid_BT: Tensor | None = None  # False: padding

    def __post_init__(self) -> None:
        if bool((self.scored_BS & (self.at_BS < 1)).any()):
            raise ValueError(
                "a fill begins at position 0, which no row predicts; put a token before it"
            )


def masked_scores(model: Dream, fills: Fills, masked_BS: Tensor) -> Tensor:
    """log p of each token that `masked_BS` hides, given all that it leaves, (B, S); 0 at
    places that are not masked."""
    b_N, s_N = masked_BS.nonzero(as_tuple=True)
    at_N = fills.at_BS[b_N, s_N]
    targets_N = fills.tokens_BT[b_N, at_N]
    tokens_BT = fills.tokens_BT.clone()
    tokens_BT[b_N, at_N] = fills.mask_id
    rows_N = b_N * tokens_BT.shape[1] + at_N - 1
    logits_NV = model(tokens_BT, fills.valid_BT, rows_N=rows_N).float()
    known_N = logits_NV.gather(-1, targets_N[:, None])[:, 0]
    scores_N = known_N - logits_NV.logsumexp(dim=-1)
    scores_BS = torch.zeros_like(masked_BS, dtype=scores_N.dtype)
    return scores_BS.index_put((b_N, s_N), scores_N)


def pair_scores(model: Dream, fills: Fills, views_2BS: Tensor) -> Tensor:
    """Both views of a pair, (2, B, S), in one forward each."""
    return torch.stack([masked_scores(model, fills, view_BS) for view_BS in views_2BS])


def draw_views(
    estimator: str, scored_BS: Tensor, pairs: int, generator: torch.Generator
) -> Tensor:
    """The views to score fills by, (P, 2, B, S)."""
    if estimator == "coupled":
        return coupled_pairs(scored_BS, pairs, generator)
    if estimator == "indep":
        return independent_pairs(scored_BS, pairs, generator)
    raise ValueError(f"--estimator is {estimator!r}; expected {', '.join(ESTIMATORS)}")


def released_scores(model: Dream, fills: Fills, first_BS: Tensor, t: float) -> Tensor:
    """As the trainer that was published with DiffuCoder computes it, for comparison: half
    of (all masked + the token's own view over its share of the mask). In expectation it is
    one and a half times log p, so that a ratio of it is no ratio of probabilities."""
    whole_BS = torch.ones_like(fills.scored_BS)
    all_BS = masked_scores(model, fills, whole_BS)
    views = pair_scores(model, fills, torch.stack([first_BS, ~first_BS]))
    shared_BS = views[0] / t + views[1] / (1 - t)
    return (all_BS + shared_BS) / 2
