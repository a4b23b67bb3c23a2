"""The window dual cache: one full forward, then steps over the hole and its neighbours.

The full forward is the first step and fills the cache with the keys and values of what
stands before, inside and after the holes. A later step computes a window only: every
hole, the rows that score it, and `reach` neighbours on each side, whose keys it writes in
place. A token is scored by the row before it, so that row is always in the window, and no
token is ever committed that the step has not scored. Events bring a full forward back.
Must not know text.

Shapes: B rows, T positions, M places of a row, W slots of the window, V vocabulary.
"""

from collections.abc import Generator as Run
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import Generators
from dlmd.decode.loop import Ending, Step, counted, flat, run
from dlmd.decode.places import Places, find_places, opened, put
from dlmd.decode.rules import narrowest, read
from dlmd.decode.settings import DecodeSettings
from dlmd.model import Cache, Dream


def denoise_cached(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    *,
    generator: Generators | None = None,
    ending: Ending | None = None,
    cache: Cache | None = None,
) -> Run[Canvas, Canvas | None, None]:
    """The canvas after each step, as `denoise` gives it. With `cache`, which must fit the
    canvas, nothing is allocated; whatever it held is overwritten, and a run that is
    dropped half-way leaves it as good as new."""
    windows = Windows(model, settings, cache)
    states = run(
        windows, canvas, settings, generator=generator, ending=ending, exact=False
    )
    return verified(states, windows, canvas) if settings.verify else states


class Windows:
    """Scores places by a full forward when an event asks for one, else by a window."""

    def __init__(
        self, model: Dream, settings: DecodeSettings, cache: Cache | None = None
    ) -> None:
        self.model, self.settings, self.cache = model, settings, cache
        self.tokens_BT: Tensor | None = None  # as the last forward saw them
        self.valid_BT: Tensor | None = None
        self.slots_W: Tensor | None = None
        self.index_T: Tensor | None = None  # where in the window a column lies
        self.begun_B: Sequence[int] = ()  # masks of each row at the start
        self.left_B: Sequence[int] = ()  # and when the last full forward looked
        self.stale = True  # the next step is a full forward
        self.whole = False  # the last one was

    def begin(self, canvas: Canvas, places: Places) -> None:
        cache, (B, T) = self.cache, canvas.tokens_BT.shape
        if cache is None or cache.rows != B or cache.capacity < T:
            self.cache = self.model.new_cache(rows=B, capacity=T)
        self.begun_B = canvas.masks_B
        near_T = window(canvas, places, self.settings.reach)
        self.stale = self.stale or not self.holds(canvas)
        if self.slots_W is not None and not self.stale:
            # What somebody wrote there has keys to be computed too.
            near_T[self.slots_W] = True
        self.slots_W = near_T.nonzero()[:, 0]
        # Places that a row has not point anywhere; what is scored there is not used.
        self.index_T = (near_T.long().cumsum(dim=0) - 1).clamp(min=0)

    def holds(self, canvas: Canvas) -> bool:
        """Whether a changed canvas differs from the last one inside the window only, and
        no position has moved."""
        seen_BT = self.tokens_BT
        if seen_BT is None or seen_BT.shape != canvas.tokens_BT.shape:
            return False
        if not same(self.valid_BT, canvas.valid_BT):
            return False
        assert self.slots_W is not None
        differs_T = (seen_BT != canvas.tokens_BT).any(dim=0)
        differs_T[self.slots_W] = False
        return not bool(differs_T.any())

    def score(
        self, canvas: Canvas, places: Places, left_B: Sequence[int]
    ) -> tuple[Tensor, Canvas]:
        assert self.slots_W is not None and self.index_T is not None
        self.tokens_BT, self.valid_BT = canvas.tokens_BT, canvas.valid_BT
        if self.stale or self.due(left_B):
            return self.everything(canvas, places, left_B)
        self.whole = False
        tokens_BW = canvas.tokens_BT.index_select(1, self.slots_W)
        rows_N = flat(self.index_T[places.source_BM], len(self.slots_W))
        logits_NV = self.model(
            tokens_BW, cache=self.cache, slots_T=self.slots_W, rows_N=rows_N
        )
        canvas = replace(
            canvas,
            forwards_cached=canvas.forwards_cached + 1,
            query_rows=canvas.query_rows + tokens_BW.numel(),
        )
        return logits_NV.view(*places.shape, -1), canvas

    def everything(
        self, canvas: Canvas, places: Places, left_B: Sequence[int]
    ) -> tuple[Tensor, Canvas]:
        tokens_BT, valid_BT = canvas.tokens_BT, canvas.valid_BT
        B, M = places.shape
        if alike(tokens_BT) and (valid_BT is None or alike(valid_BT)):
            # Candidates before the first draw: one row is computed, all keep its keys.
            tokens_BT = tokens_BT[:1]
            valid_BT = None if valid_BT is None else valid_BT[:1]
        rows = tokens_BT.shape[0]
        rows_N = flat(places.source_BM[:rows], tokens_BT.shape[1])
        logits_NV = self.model(tokens_BT, valid_BT, rows_N=rows_N, cache=self.cache)
        self.stale, self.whole, self.left_B = False, True, list(left_B)
        canvas = counted(canvas, tokens_BT.numel())
        return logits_NV.view(rows, M, -1).repeat(B // rows, 1, 1), canvas

    def due(self, left_B: Sequence[int]) -> bool:
        """Whether in any row enough was committed since the last full forward: rows decode
        beside each other as they would alone."""
        share, tokens = self.settings.refresh_share, self.settings.refresh_tokens
        rows = zip(self.begun_B, self.left_B, left_B, strict=True)
        return any(
            (share is not None and seen - left >= max(1, share * begun))
            or (tokens is not None and seen - left >= tokens)
            for begun, seen, left in rows
        )

    def doubts(self, step: Step) -> bool:
        """Stale keys move a logit by a little: that decides near ties, and little else. So
        what was chosen by a window and a narrow lead is left to a full forward."""
        if self.settings.doubt is None or self.whole:
            return False
        lead = narrowest(step.reading, step.open_BM, step.chosen_BM)
        self.stale = bool(lead < self.settings.doubt)
        return self.stale


def alike(rows_BT: Tensor) -> bool:
    """Whether there are several rows, and all are the first one again."""
    return rows_BT.shape[0] > 1 and bool((rows_BT == rows_BT[:1]).all())


def same(one_BT: Tensor | None, other_BT: Tensor | None) -> bool:
    if one_BT is None or other_BT is None:
        return one_BT is other_BT
    return one_BT is other_BT or torch.equal(one_BT, other_BT)


def window(canvas: Canvas, places: Places, reach: int) -> Tensor:
    """True at the columns of the window: places of any row, the rows that score them, and
    `reach` neighbours on each side."""
    T = canvas.tokens_BT.shape[1]
    device = canvas.tokens_BT.device
    hole_T = torch.zeros(T + 1, dtype=torch.bool, device=device)
    hole_T[places.at_BM.flatten()] = True
    hole_T[places.source_BM[places.at_BM < T]] = True
    sums_T = F.pad(hole_T[:T].int().cumsum(dim=0), (1, 0))
    at_T = torch.arange(T, device=device)
    first_T, beyond_T = (at_T - reach).clamp(min=0), (at_T + reach + 1).clamp(max=T)
    return sums_T[beyond_T] > sums_T[first_T]


def verified(
    states: Run[Canvas, Canvas | None, None], windows: Windows, canvas: Canvas
) -> Run[Canvas, Canvas | None, None]:
    """The states, then the last one again, with the places marked where a full forward
    would now put another token. The text is final before this look begins."""
    places = find_places(canvas)
    holed_BM = opened(canvas.tokens_BT, places, canvas.mask_id)
    last, sent = canvas, None
    while True:
        try:
            last = states.send(sent)
        except StopIteration:
            break
        sent = yield last
    with torch.no_grad():
        logits_BMV, last = windows.everything(
            last, places, last.tokens_BT.shape[0] * [0]
        )
        likeliest_BM = read(logits_BMV, windows.settings, canvas.mask_id).x0_BM
        would_BT = put(last.tokens_BT, places, likeliest_BM, holed_BM)
    yield replace(last, doubtful_BT=would_BT != last.tokens_BT)
