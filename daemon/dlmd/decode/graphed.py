"""Cached decoding with the host one step behind the device.

Each step is one of `static.py`: on a CUDA card captured as a graph, once for each bucket
of sizes, and replayed without Python; elsewhere called. Step n+1 is launched before the
record of step n is read; a finished hole makes it a step that does nothing, and where a
full forward or a changed canvas was due instead, it is taken back. Whatever fits no
captured bucket, or comes while its buffers are in use, is decoded by `denoise_cached`,
which gives the same. Must not know text.
"""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Run
from dataclasses import dataclass, replace
from functools import partial

import torch

from dlmd.decode.cached import Windows, denoise_cached, window
from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import Generators
from dlmd.decode.loop import Ending, counted, yields
from dlmd.decode.modes import MODES, InfillSettings
from dlmd.decode.places import find_places, opened, put
from dlmd.decode.published import confidences
from dlmd.decode.rules import read
from dlmd.decode.settings import DecodeSettings
from dlmd.decode.static import Board, Bucket
from dlmd.model import Cache, Dream, cuda, fused

SPARE = 64  # slots behind a bucket's context: padding of windows goes there
WINDOWS = (48, 80, 144, 288)  # holes of 15, 47, 111 and 255 tokens
CONTEXTS = (1024, 2048, 4096)


def buckets(context: int) -> list[Bucket]:
    """The sizes worth capturing for documents of up to `context` tokens, largest first:
    the smaller ones then find their memory in the pool."""
    found = [c for c in CONTEXTS[:-1] if c < context] + [min(context, CONTEXTS[-1])]
    return [
        Bucket(window=window, capacity=-(-size // 64) * 64 + SPARE)
        for size in reversed(found)
        for window in reversed(WINDOWS)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settings that a captured step holds as constants."""

    rule: str
    threshold: float
    factor: float
    entropy_bound: float
    block: int | None
    finish: float | None
    doubt: float | None
    algorithm: str


def plan_of(settings: DecodeSettings) -> Plan:
    names = Plan.__dataclass_fields__
    return Plan(**{name: getattr(settings, name) for name in names})


def common_plans() -> list[DecodeSettings]:
    """What requests ask for that choose nothing but a mode, or a number of steps."""
    modes = [InfillSettings(mode=m, steps=s) for s in (None, 8) for m in MODES]
    return [mode.decoding(masks=32) for mode in modes if mode.cached]


def capturable(settings: DecodeSettings) -> bool:
    """Nothing drawn, no sorting of the vocabulary, no step that commits nothing."""
    filters = settings.top_p is not None or settings.top_k is not None
    steady = settings.rule != "schedule" or settings.schedule == "even"
    return steady and not filters and not settings.by_chance


Replay = Callable[[], None]
States = Run[Canvas, Canvas | None, None]


class Graphed:
    """The captured steps of one model, and the buffers they work on."""

    def __init__(self, model: Dream, sizes: Sequence[Bucket]) -> None:
        self.model = model
        self.device = model.model.embed_tokens.weight.device
        self.graphs = cuda.Graphs(self.device)
        caches: dict[int, Cache] = {}
        for size in sizes:
            if size.capacity not in caches:
                caches[size.capacity] = model.new_cache(
                    rows=1, capacity=size.capacity, whole=True
                )
        self.boards = [Board(model, size, caches[size.capacity]) for size in sizes]
        self.replays: dict[tuple[Bucket, Plan], Replay] = {}
        self.busy: set[int] = set()  # capacities whose cache a run works on
        self.served = [0, 0]  # runs by captured steps, and by steps that were not
        self._forms = 0

    def warm(self, plans: Sequence[DecodeSettings]) -> Iterator[tuple[int, int]]:
        """Capture everything, one bucket at a turn; (done, in all) after each. Between
        two turns the model may serve, at first without graphs."""
        wanted = [
            (board, how)
            for board in self.boards
            for how in {plan_of(each): each for each in plans}.values()
        ]
        for done, (board, how) in enumerate(wanted, start=1):
            self.capture(board, how)
            yield done, len(wanted)
        self._forms = fused.forms()

    def capture(self, board: Board, settings: DecodeSettings) -> None:
        if board.bucket.capacity in self.busy:
            return  # a run works there now: its steps stay uncaptured
        # Zeros everywhere: what a trial step attends to must be numbers.
        board.cache.seen_BS.fill_(True)
        board.slots_W.fill_(0)
        with torch.no_grad():
            replay = self.graphs.capture(partial(board.step, settings))
        self.replays[board.bucket, plan_of(settings)] = replay

    @property
    def late_forms(self) -> int:
        """Kernels compiled since all was warm: it should stay 0."""
        return fused.forms() - self._forms

    def fitting(
        self, settings: DecodeSettings, *, window: int, places: int, context: int
    ) -> tuple[Board, Replay] | None:
        """The smallest captured bucket that holds a run and whose cache is free."""
        plan, found = plan_of(settings), None
        for board in sorted(self.boards, key=lambda b: b.bucket.cost):
            size = board.bucket
            replay = self.replays.get((size, plan))
            holds = window <= size.window and places <= size.places
            if found is None and replay and holds and context < size.capacity:
                found = board, replay
        return None if found and found[0].bucket.capacity in self.busy else found

    def denoise(
        self,
        canvas: Canvas,
        settings: DecodeSettings,
        *,
        generator: Generators | None = None,
        ending: Ending | None = None,
    ) -> States:
        """What `denoise_cached` gives; canvases lie on the host where steps are captured."""
        plain = capturable(settings) and ending is None and canvas.valid_BT is None
        found = None
        if plain and len(canvas.masks_B) == 1 and canvas.masks_B[0]:
            found = self.fitting(settings, **sizes_of(canvas, settings))
        self.served[found is None] += 1
        if found is None:
            return denoise_cached(
                self.model, canvas, settings, generator=generator, ending=ending
            )
        return self.runs(*found, canvas, settings)

    def runs(
        self, board: Board, replay: Replay, canvas: Canvas, settings: DecodeSettings
    ) -> States:
        """One run after another, as long as somebody sends a changed canvas back."""
        windows = Windows(self.model, settings, board.cache)
        capacity = board.bucket.capacity
        if capacity in self.busy:  # since this run was asked for
            yield from denoise_cached(self.model, canvas, settings)
            return
        self.busy.add(capacity)
        try:
            sent: Canvas | None = canvas
            while sent is not None:
                canvas = replace(sent, masks_B=(), tokens_BT=sent.tokens_BT.to(self.device))  # fmt: skip
                if not canvas.masks_B[0]:
                    break
                run = Ahead(board, replay, windows, canvas, settings)
                sent = yield from run.states()
                if settings.steps is not None:
                    steps = max(1, settings.steps - run.made)
                    settings = replace(settings, steps=steps)
            if settings.verify:
                yield looked_at_again(windows, run, canvas)
        finally:
            self.busy.discard(capacity)


def denoise_graphed(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    *,
    graphed: Graphed,
    generator: Generators | None = None,
    ending: Ending | None = None,
) -> States:
    """`Graphed.denoise` in the form of its siblings."""
    assert model is graphed.model, (
        "captured steps belong to the model they were made with"
    )
    return graphed.denoise(canvas, settings, generator=generator, ending=ending)


def sizes_of(canvas: Canvas, settings: DecodeSettings) -> dict[str, int]:
    places = find_places(canvas)
    near_T = window(canvas, places, settings.reach)
    return {
        "window": int(near_T.sum()),
        "places": places.shape[1],
        "context": canvas.tokens_BT.shape[1],
    }


class Ahead:
    """One run: the device works on the next step while the host reads the last."""

    def __init__(
        self,
        board: Board,
        replay: Replay,
        windows: Windows,
        canvas: Canvas,
        settings: DecodeSettings,
    ) -> None:
        self.board, self.replay, self.windows = board, replay, windows
        self.settings = settings
        with torch.no_grad():
            places = find_places(canvas)
            windows.begin(canvas, places)
            assert windows.slots_W is not None and windows.index_T is not None
            board.put(canvas, places, windows.slots_W, windows.index_T)
        windows.tokens_BT = canvas.tokens_BT
        self.left = self.masks = canvas.masks_B[0]
        board.steps_1.fill_(settings.steps or self.masks)
        self.made = 0  # steps whose record was read
        self.sent = 0  # records asked for since the ring began anew
        self.rows = len(windows.slots_W)
        self.at_m = places.at_BM[0].cpu()
        self.state = replace(
            canvas,
            tokens_BT=canvas.tokens_BT.cpu(),
            confidence_BT=confidences(canvas).cpu(),
        )

    def states(self) -> Run[Canvas, Canvas | None, Canvas | None]:
        most = yields(self.state, self.settings)
        whole = self.launch()
        while True:
            ahead = self.made + 1 < most
            if ahead:
                self.launch(window_only=True)
            if self.take(whole):
                sent = yield self.state
                if sent is not None or not self.left:
                    return sent
            whole = self.wants_everything()
            if whole or not ahead:
                # What was launched meanwhile, or nothing, is not what this step should be.
                self.board.write(self.state, step=self.made)
                self.sent = 0
                whole = self.launch()

    def wants_everything(self) -> bool:
        return self.windows.stale or self.windows.due([self.left])

    def launch(self, *, window_only: bool = False) -> bool:
        """Ask for the next step, without waiting; whether it is a full forward."""
        whole = not window_only and self.wants_everything()
        with torch.no_grad():
            if whole:
                self.everything()
            else:
                self.replay()
        self.board.outbox.send(self.sent)
        self.sent += 1
        return whole

    def everything(self) -> None:
        board, T = self.board, self.state.tokens_BT.shape[1]
        tokens_BT = board.tokens_1S[:, :T]
        canvas = replace(self.state, tokens_BT=tokens_BT, confidence_BT=None)
        logits_1MV, _ = self.windows.everything(canvas, board.places, [self.left])
        board.commit(logits_1MV, self.settings)

    def take(self, whole: bool) -> bool:
        """The record of the step after the last one taken, as the state of now; False
        where its choice is in doubt and the step has to be made again."""
        state, at_m = self.state, self.at_m
        n = self.board.outbox.taken
        tokens_m, known_m, left, lead = self.board.read(n, len(at_m))
        if whole:
            state = counted(state, state.tokens_BT.numel())
        else:
            state = replace(
                state,
                forwards_cached=state.forwards_cached + 1,
                query_rows=state.query_rows + self.rows,
            )
        doubt = self.settings.doubt
        if doubt is not None and not whole and lead < doubt:
            self.state, self.windows.stale = state, True
            return False
        tokens_BT, confidence_BT = state.tokens_BT.clone(), confidences(state)
        tokens_BT[0, at_m], confidence_BT[0, at_m] = tokens_m, known_m
        self.state = replace(state, tokens_BT=tokens_BT, confidence_BT=confidence_BT)
        self.left = left
        self.made += 1
        return True


def looked_at_again(windows: Windows, run: Ahead, begun: Canvas) -> Canvas:
    """The last state, with the places marked where a full forward would now put another
    token."""
    device = begun.tokens_BT.device
    with torch.no_grad():
        places = find_places(begun)
        here_BM = opened(begun.tokens_BT, places, begun.mask_id)
        last = replace(run.state, tokens_BT=run.state.tokens_BT.to(device))
        logits_BMV, last = windows.everything(last, places, [0])
        likeliest_BM = read(logits_BMV, windows.settings, begun.mask_id).x0_BM
        would_BT = put(last.tokens_BT, places, likeliest_BM, here_BM)
        doubtful_BT = (would_BT != last.tokens_BT).cpu()
    return replace(last, tokens_BT=run.state.tokens_BT, doubtful_BT=doubtful_BT)
