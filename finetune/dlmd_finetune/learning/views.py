"""Which tokens of a fill are masked when it is scored: pairs of views that complement each other.

A masked-diffusion model gives no probability of a whole text; tokens are scored where they
are masked, with the rest in sight. A coupled pair masks each token in exactly one of its two
views (DiffuCoder, arXiv 2506.20639, section 4), so that none goes without a signal. The same
views serve the new, the old and the reference policy: sharing them matters more for the
ratio's variance than coupling does. Private generators only. Tensors; must not know models.

Shapes: B fills, S tokens of a fill, P pairs.
"""

import torch
from torch import Generator, Tensor

LEAST, MOST = 0.2, 0.8  # share of a fill that the first view of a pair masks


def exact_masks(scored_BS: Tensor, share_B: Tensor, generator: Generator) -> Tensor:
    """True at round(share * tokens) places of each fill, drawn evenly: of n tokens at least
    1 and at most n - 1, where there are two. Exact counts have less variance than coins."""
    count_B = scored_BS.sum(dim=-1)
    wanted_B = (share_B * count_B).round().long()
    wanted_B = (
        wanted_B.clamp(min=1).minimum((count_B - 1).clamp(min=1)).minimum(count_B)
    )
    keys_BS = torch.rand(scored_BS.shape, generator=generator, device=generator.device)
    keys_BS = keys_BS.to(scored_BS.device).masked_fill(~scored_BS, 2.0)
    place_BS = keys_BS.argsort(dim=-1).argsort(dim=-1)
    return (place_BS < wanted_B[:, None]) & scored_BS


def coupled_pairs(scored_BS: Tensor, pairs: int, generator: Generator) -> Tensor:
    """Complementary views, (P, 2, B, S): each scored token is masked in one of the two."""
    return torch.stack([pair(scored_BS, generator, other=None) for _ in range(pairs)])


def independent_pairs(scored_BS: Tensor, pairs: int, generator: Generator) -> Tensor:
    """Two views drawn by themselves, for comparison at equal cost, (P, 2, B, S)."""
    return torch.stack(
        [pair(scored_BS, generator, other=generator) for _ in range(pairs)]
    )


def pair(scored_BS: Tensor, generator: Generator, other: Generator | None) -> Tensor:
    first_BS = exact_masks(scored_BS, shares(scored_BS, generator), generator)
    if other is None:
        return torch.stack([first_BS, scored_BS & ~first_BS])
    second_BS = exact_masks(scored_BS, shares(scored_BS, other), other)
    return torch.stack([first_BS, second_BS])


def shares(scored_BS: Tensor, generator: Generator) -> Tensor:
    """A share for each fill, evenly between LEAST and MOST."""
    drawn_B = torch.rand(
        scored_BS.shape[0], generator=generator, device=generator.device
    )
    return (LEAST + (MOST - LEAST) * drawn_B).to(scored_BS.device)
