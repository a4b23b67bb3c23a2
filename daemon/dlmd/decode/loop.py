"""The loop that all decoders share: score the open places, decide, write, show the state.

A decoder differs from another in its scorer alone: forwards over the whole canvas here,
windows over kept keys in `cached.py`. At temperature 0, and where the schedule sets the
pace, the host knows every count beforehand, so nothing inside the loop waits for the
device; the other rules wait once a step, to learn how many masks are left. Runs that draw
follow the published order of draws, on the CPU. Must not know text, holes or caches.

Shapes: B rows, T positions, M places of a row, N open places, V vocabulary, I steps.
"""

from collections.abc import Generator as Run
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import Generators, quota, released
from dlmd.decode.places import Places, find_places, narrowed, opened, put
from dlmd.decode.published import commit, confidences, published_reading, row_steps
from dlmd.decode.rules import Reading, decide, quotas, read
from dlmd.decode.settings import DecodeSettings
from dlmd.model import Dream


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """What a step came to: the canvas after it, what was read, where masks were, and
    which of them the rule chose."""

    canvas: Canvas
    reading: Reading
    open_BM: Tensor
    chosen_BM: Tensor


class Scorer(Protocol):
    """Where logits come from."""

    def begin(self, canvas: Canvas, places: Places) -> None:
        """A run starts, or goes on from a canvas that somebody changed."""

    def score(
        self, canvas: Canvas, places: Places, left_B: Sequence[int]
    ) -> tuple[Tensor, Canvas]:
        """Logits of the places, (B, M, V), and the canvas with the work counted; `left_B`
        masks are left in each row."""

    def doubts(self, step: Step) -> bool:
        """Whether what was chosen by these logits is to be chosen again, by better ones."""


class Ending(Protocol):
    """Rules by which holes find their own length (`length.py`)."""

    def bar(self, tokens_BT: Tensor, places: Places, logits_BMV: Tensor) -> Tensor:
        """Logits without the tokens that are no choice at a place."""

    def settle(self, tokens_BT: Tensor, places: Places, x0_BM: Tensor) -> Tensor:
        """Tokens with the masks settled that no rule needs to rank. x0: the likeliest."""

    def end(self, tokens_BT: Tensor) -> Tensor:
        """Tokens after what a step's choices entail."""


class FullForwards:
    """Every step runs the model over the whole canvas; head and last layer on the places."""

    def __init__(self, model: Dream) -> None:
        self.model = model

    def begin(self, canvas: Canvas, places: Places) -> None:
        pass

    def score(
        self, canvas: Canvas, places: Places, left_B: Sequence[int]
    ) -> tuple[Tensor, Canvas]:
        rows_N = flat(places.source_BM, canvas.tokens_BT.shape[1])
        logits_NV = self.model(canvas.tokens_BT, canvas.valid_BT, rows_N=rows_N)
        return logits_NV.view(*places.shape, -1), counted(
            canvas, canvas.tokens_BT.numel()
        )

    def doubts(self, step: Step) -> bool:
        return False


def denoise(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    *,
    generator: Generators | None = None,
    ending: Ending | None = None,
) -> Run[Canvas, Canvas | None, None]:
    """The canvas after each step. A step that commits nothing costs no forward. A canvas
    sent back at a yield takes the place of the one yielded, and the run goes on from it."""
    return run(
        FullForwards(model), canvas, settings, generator=generator, ending=ending
    )


def run(
    scorer: Scorer,
    canvas: Canvas,
    settings: DecodeSettings,
    *,
    generator: Generators | None,
    ending: Ending | None,
    exact: bool = True,
) -> Run[Canvas, Canvas | None, None]:
    """All steps. `exact`: the published arithmetic for what a step ranks by."""
    if generator is None:
        generator = fresh_generator(settings.seed)
    sent: Canvas | None = canvas
    while sent is not None:
        # A run of its own, even from a state that another run left: masks count from here.
        canvas = replace(sent, masks_B=(), confidence_BT=confidences(sent))
        if settings.by_chance:
            states = drawn_states(scorer, canvas, settings, generator, ending)
        else:
            states = sure_states(scorer, canvas, settings, ending, exact)
        done, sent = yield from states
        if settings.steps is not None:
            settings = replace(settings, steps=max(1, settings.steps - done))


# How many steps were made, and the canvas that a caller sent instead of the last.
States = Run[Canvas, Canvas | None, tuple[int, Canvas | None]]


def sure_states(
    scorer: Scorer,
    canvas: Canvas,
    settings: DecodeSettings,
    ending: Ending | None,
    exact: bool,
) -> States:
    """Steps without chance: tensors of known shape, and no search for masks."""
    pace = Pace(canvas, settings, ending)
    with torch.no_grad():
        places = find_places(canvas)
        scorer.begin(canvas, places)
    i = 0
    while pace.more(i):
        if pace.pauses(i):  # the published schedule has steps that commit nothing
            i += 1
            sent = yield canvas
        else:
            with torch.no_grad():  # not around the yield: the caller's mode is theirs
                step = None
                while step is None or scorer.doubts(step):
                    logits_BMV, canvas = scorer.score(canvas, places, pace.left_B)
                    step = advance(
                        canvas,
                        places,
                        logits_BMV,
                        settings,
                        i,
                        steps_B=pace.steps_B,
                        share_B=pace.share_IB[min(i, len(pace.share_IB) - 1)],
                        begun_B=pace.begun_B,
                        ending=ending,
                        exact=exact,
                    )
                canvas = step.canvas
                places = pace.passed(i, canvas, places)
            i += 1
            sent = yield canvas
        if sent is not None:
            return i, sent
    return i, None


def advance(
    canvas: Canvas,
    places: Places,
    logits_BMV: Tensor,
    settings: DecodeSettings,
    i: int,
    *,
    steps_B: Tensor,
    share_B: Tensor,
    begun_B: Tensor,
    ending: Ending | None = None,
    exact: bool = False,
) -> Step:
    """One step on the device."""
    tokens_BT, mask_id = canvas.tokens_BT, canvas.mask_id
    if ending is not None:
        logits_BMV = ending.bar(tokens_BT, places, logits_BMV)
    filters = settings.top_p is not None or settings.top_k is not None
    how = published_reading if exact or filters else read
    reading = how(logits_BMV, settings, mask_id)
    if ending is not None:
        tokens_BT = ending.settle(tokens_BT, places, reading.x0_BM)
    open_BM = opened(tokens_BT, places, mask_id)
    count_B = quotas(open_BM.sum(dim=-1), i, steps_B, share_B, settings.schedule)
    chosen_BM = decide(
        reading,
        open_BM,
        settings,
        count_B=count_B,
        order_BM=places.order_BM,
        begun_B=begun_B,
    )
    tokens_BT = put(tokens_BT, places, reading.x0_BM, chosen_BM)
    if ending is not None:
        tokens_BT = ending.end(tokens_BT)
    confidence_BT = put(confidences(canvas), places, reading.rank_BM, open_BM)
    canvas = replace(canvas, tokens_BT=tokens_BT, confidence_BT=confidence_BT)
    return Step(canvas=canvas, reading=reading, open_BM=open_BM, chosen_BM=chosen_BM)


class Pace:
    """How many masks are left: known to the host where the schedule alone decides, else
    asked of the device after each step."""

    def __init__(
        self, canvas: Canvas, settings: DecodeSettings, ending: Ending | None
    ) -> None:
        self.settings = settings
        self.total = yields(canvas, settings)
        self.left_B = list(canvas.masks_B)
        self.host_steps_B = row_steps(canvas, settings)
        free = (settings.block, settings.finish, ending) == (None, None, None)
        self.known = settings.rule == "schedule" and free
        device = canvas.tokens_BT.device
        self.begun_B = torch.tensor(self.left_B, device=device)
        self.steps_B = torch.tensor(self.host_steps_B, device=device)
        self.share_IB = shares(settings, self.host_steps_B, device)

    def more(self, i: int) -> bool:
        return i < self.total if self.known else any(self.left_B)

    def quota(self, i: int) -> list[int]:
        how = self.settings
        return [
            quota(left, i, steps, how.eps, how.schedule)
            for left, steps in zip(self.left_B, self.host_steps_B, strict=True)
        ]

    def pauses(self, i: int) -> bool:
        return self.known and not any(self.quota(i))

    def passed(self, i: int, canvas: Canvas, places: Places) -> Places:
        """Step `i` was made: the places that are left."""
        open_BM = opened(canvas.tokens_BT, places, canvas.mask_id)
        if self.known:
            gone_B = self.quota(i)
            self.left_B = [a - b for a, b in zip(self.left_B, gone_B, strict=True)]
        else:
            self.left_B = open_BM.sum(dim=-1).tolist()
        most = max(self.left_B)
        return narrowed(places, open_BM, most) if most < places.shape[1] else places


def drawn_states(
    scorer: Scorer,
    canvas: Canvas,
    settings: DecodeSettings,
    generator: Generators,
    ending: Ending | None,
) -> States:
    """Steps that draw: `commit` on the open places, row by row, as published."""
    places = find_places(canvas)
    scorer.begin(canvas, places)
    total = yields(canvas, settings)
    logits_BMV: Tensor | None = None
    i = 0
    while i < total if ending is None else bool(canvas.masked_BT.any()):
        with torch.no_grad():
            before_BT = canvas.tokens_BT
            left_B = canvas.masked_BT.sum(dim=-1).tolist()
            if logits_BMV is None and any(left_B):
                logits_BMV, canvas = scorer.score(canvas, places, left_B)
            if logits_BMV is not None:
                canvas = drawn(
                    canvas, places, logits_BMV, settings, i, generator, ending
                )
            if not torch.equal(canvas.tokens_BT, before_BT):
                logits_BMV = None
                open_BM = opened(canvas.tokens_BT, places, canvas.mask_id)
                most = int(open_BM.sum(dim=-1).max())
                places = narrowed(places, open_BM, most)
        i += 1
        sent = yield canvas
        if sent is not None:
            return i, sent
    return i, None


def drawn(
    canvas: Canvas,
    places: Places,
    logits_BMV: Tensor,
    settings: DecodeSettings,
    i: int,
    generator: Generators,
    ending: Ending | None,
) -> Canvas:
    if ending is not None:
        logits_BMV = ending.bar(canvas.tokens_BT, places, logits_BMV)
        x0_BM = read(logits_BMV.clone(), settings, canvas.mask_id).x0_BM
        settled_BT = ending.settle(canvas.tokens_BT, places, x0_BM)
        canvas = replace(canvas, tokens_BT=settled_BT)
    open_BM = opened(canvas.tokens_BT, places, canvas.mask_id)
    after = commit(canvas, logits_BMV[open_BM], settings, i, generator=generator)
    if ending is not None:
        after = replace(after, tokens_BT=ending.end(after.tokens_BT))
    return after


# ---- numbers ----


def fresh_generator(seed: int | None) -> Generator:
    generator = Generator()
    if seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(seed)


def yields(canvas: Canvas, settings: DecodeSettings) -> int:
    most = max(canvas.masks_B)
    if settings.steps is None:
        return most
    if settings.schedule == "even":
        return min(settings.steps, most)
    return settings.steps


def shares(
    settings: DecodeSettings, steps_B: Sequence[int], device: torch.device
) -> Tensor:
    """What share of its masks each row releases at each step, (I, B), in one copy."""
    if settings.schedule == "even":
        return torch.zeros(1, len(steps_B), device=device)
    table = [
        torch.stack([released(i, steps, settings.eps) for steps in steps_B])
        for i in range(max(steps_B))
    ]
    return torch.stack(table).to(device)


def flat(columns_BM: Tensor, width: int) -> Tensor:
    """Columns of each row as indices into rows laid end to end."""
    B = columns_BM.shape[0]
    if B == 1:
        return columns_BM[0]
    first_B1 = torch.arange(B, device=columns_BM.device)[:, None] * width
    return (columns_BM + first_B1).flatten()


def counted(canvas: Canvas, rows: int) -> Canvas:
    """One full forward more, in which so many positions went through the layers."""
    return replace(
        canvas,
        forwards_full=canvas.forwards_full + 1,
        query_rows=canvas.query_rows + rows,
    )
