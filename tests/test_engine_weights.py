"""The engine by hand: weights that come and go, a model that does not load, and pins."""

from typing import Any

import pytest
from dlmd.wire.protocol import Pin, Result, Sleep, State, Wake

from tests.fakes.desk import FILL, Desk, filled, phase
from tests.fakes.model import FakeBackend


@pytest.fixture
def desk() -> Desk:
    ready = Desk()
    ready.engine.load()
    return ready


# ---- keep-alive


def test_idle_weights_leave_and_come_back_for_the_next_request(desk: Desk) -> None:
    desk.ask("a")
    desk.work()
    assert desk.engine.status.until is not None
    desk.now = 30 * 60 - 0.1
    assert not desk.engine.step()
    assert (phase(desk), desk.backend.log) == ("ready", ["load"])
    desk.now = 30 * 60
    assert not desk.engine.step()
    assert (phase(desk), desk.backend.log) == ("idle", ["load", "unload"])
    desk.statuses.clear()
    desk.ask("b")
    desk.work()
    assert filled(desk, "b") == FILL
    assert desk.backend.log == ["load", "unload", "load"]
    assert [s.phase for s in desk.statuses][:2] == ["loading", "loading"]
    assert any(s.bytes_done for s in desk.statuses)


@pytest.mark.parametrize(
    ("keep_alive", "gone_after"), [("10m", 600), (5, 5), ("0", 0), (0, 0)]
)
def test_a_request_may_say_how_long_the_weights_stay(
    desk: Desk, keep_alive: str | int, gone_after: float
) -> None:
    desk.ask("a", keep_alive=keep_alive)
    desk.work()
    if gone_after:
        desk.now = gone_after - 0.1
        desk.engine.step()
        assert phase(desk) == "ready"
    desk.now = gone_after
    desk.engine.step()
    assert phase(desk) == "idle"


def test_below_zero_they_stay_until_another_request_says_otherwise(desk: Desk) -> None:
    desk.ask("a", keep_alive="-1")
    desk.work()
    desk.now = 1e9
    desk.engine.step()
    assert (phase(desk), desk.engine.status.until) == ("ready", None)
    desk.ask("b")
    desk.work()
    desk.now += 30 * 60
    desk.engine.step()
    assert phase(desk) == "idle"


def test_weights_do_not_leave_while_there_is_work(desk: Desk) -> None:
    desk.ask("a", keep_alive=0)
    desk.work(2)
    desk.now = 1e6
    desk.work()
    assert filled(desk, "a") == FILL


# ---- a model that does not load


def test_after_a_failure_a_request_later_tries_again() -> None:
    desk = Desk(backend=FakeBackend(load_error=ValueError("out of memory")))
    desk.engine.load()
    assert "ask again" in desk.engine.status.fix
    desk.now = 5
    desk.ask("too soon")
    assert desk.code("too soon") == "model"
    desk.now = 10
    desk.ask("still broken")
    desk.work()
    assert desk.code("still broken") == "model"
    assert phase(desk) == "failed"
    desk.backend.load_error = None
    desk.now = 20
    desk.ask("mended")
    desk.work()
    assert isinstance(desk.end("mended"), Result)
    assert (phase(desk), desk.engine.status.detail) == ("ready", "")


def test_another_model_than_ours_is_refused_by_name(desk: Desk) -> None:
    desk.ask("a", model="dream-7b")
    desk.ask("b", model="fake")
    desk.work()
    assert desk.code("a") == "bad_request"
    assert "this daemon serves fake" in desk.end("a").message  # type: ignore[union-attr]
    assert isinstance(desk.end("b"), Result)


# ---- pins


def test_what_the_user_typed_is_kept_and_the_rest_adapts(desk: Desk) -> None:
    desk.ask("a")
    desk.work(2)
    desk.engine.pin("c", Pin(id="a", hole=0, text="a b X"))
    desk.work()
    assert filled(desk, "a").startswith("a b X")
    assert desk.backend.forwards == 6


def test_a_pin_before_the_first_step_begins_with_it(desk: Desk) -> None:
    desk.ask("a")
    desk.engine.pin("c", Pin(id="a", hole=0, text="a"))
    desk.engine.pin("c", Pin(id="a", hole=0, text="a X"))
    desk.work()
    assert filled(desk, "a").startswith("a X")
    first = desk.of("a")[0]
    assert isinstance(first, State) and first.step == 1


def test_a_pin_of_what_has_ended_or_is_not_ours_is_nothing(desk: Desk) -> None:
    desk.ask("a")
    desk.engine.pin("another", Pin(id="a", hole=0, text="X"))
    desk.work()
    desk.engine.pin("c", Pin(id="a", hole=0, text="X"))
    assert filled(desk, "a") == FILL
    assert not desk.engine.step()


def test_a_pin_survives_a_loan(desk: Desk) -> None:
    desk.ask("a", priority="batch")
    desk.work(1)
    desk.engine.pin("c", Pin(id="a", hole=0, text="X"))
    desk.work(1)
    desk.order(Sleep(id="s"))
    desk.now = 2
    desk.order(Wake(id="w"))
    desk.work()
    assert filled(desk, "a").startswith("X")


def test_a_pin_that_comes_while_a_run_begins_waits_for_its_second_step(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = FakeBackend.infill

    def pinning(backend: FakeBackend, *asked: Any) -> Any:
        desk.engine.pin("c", Pin(id="a", hole=0, text="X"))  # from another thread
        return begin(backend, *asked)

    monkeypatch.setattr(FakeBackend, "infill", pinning)
    desk.ask("a")
    desk.work()
    assert filled(desk, "a").startswith("X")
