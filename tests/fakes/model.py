"""A backend without weights: text by table, frames that look like a model's.

The fill of a hole is looked up by the text before it (the longest key that this text ends
with). Masks settle over several steps, in an order that depends on the fill alone, each
with a confidence; every step counts as one forward. Pure Python: no torch, no decode.
"""

import functools
import hashlib
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

from dlmd.serve.engine import Description
from dlmd.serve.resident import Unwanted
from dlmd.wire.protocol import HolePart, HoleSpec, Infill, Pin

TOKEN = re.compile(r"\n *| ?\w+| ?[^\w\s]|\s+")
DEFAULT_FILL = "return value"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFrame:
    candidate: int
    step: int
    of: int
    holes: list[list[str | int]]
    confidence: list[list[float]]
    texts: list[str] | None
    finish: str
    forwards_full: int
    forwards_cached: int = 0


@dataclass(slots=True, kw_only=True)
class FakeBackend:
    """`before_forward(n)` runs before the n-th forward (from 1): block, count or raise in it."""

    table: Mapping[str, str] = field(default_factory=dict)
    default: str = DEFAULT_FILL
    delay_s: float = 0.0  # of each forward
    steps: int | None = None  # None: one token per step
    search: int = 0  # forwards before the first frame, as for a length
    load_s: float = 0.0
    load_error: Exception | None = None
    before_forward: Callable[[int], None] = lambda n: None
    adapters: Mapping[str, str] = field(
        default_factory=dict
    )  # name -> its default fill
    forwards: int = 0
    log: list[str] = field(default_factory=list)  # what came to the device, and left it
    model: str = "fake"
    adapter: str | None = None
    warming: Iterator[str] = field(default_factory=lambda: iter(()))  # what it is at
    lose: Callable[[str | None], None] | None = None  # runs before an adapter is used
    removed: set[str] = field(default_factory=set)  # models that were deleted meanwhile

    def load(self, progress: Callable[[int, int], None]) -> None:
        for tenth in range(11):
            progress(tenth * 100, 1000)
            time.sleep(self.load_s / 11)
            if self.load_error is not None and tenth == 5:
                raise self.load_error
            if self.model == "broken":
                raise ValueError("the weights of broken are cut short")
        self.log.append("load")
        self.adapter = None

    def unload(self) -> None:
        self.log.append("unload")

    def use_adapter(self, name: str | None) -> None:
        if self.lose is not None:
            self.lose(name)
        if name is not None and name not in self.adapters:
            raise ValueError(f"no adapter {name!r}; see `dlmd ls`")
        self.log.append(f"adapter {name}")
        self.adapter = name

    def warm(self) -> str:
        return next(self.warming, "")

    def describe(self) -> Description:
        return {"model": self.model, "profile": "fake", "device": "none"}

    def count(self, text: str) -> int:
        return len(TOKEN.findall(text))

    def use_model(self, name: str) -> None:
        if name not in {"fake", "other", "broken"} - self.removed:
            raise ValueError(f"unknown model {name!r}; see `dlmd ls`")
        self.model = name

    def infill(
        self, request: Infill, wanted: Callable[[], bool] = lambda: True
    ) -> Generator[FakeFrame, Pin | None, None]:
        for _ in range(self.search):
            if not wanted():
                raise Unwanted
            self._forward()
        fills, finish = [], "stop"
        for before, spec in holes_of(request):
            if spec.keep is None:
                fill = started(self.fill_for(before), spec.initial or "")
            else:  # laid over a draft, which stays unless the table has something else
                fill = self.fill_for(before, spec.initial)
            tokens, cut = shaped(fill, spec)
            fills.append(tokens)
            finish = "length" if cut else finish
        used = 0
        for candidate in range(request.n):
            order = commit_order(fills)
            steps = self._steps(request, len(order))
            for step in range(1, steps + 1):
                self._forward()
                used += 1
                settled = frozenset(order[: len(order) * step // steps])
                drawn = [
                    drawing(tokens, i, settled, request.by_token)
                    for i, tokens in enumerate(fills)
                ]
                last = step == steps
                pin = yield FakeFrame(
                    candidate=candidate,
                    step=step,
                    of=steps,
                    holes=[pieces for pieces, _ in drawn],
                    confidence=[sure for _, sure in drawn],
                    texts=["".join(tokens) for tokens in fills] if last else None,
                    finish=finish if last else "",
                    forwards_full=used,
                )
                if pin is not None:  # its tokens are as many as the hole had, or fewer
                    fill = started("".join(fills[pin.hole]), pin.text)
                    there = len(fills[pin.hole])
                    fills[pin.hole] = (TOKEN.findall(fill) + [""] * there)[:there]

    def fill_for(self, before: str, draft: str | None = None) -> str:
        keys = [key for key in self.table if before.endswith(key)]
        default = self.adapters[self.adapter] if self.adapter else self.default
        default = default if draft is None else draft
        return self.table[max(keys, key=len)] if keys else default

    def _steps(self, request: Infill, tokens: int) -> int:
        if request.tokens_per_step is not None:
            return max(1, round(tokens / request.tokens_per_step))
        return request.steps or self.steps or max(1, tokens)

    def _forward(self) -> None:
        self.forwards += 1
        self.before_forward(self.forwards)
        time.sleep(self.delay_s)


def started(fill: str, text: str) -> str:
    """The fill, starting with what stands there already."""
    return text + fill.removeprefix(text)


def holes_of(request: Infill) -> list[tuple[str, HoleSpec]]:
    """Each hole with all text before it."""
    found, before = [], ""
    for part in request.parts:
        if isinstance(part, HolePart):
            found.append((before, part.hole))
        else:
            before += part
    return found


def shaped(fill: str, spec: HoleSpec) -> tuple[list[str], bool]:
    """The fill's tokens, one per mask: surplus masks turn out empty, missing ones cut it."""
    tokens = TOKEN.findall(fill)
    assert "".join(tokens) == fill
    masks = spec.length if isinstance(spec.length, int) else len(tokens)
    masks = min(masks, spec.max_tokens or masks)
    surplus = [""] * max(0, masks - len(tokens))
    return tokens[:masks] + surplus, masks < len(tokens)


def commit_order(fills: list[list[str]]) -> list[tuple[int, int]]:
    """(hole, token) pairs, surest first; the same for the same fills."""
    places = [(i, j) for i, tokens in enumerate(fills) for j in range(len(tokens))]
    return sorted(
        places, key=lambda at: sureness(fills[at[0]][at[1]], at), reverse=True
    )


@functools.cache
def sureness(token: str, at: tuple[int, int]) -> float:
    digest = hashlib.sha256(f"{token}{at}".encode()).digest()
    return 0.4 + 0.6 * digest[0] / 255


def drawing(
    tokens: list[str],
    hole: int,
    settled: frozenset[tuple[int, int]],
    by_token: bool = False,
) -> tuple[list[str | int], list[float]]:
    """Pieces and their confidence: neighbours of a kind drawn as one."""
    pieces: list[str | int] = []
    sure: list[list[float]] = []
    for at, token in enumerate(tokens):
        piece: str | int = token if (hole, at) in settled else 1
        if piece == "":
            continue
        number = sureness(token, (hole, at)) if isinstance(piece, str) else 0.0
        alike = pieces and type(pieces[-1]) is type(piece)
        if alike and not (by_token and isinstance(piece, str)):
            pieces[-1] += piece  # type: ignore[operator]
            sure[-1].append(number)
        else:
            pieces.append(piece)
            sure.append([number])
    return pieces, [round(sum(numbers) / len(numbers), 4) for numbers in sure]
