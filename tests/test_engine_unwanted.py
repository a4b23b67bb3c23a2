"""A frame may take several forwards, as the first does while the model looks for a length:
who is not wanted any more is left between two of them. Counted, not timed."""

import threading

import pytest
from dlmd.serve.backend import ModelBackend
from dlmd.serve.engine import Engine
from dlmd.settings import Settings
from dlmd.wire.protocol import Failure, HolePart, Infill, Result, hole

from tests.fakes.desk import FILL, Desk, Message
from tests.fakes.model import FakeBackend


@pytest.fixture
def desk() -> Desk:
    ready = Desk(backend=FakeBackend(default=FILL, search=7))
    ready.engine.load()
    return ready


def at_forward(desk: Desk, number: int, act: object) -> None:
    def before(n: int) -> None:
        if n == number:
            act()  # type: ignore[operator]

    desk.backend.before_forward = before


def test_wanted_it_is_searched_and_filled(desk: Desk) -> None:
    desk.ask("a")
    assert desk.work() == 6
    assert desk.backend.forwards == 7 + 6
    assert isinstance(desk.end("a"), Result)


def test_a_cancel_during_the_search_costs_no_other_forward(desk: Desk) -> None:
    at_forward(desk, 3, lambda: desk.engine.cancel("c", "a"))
    desk.ask("a")
    desk.work()
    assert (desk.backend.forwards, desk.code("a")) == (3, "cancelled")


def test_nor_does_a_newer_request(desk: Desk) -> None:
    at_forward(desk, 3, lambda: desk.ask("b", supersedes="a"))
    desk.ask("a")
    desk.work()
    assert desk.code("a") == "superseded" and isinstance(desk.end("b"), Result)
    assert desk.backend.forwards == 3 + 7 + 6


def test_nor_a_client_that_leaves_or_a_deadline_that_passes(desk: Desk) -> None:
    def late() -> None:
        desk.now = 2.0

    at_forward(desk, 2, lambda: desk.engine.drop("c"))
    desk.ask("a")
    desk.work()
    assert (desk.backend.forwards, desk.of("a")) == (2, [])
    at_forward(desk, 5, late)
    desk.ask("b", deadline_ms=1000)
    desk.work()
    assert (desk.backend.forwards, desk.code("b")) == (5, "deadline")


def test_nor_an_end_whose_patience_is_over(desk: Desk) -> None:
    at_forward(desk, 4, lambda: desk.engine.stop(0.0))
    desk.ask("a")
    desk.work()
    assert (desk.backend.forwards, desk.code("a")) == (4, "shutting_down")


@pytest.mark.slow
def test_the_real_search_is_left_too() -> None:
    settings = Settings(model="embedded", device="cpu", first_state_ms=0)
    backend = ModelBackend(settings)
    engine, said, forwards = Engine(backend), list[Message](), 0
    engine.load()

    def count(*anything: object) -> None:
        nonlocal forwards
        forwards += 1
        if forwards == 3:
            other = threading.Thread(target=engine.cancel, args=("c", "a"))
            other.start()
            other.join()

    backend._model.register_forward_pre_hook(count)
    parts: list[str | HolePart] = [
        "def total(prices):\n    ",
        hole(length="auto"),
        "\n    return value\n",
    ]
    engine.submit("c", Infill(id="a", parts=parts), said.append)
    while engine.step():
        pass
    [end] = said
    assert isinstance(end, Failure) and end.code == "cancelled"
    assert forwards == 3
    engine.submit("c", Infill(id="b", parts=parts), said.append)
    while engine.step():
        pass
    assert isinstance(said[-1], Result)
    assert forwards > 3 + 4  # a search of several forwards, or this proves nothing
