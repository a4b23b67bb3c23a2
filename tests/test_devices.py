"""Nothing on the decode path is made on a device by default, or in float64.

A tensor made without `device=` lands on the CPU, where a run on a card would wait for it,
and one on Apple's GPU would fail; that GPU has no float64 at all. Watched are the calls
that make tensors, and what every operation gives, through whole runs.
"""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings, Hole, InfillSettings, Tokenizer
from dlmd.decode import infill as infill_of
from dlmd.decode.cached import denoise_cached
from dlmd.decode.graphed import Graphed
from dlmd.decode.loop import denoise
from dlmd.decode.static import Bucket
from dlmd.model import Dream, load
from dlmd.profiles import EMBEDDED_FOLDER, for_folder
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.fakes.tiny import tiny_model_folder

MAKERS = {
    getattr(torch, name): name
    for name in (
        *("arange", "empty", "eye", "full", "linspace", "logspace", "ones"),
        *("rand", "randint", "randn", "randperm", "tensor", "zeros", "scalar_tensor"),
    )
}
OURS = str(Path(__file__).resolve().parent.parent / "daemon")


def line_of_ours() -> str:
    """The innermost line of the daemon's code that is running."""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename.startswith(OURS):
            return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"
    return "outside of the daemon"


class Makers(TorchFunctionMode):
    """Notes every tensor that is made from nothing without saying where."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in MAKERS and kwargs.get("device") is None:
            self.seen.add(f"torch.{MAKERS[func]} without a device at {line_of_ours()}")
        return func(*args, **kwargs)


class Doubles(TorchDispatchMode):
    """Notes every operation that gives float64."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                self.seen.add(f"{func} gives float64 at {line_of_ours()}")
        return out


def complaints(run: Callable[[], object]) -> list[str]:
    with Makers() as makers, Doubles() as doubles:
        run()
    return sorted(makers.seen | doubles.seen)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Dream:
    return load(tiny_model_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def embedded() -> tuple[Dream, Tokenizer]:
    return load(EMBEDDED_FOLDER), Tokenizer.load(EMBEDDED_FOLDER)


def canvas_of(model: Dream, rows: int = 1) -> Canvas:
    drawn = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(4, 200, (rows, 60), generator=drawn)
    tokens_BT[:, 20:30] = model.config.mask_token_id
    return Canvas(tokens_BT, mask_id=model.config.mask_token_id)


SETTINGS = [
    DecodeSettings(),
    DecodeSettings(schedule="even", steps=4),
    DecodeSettings(algorithm="topk_margin", finish=2.0, schedule="even"),
    DecodeSettings(algorithm="maskgit_plus", temperature=0.7, top_p=0.9, seed=1),
    DecodeSettings(algorithm="origin", seed=1),
    DecodeSettings(alg_temp=0.5, seed=1),
    DecodeSettings(rule="threshold", block=4),
    DecodeSettings(rule="factor"),
    DecodeSettings(rule="entropy_bound", refresh_share=0.3, doubt=0.1),
]
NAMES = [f"{s.algorithm}-{s.rule}-{n}" for n, s in enumerate(SETTINGS)]


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
@pytest.mark.parametrize("rows", [1, 2])
def test_the_plain_decoder(model: Dream, settings: DecodeSettings, rows: int) -> None:
    canvas = canvas_of(model, rows)
    assert complaints(lambda: list(denoise(model, canvas, settings))) == []


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
@pytest.mark.parametrize("rows", [1, 2])
def test_the_cached_decoder(model: Dream, settings: DecodeSettings, rows: int) -> None:
    canvas = canvas_of(model, rows)
    assert complaints(lambda: list(denoise_cached(model, canvas, settings))) == []


def test_the_captured_step(model: Dream) -> None:
    canvas = canvas_of(model)

    def run() -> None:
        graphed = Graphed(model, [Bucket(window=80, capacity=128)])
        list(graphed.warm([SETTINGS[1]]))
        list(graphed.denoise(canvas, SETTINGS[1]))
        assert graphed.served == [1, 0]

    assert complaints(run) == []


@pytest.mark.parametrize("scheme", ["int8", "fp8"])
def test_eight_bits(tmp_path: Path, scheme: str) -> None:
    small = load(tiny_model_folder(tmp_path), quantise=scheme)
    canvas = canvas_of(small)
    assert complaints(lambda: list(denoise_cached(small, canvas, SETTINGS[1]))) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exact", "quality", "fast"])
def test_a_whole_request(embedded: tuple[Dream, Tokenizer], mode: str) -> None:
    def run() -> None:
        parts: list[str | Hole] = [
            "def add(a, b):\n    return ",
            Hole(max_tokens=8),
            "\n",
        ]
        settings = InfillSettings(mode=mode)
        profile = for_folder(EMBEDDED_FOLDER)
        list(infill_of(*embedded, profile, parts, settings))

    assert complaints(run) == []


# ---- the watchers themselves


def wrong() -> Iterator[Callable[[], object]]:
    yield lambda: torch.zeros(3)
    yield lambda: torch.tensor([1.0])
    yield lambda: torch.arange(4)
    yield lambda: torch.zeros(1, device="cpu").double()
    yield lambda: torch.ones(1, device="cpu", dtype=torch.float64)


@pytest.mark.parametrize("run", list(wrong()), ids=range(5))
def test_what_is_wrong_is_seen(run: Callable[[], object]) -> None:
    assert complaints(run) != []


def test_what_says_where_it_goes_is_right() -> None:
    assert complaints(lambda: torch.zeros(3, device="cpu") + 1) == []
