"""A warm start: the keys of the last request serve the first step of the next one.

Between two keystrokes most of a document stands as it stood. Its keys and values are kept,
those that moved are rotated from where they were computed to where they stand now, and one
step over the hole, its neighbours and what was edited gives a first state. Behind it the
run begins as a cold one does, with a full forward over the canvas as it came: what is
shown at last is what a cold run shows. Where too much was edited there is no such state.
Must not know text, clients or rules.

Shapes: B rows (one), T positions, M places, W slots of the window, V vocabulary.
"""

from collections.abc import Generator as Run
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dlmd.decode.align import Move, common_start, overlap
from dlmd.decode.cached import Windows, window
from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import Generators
from dlmd.decode.loop import Ending, Step, run
from dlmd.decode.places import Places, find_places
from dlmd.decode.settings import DecodeSettings
from dlmd.model import Cache, Dream
from dlmd.model.dream import rotary

MOST_KEPT = 2  # documents
MOST_EDITED = 64  # tokens: beyond, the window costs more than it saves
REACH = 16  # neighbours in the window of the first state, which has to come soon


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What a full forward left behind: its tokens, where its masks were, its keys."""

    tokens: tuple[int, ...]
    holes: range
    cache: Cache


class Warmth:
    """What lasts between requests: the keys of the last full forward, and the buffers of
    the one before, in which the next run computes. At most two caches."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.spare: Cache | None = None

    def fits(self, tokens: Sequence[int]) -> bool:
        """Whether this is, by its ends, the same document a few keystrokes on."""
        if self.kept is None:
            return False
        old = self.kept.tokens
        ends = common_start(old, tokens) + common_start(old[::-1], tokens[::-1])
        return 2 * ends > len(tokens)

    def room(self, model: Dream, T: int) -> Cache:
        """A cache to compute in that is not the kept one."""
        spare = self.spare
        if spare is None or spare.capacity < T:
            # A document that grows by a token a keystroke should not allocate each time.
            spare = self.spare = model.new_cache(rows=1, capacity=T + T // 8)
        return spare

    def keep(self, canvas: Canvas, cache: Cache) -> None:
        """A full forward has just filled `cache`: it takes the place of what was kept."""
        before = self.kept
        if before is not None and before.cache is not cache:
            self.spare = before.cache
        elif before is None:
            self.spare = None
        tokens = tuple(canvas.tokens_BT[0].tolist())
        self.kept = Kept(tokens=tokens, holes=spanned(canvas), cache=cache)


class Pool:
    """The warmths between which requests choose, by what they share with a canvas. One
    serves one run at a time; at most `MOST_KEPT` lie idle, the longest idle goes first."""

    def __init__(self) -> None:
        self.idle: list[Warmth] = []
        self.lent: list[Warmth] = []

    def take(self, canvas: Canvas) -> Warmth:
        """The one whose canvas is nearest, or a fresh one."""
        tokens = canvas.tokens_BT[0].tolist()
        fitting = [each for each in self.idle if each.fits(tokens)]
        taken = fitting[-1] if fitting else Warmth()
        if fitting:
            self.idle.remove(taken)
        self.lent.append(taken)
        return taken

    def give_back(self, warmth: Warmth) -> None:
        if warmth in self.lent:
            self.lent.remove(warmth)
            self.idle = [*self.idle, warmth][-MOST_KEPT:]

    def clear(self) -> None:
        """Other weights, other keys: of those that are lent, too."""
        self.idle.clear()
        self.lent.clear()


def denoise_pooled(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    pool: Pool,
    *,
    generator: Generators | None = None,
    ending: Ending | None = None,
) -> Run[Canvas, Canvas | None, None]:
    """`denoise_warm` by the warmth that fits, which is nobody else's meanwhile."""
    warmth = pool.take(canvas)
    try:
        yield from denoise_warm(
            model, canvas, settings, warmth, generator=generator, ending=ending
        )
    finally:
        pool.give_back(warmth)


def denoise_warm(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    warmth: Warmth,
    *,
    generator: Generators | None = None,
    ending: Ending | None = None,
) -> Run[Canvas, Canvas | None, None]:
    """As `denoise_cached` on one row, with one state more in front where `warmth` allows
    it. The states after that one are those of a cold run."""
    first = glimpse(model, canvas, settings, warmth, ending)
    if first is not None:
        sent = yield first
        canvas = replace(
            canvas if sent is None else sent,
            forwards_cached=first.forwards_cached,
            query_rows=first.query_rows,
        )
    cache = warmth.room(model, canvas.tokens_BT.shape[1])
    windows = Keeping(Windows(model, settings, cache), warmth)
    yield from run(
        windows, canvas, settings, generator=generator, ending=ending, exact=False
    )


def glimpse(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    warmth: Warmth,
    ending: Ending | None,
) -> Canvas | None:
    """The first state by the keys that are kept; None where these are of no use."""
    kept, T = warmth.kept, canvas.tokens_BT.shape[1]
    if kept is None or settings.by_chance or not canvas.masked_BT.any():
        return None
    shared = overlap(
        kept.tokens, kept.holes, canvas.tokens_BT[0].tolist(), spanned(canvas)
    )
    if sum(map(len, shared.edited)) > MOST_EDITED:
        return None
    near_T = window(canvas, find_places(canvas), min(settings.reach, REACH))
    for edit in shared.edited:
        near_T[edit.start : edit.stop] = True
    slots_W = near_T.nonzero()[:, 0]
    if 2 * len(slots_W) > T:
        return None
    cache = warmth.room(model, T)
    carry(kept.cache, cache, shared.moves, model, T)
    old = OldKeys(model, cache, slots_W)
    states = run(old, canvas, settings, generator=None, ending=ending, exact=False)
    first = next(states)
    # What is complete would count as final, and that it must not be.
    return first if first.masked_BT.any() else None


def spanned(canvas: Canvas) -> range:
    """From the first mask to the last."""
    at = canvas.masked_BT[0].nonzero()[:, 0].tolist()
    return range(at[0], at[-1] + 1) if at else range(0)


class OldKeys:
    """Scores one step by a window over keys that other requests computed."""

    def __init__(self, model: Dream, cache: Cache, slots_W: Tensor) -> None:
        self.model, self.cache, self.slots_W = model, cache, slots_W

    def begin(self, canvas: Canvas, places: Places) -> None:
        pass

    def score(
        self, canvas: Canvas, places: Places, left_B: Sequence[int]
    ) -> tuple[Tensor, Canvas]:
        slots_W = self.slots_W
        index_T = torch.zeros_like(canvas.tokens_BT[0])
        index_T[slots_W] = torch.arange(len(slots_W), device=slots_W.device)
        logits_NV = self.model(
            canvas.tokens_BT.index_select(1, slots_W),
            cache=self.cache,
            slots_T=slots_W,
            rows_N=index_T[places.source_BM[0]],
        )
        canvas = replace(
            canvas,
            forwards_cached=canvas.forwards_cached + 1,
            query_rows=canvas.query_rows + len(slots_W),
        )
        return logits_NV.view(*places.shape, -1), canvas

    def doubts(self, step: Step) -> bool:
        return False


class Keeping:
    """`Windows` whose full forwards leave their keys to the next request."""

    def __init__(self, windows: Windows, warmth: Warmth) -> None:
        self.windows, self.warmth = windows, warmth

    def begin(self, canvas: Canvas, places: Places) -> None:
        self.windows.begin(canvas, places)

    def score(
        self, canvas: Canvas, places: Places, left_B: Sequence[int]
    ) -> tuple[Tensor, Canvas]:
        before = canvas.forwards_full
        logits_BMV, canvas = self.windows.score(canvas, places, left_B)
        if canvas.forwards_full > before:
            assert self.windows.cache is not None
            self.warmth.keep(canvas, self.windows.cache)
        return logits_BMV, canvas

    def doubts(self, step: Step) -> bool:
        return self.windows.doubts(step)


def carry(
    old: Cache, new: Cache, moves: tuple[Move, ...], model: Dream, T: int
) -> None:
    """Keys and values to where they stand now. One rotation each, from where they were
    computed: shift upon shift would drift in bfloat16."""
    how = model.config
    device, dtype = old.keys_LBKSE.device, old.keys_LBKSE.dtype
    positions_BT = torch.arange(T, device=device)[None]
    cos, sin = rotary(positions_BT, how.head_dim, how.rope_theta, dtype)
    new.begin(T, None, cos[:, 0], sin[:, 0])
    for move in moves:
        there = slice(move.old, move.old + move.count)
        here = slice(move.new, move.new + move.count)
        keys = old.keys_LBKSE[..., there, :]
        if move.new != move.old:
            by = torch.tensor([[move.new - move.old]], device=device)
            cos, sin = rotary(by, how.head_dim, how.rope_theta, torch.float32)
            left, right = keys.float().chunk(2, dim=-1)
            turned = torch.cat([-right, left], dim=-1)
            keys = (keys.float() * cos[0] + turned * sin[0]).to(dtype)
        new.keys_LBKSE[..., here, :] = keys
        new.values_LBKSE[..., here, :] = old.values_LBKSE[..., there, :]
