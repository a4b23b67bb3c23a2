"""An engine stepped by hand: a fake model, a clock to turn, and everything it said.

Single-threaded, so that a test decides what happens between two steps. Must not know sockets.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from dlmd.serve.engine import Engine
from dlmd.wire.protocol import Command, Failure, Infill, Result, State, Status, hole

from tests.fakes.model import FakeBackend

FILL = "a b c d e f"  # six tokens, so six steps
Message = State | Result | Failure


@dataclass
class Desk:
    """An engine with a fake model, a clock to turn, and everything it ever emitted."""

    backend: FakeBackend = field(default_factory=lambda: FakeBackend(default=FILL))
    now: float = 0.0
    max_open: int = 8
    keep_alive: str = "30m"
    said: list[Message] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(
            self.backend,
            on_status=self.statuses.append,
            max_open=self.max_open,
            keep_alive=self.keep_alive,
            clock=lambda: self.now,
        )

    def ask(self, id: str, client: Hashable = "c", **fields: object) -> None:
        parts = ["def f():\n    ", hole(), "\n"]
        request = Infill(id=id, parts=parts, **fields)  # type: ignore[arg-type]
        self.engine.submit(client, request, self.said.append)

    def order(self, command: Command, client: Hashable = "c") -> None:
        self.engine.command(client, command, self.said.append)

    def work(self, steps: int | None = None) -> int:
        done = 0
        while done != steps and self.engine.step():
            done += 1
        return done

    def of(self, id: str) -> list[Message]:
        return [message for message in self.said if message.id == id]

    def end(self, id: str) -> Result | Failure:
        """The one end that every request has."""
        ends = [m for m in self.of(id) if not isinstance(m, State)]
        assert len(ends) == 1
        assert ends[0] is self.of(id)[-1]
        return ends[0]

    def code(self, id: str) -> str:
        end = self.end(id)
        assert isinstance(end, Failure)
        assert end.message.endswith((".", "?")) is False and "\n" not in end.message
        return end.code


def filled(desk: Desk, id: str) -> str:
    end = desk.end(id)
    assert isinstance(end, Result), end
    return end.candidates[0].holes[0]


def phase(desk: Desk) -> str:
    return desk.engine.status.phase
