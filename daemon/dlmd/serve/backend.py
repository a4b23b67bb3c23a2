"""The real Backend: a model folder, a device, and requests as decode understands them.

Imports torch only when load() is called on the engine's thread, so that the daemon answers
at once. What is wrong with the folder's config or name shows before, at construction.
Must not know queues, clients or sockets.
"""

import os
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from dlmd.profiles import Profile
from dlmd.serve import room, which
from dlmd.serve.budget import Budget, measured
from dlmd.serve.engine import Description
from dlmd.serve.job import Frame
from dlmd.serve.resident import Unwanted
from dlmd.settings import Settings
from dlmd.store import verify
from dlmd.wire.protocol import HolePart, HoleSpec, Infill, Pin

WARM_UP = Infill(
    id="warm-up",
    parts=["def f(x):\n    ", HolePart(HoleSpec(length=4)), "\n"],
    steps=1,
    mode="exact",
)

# oneDNN, and PyTorch's layer over it, keep what they build for each new length of a
# document, a thousand of them by default: after 160 lengths 480 MB, and 55 MB with these.
FEW_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}


class ModelBackend:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.word = (
            settings.model
        )  # as it was asked for: `auto` is answered at each load
        self.own = self.chosen = which.configured(settings.model)
        self.device = ""
        self.dtype = ""
        self._budget: Budget | None = None
        self._memory = 0  # bytes that the loaded model takes
        self._model: Any = None
        self._touched: frozenset[str] = frozenset()  # weights that hold an adapter
        self._tokenizer: Any = None
        self._pool: Any = None  # keys kept between requests
        self._graphed: Any = None  # captured steps
        self._capturing: Iterator[tuple[int, int]] = iter(())

    @property
    def folder(self) -> Path:
        return self.chosen.folder

    @property
    def profile(self) -> Profile:
        return self.chosen.profile

    def describe(self) -> Description:
        budget, most = self._budget, self.profile.context if self._model else 0
        return {
            "model": self.chosen.name,
            "profile": self.profile.name,
            "device": self.device,
            "dtype": self.dtype,
            "context": most if budget is None else budget.context,
            "memory": self._memory,
        }

    def load(self, progress: Callable[[int, int], None]) -> None:
        # Before torch is there, which takes seconds: the first word about how much comes.
        progress(0, self.weigh())
        for name, capacity in FEW_KERNELS.items():
            os.environ.setdefault(name, capacity)  # read when torch is loaded
        import torch

        from dlmd.decode import Tokenizer
        from dlmd.decode.warm import Pool
        from dlmd.model import cpu, cuda, load, read_config
        from dlmd.model.packed import pack

        if self.word == "auto":
            wanted = self.settings.quantise != "none"
            self.chosen = which.with_room(
                "auto", self.settings.device, eight_bits=wanted
            )
            progress(0, self.weigh())
        # A wrong kind of model is the first thing to say.
        config = read_config(self.folder)
        verify.check(self.folder)
        self.device = cuda.choose(self.settings.device)
        cuda.take(self.device)
        named = self.settings.dtype
        dtype = None if named == "auto" else getattr(torch, named)
        if self.device == "cpu":
            cpu.keep_freed_memory()
            if dtype is None and room.tight(self.weigh()):
                dtype = torch.bfloat16  # however fast the other would be
        on_cpu = cpu.choose(config, dtype) if self.device == "cpu" else None
        dtype = on_cpu.dtype if on_cpu else dtype or torch.bfloat16
        self.dtype = str(dtype).removeprefix("torch.")
        self._tokenizer = Tokenizer.load(self.folder)
        self._model = load(
            self.folder,
            device=self.device,
            dtype=dtype,
            progress=progress,
            quantise=self.quantise(),
        )
        if on_cpu is not None:
            pack(self._model)
            cpu.watch(self._model, on_cpu)
        self._memory = self._taken()
        # The first forward allocates and picks kernels; no request should wait for that.
        for _ in self.infill(WARM_UP):
            pass
        self._budget = self._solved()
        self._pool = Pool()
        self._graphed = self._captured()

    def _taken(self) -> int:
        """On a card all that is allocated there, elsewhere the weights."""
        from dlmd.model import cuda

        if (on_card := cuda.memory(self.device)) is not None:
            return on_card.taken
        held = (*self._model.parameters(), *self._model.buffers())
        return sum({each.data_ptr(): each.nbytes for each in held}.values())

    def opened(self) -> tuple[Any, Any]:
        """What was loaded, for who looks into it: the model and its tokenizer."""
        return self._model, self._tokenizer

    def weigh(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))

    def quantise(self) -> str:
        asked = self.settings.quantise
        return "int8" if asked == "none" and self.chosen.eight_bits else asked

    def _solved(self) -> Budget | None:
        """The context that this model on this machine can answer in time."""
        target_s, most = self.settings.first_state_ms / 1000, self.profile.context
        if not target_s:
            return None

        def first_state_s(context: int) -> float:
            text = "value = other + 1\n" * context  # more than fits
            # Looking for its length comes before a hole's first state, as for most requests.
            hole = HolePart(HoleSpec())
            request = Infill(id="measured", parts=[text, hole, "\n" + text])
            began = perf_counter()
            frames = self._frames(request, context)
            next(frames)
            took = perf_counter() - began
            frames.close()
            return took

        curve = measured(first_state_s, target_s=target_s, most=most)
        return Budget(curve, target_s=target_s, most=most)

    def unload(self) -> None:
        self._model = self._tokenizer = self._pool = self._graphed = None
        self._capturing = iter(())
        self._touched = frozenset()
        self._memory = 0
        from dlmd.model import cuda

        cuda.give_back()  # and what generators that ended hold in a cycle

    def use_model(self, name: str) -> None:
        """Load this one next: by its name, never by a path but the one this was started with."""
        if name == "auto" and self.settings.model != "auto":
            raise ValueError(
                f"this daemon was told to serve {self.own.name}, not to choose; give a "
                "name from `dlmd ls`"
            )
        self.chosen = self.own if name == self.own.name else which.named(name)
        self.word = name

    def use_adapter(self, name: str | None) -> None:
        from dlmd.model import lora
        from dlmd.store import adapters

        adapter: dict[str, Any] = {}
        if name is not None:
            folder = adapters.check(name, self.folder)
            adapter = dict(lora.read(folder, self._model))
        self._pool.clear()
        lora.swap(self._model, self.folder, self._touched, adapter)
        self._touched = frozenset(adapter)

    def warm(self) -> str:
        """Capture one more step; requests in between run those that are there."""
        done, total = next(self._capturing, (0, 0))
        return f"capturing steps, {done} of {total}" if done < total else ""

    def _captured(self) -> Any:
        """Steps for a card to replay; none elsewhere, where calling them costs the same."""
        if not self.device.startswith("cuda"):
            return None
        from dlmd.decode.graphed import Graphed, buckets, common_plans

        graphed = Graphed(self._model, buckets(self.profile.context))
        self._capturing = graphed.warm(common_plans())
        return graphed

    def count(self, text: str) -> int:
        """Tokens of a text, asked from any thread; 0 while no model is loaded."""
        tokenizer = self._tokenizer
        return 0 if tokenizer is None else len(tokenizer.encode(text))

    def infill(
        self, request: Infill, wanted: Callable[[], bool] = lambda: True
    ) -> Generator[Frame, Pin | None, None]:
        budget = self._budget
        frames = self._frames(request, None if budget is None else budget.context)
        began = perf_counter()
        # Each frame after this one is one forward, and between frames the engine asks.
        asking = self._model.register_forward_pre_hook(partial(_ask, wanted))
        try:
            frame = next(frames)
        finally:
            asking.remove()
        # What came from an earlier document's keys says nothing of a new document, and
        # what looked for no length nothing of those that do.
        whole = request.n == 1 and own_length(request) and frame.forwards_full
        if budget is not None and whole:
            budget.saw(frame.context, perf_counter() - began)
        while frame is not None:
            pin = yield frame
            frame = next(frames, None) if pin is None else frames.send(pin)

    def _frames(self, request: Infill, budget: int | None) -> Any:
        from dlmd.decode import Hole, infill

        parts = [
            part if isinstance(part, str) else Hole(**hole_fields(part.hole))
            for part in request.parts
        ]
        settings = infill_settings(request, self.settings)
        return infill(
            self._model,
            self._tokenizer,
            self.profile,
            parts,
            settings,
            budget=budget,
            chat=told(request),
            pool=self._pool,
            graphed=self._graphed,
        )


def _ask(wanted: Callable[[], bool], *forward: object) -> None:
    if not wanted():
        raise Unwanted


def told(request: Infill) -> list[dict[str, str]] | None:
    """What was said before the parts, as decode takes it."""
    if request.chat is None:
        return None
    return [{"role": turn.role, "content": turn.content} for turn in request.chat]


def own_length(request: Infill) -> bool:
    """Whether it has one hole, whose length the model is to find."""
    holes = [part.hole for part in request.parts if isinstance(part, HolePart)]
    return len(holes) == 1 and holes[0].length is None


def hole_fields(spec: HoleSpec) -> dict[str, Any]:
    return {
        "max_tokens": spec.max_tokens,
        "length": "auto" if spec.length is None else spec.length,
        "initial": spec.initial,
        "keep": spec.keep,
    }


def infill_settings(request: Infill, defaults: Settings) -> Any:
    """The request's choices, and the daemon's own where it made none."""
    from dlmd.decode import InfillSettings

    paced = request.steps is not None or request.tokens_per_step is not None
    heat = request.temperature
    return InfillSettings(
        mode=request.mode or defaults.mode,
        steps=request.steps,
        tokens_per_step=request.tokens_per_step if paced else defaults.tokens_per_step,
        temperature=defaults.temperature if heat is None else heat,
        top_p=defaults.top_p if request.top_p is None else request.top_p,
        seed=request.seed,
        n=request.n,
        by_token=request.by_token,
    )
