"""What simulated typing runs in place of time and of a daemon: a clock of ours, a fake model.

Must not know who types, or what is looked for.
"""

import asyncio
import contextlib
import random
import selectors
from collections.abc import AsyncGenerator
from typing import Any

from dlmd.wire.protocol import Candidate, HolePart, Infill, Result, State, Usage
from dlmd_lsp.link import Link

from tests.fakes.model import TOKEN

FORWARD_S = 0.02
KNOWS = 0.7  # how often the fake model is right about a token


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes when nobody has anything to do: whoever waits is served at once."""

    def __init__(self) -> None:
        super().__init__(_Instant(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _Instant(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout:
            self.loop.now += timeout
        return found


class Model:
    """In the daemon's place: the rest of the text, token by token, with faults."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.rest, self.requests, self.cancelled = chance, "", 0, 0
        self.pins: dict[str, str] = {}

    async def infill(self, request: Infill) -> AsyncGenerator[State | Result, None]:
        self.requests += 1
        [spec] = [part.hole for part in request.parts if isinstance(part, HolePart)]
        tokens = TOKEN.findall(self.rest)[: spec.max_tokens]
        tokens = [t if self.chance.random() < KNOWS else f"{t}_" for t in tokens]
        sure = [round(self.chance.uniform(0.1, 1), 3) for _ in tokens]
        done = False
        try:
            for step in range(1, len(tokens) + 1):
                await asyncio.sleep(FORWARD_S)
                pieces: list[str | int] = [*tokens[:step]]
                numbers = sure[:step]
                if step < len(tokens):
                    pieces, numbers = [*pieces, len(tokens) - step], [*numbers, 0.0]
                yield State(
                    id=request.id,
                    step=step,
                    of=len(tokens),
                    holes=[pieces],
                    confidence=[numbers],
                )
            text = "".join(tokens)
            pin = self.pins.get(request.id, "")
            text = text if text.startswith(pin) else pin + text
            done = True
            yield Result(
                id=request.id,
                candidates=[Candidate(holes=[text], finish="stop")],
                usage=Usage(),
            )
        finally:
            self.cancelled += not done

    async def pin(self, id: str, hole: int, text: str) -> None:
        self.pins[id] = text

    async def ping(self) -> None:
        return


class FakeLink(Link):
    """A link whose daemon is the model above; no socket, no process."""

    model: Model

    async def client(self, *, explicit: bool) -> Any:
        return self.model

    @contextlib.asynccontextmanager
    async def watching(self, client: Any, heard_at: Any) -> Any:
        yield

    @property
    def local(self) -> bool:
        return False  # nothing was tuned here

    @property
    def context(self) -> int:
        return 1024
