"""A hole over text that stands there already: which of its tokens stay.

Two complementary views hide half of the draft each, so every token is judged once without
being seen; what the model is less sure of than asked is masked again and written anew.
Must not know text or requests. Shapes: B candidates, T positions, N hidden positions, V ids.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from dlmd.decode.canvas import Canvas
from dlmd.model import Dream

Draft = tuple[range, list[int], float]  # where, its tokens, how sure one has to be


def laid_over(model: Dream, canvas: Canvas, drafts: Sequence[Draft]) -> Canvas:
    """The canvas with each draft in its place, less the tokens the model doubts."""
    if not drafts:
        return canvas
    tokens_BT = canvas.tokens_BT.clone()
    for places, ids, _ in drafts:
        tokens_BT[:, places.start : places.stop] = torch.tensor(
            ids, device=tokens_BT.device
        )
    laid_1T = tokens_BT[:1]
    every = [place for places, _, _ in drafts for place in places]
    sure = dict[int, float]()
    for view in (every[::2], every[1::2]):
        sure |= certainty(model, laid_1T, view, canvas.mask_id)
    for places, _, keep in drafts:
        for place in places:
            if sure[place] < keep:
                tokens_BT[:, place] = canvas.mask_id
    return replace(canvas, tokens_BT=tokens_BT, masks_B=())


def certainty(
    model: Dream, laid_1T: torch.Tensor, view: Sequence[int], mask_id: int
) -> dict[int, float]:
    """The probability of each token of the view while all of them are masked."""
    if not view:
        return {}
    at_N = torch.tensor(view, device=laid_1T.device)
    hidden_1T = laid_1T.clone()
    hidden_1T[:, at_N] = mask_id
    # Row i predicts token i + 1, and position 0 is never a mask.
    with torch.no_grad():
        logits_NV = model(hidden_1T, rows_N=at_N - 1).float()
    chance_N = logits_NV.softmax(-1).gather(1, laid_1T[0, at_N, None])[:, 0]
    return dict(zip(view, chance_N.tolist(), strict=True))
