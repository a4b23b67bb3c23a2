"""The weights on the device: loading told in bytes, leaving when idle, adapters merged."""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from dlmd.serve.board import Board
from dlmd.serve.engine import Engine
from dlmd.serve.resident import LoadingUnwanted, Resident
from dlmd.wire.protocol import Infill, Status, hole

from tests.fakes.model import FakeBackend


@dataclass
class Place:
    backend: FakeBackend = field(default_factory=FakeBackend)
    keep_alive: str = "10m"
    adapter: str | None = None
    now: float = 0.0
    told: list[Status] = field(default_factory=list)
    resident: Resident = field(init=False)

    def __post_init__(self) -> None:
        board = Board(threading.Condition(), Status(phase="idle"))
        board.watch(self.told.append)
        self.resident = Resident(
            self.backend,
            board,
            keep_alive=self.keep_alive,
            adapter=self.adapter,
            clock=lambda: self.now,
        )

    def load(self) -> str:
        return self.resident.load(lambda: None)


def test_loading_tells_bytes_and_the_time_to_go() -> None:
    place = Place()

    def tick() -> None:
        place.now += 1

    assert place.resident.load(tick) == ""
    half = next(status for status in place.told if status.bytes_done == 500)
    assert (half.bytes_total, half.eta_s) == (1000, 6)
    assert [s.phase for s in place.told] == ["loading"] * 12 + ["ready"]


def test_what_cannot_be_loaded_leaves_nothing_on_the_device() -> None:
    place = Place(backend=FakeBackend(load_error=ValueError("cut short")), now=7)
    assert place.load() == place.told[-1].detail == "cut short"
    assert place.backend.log == ["unload"]
    assert (place.resident.loaded, place.resident.failed_at) == (False, 7)


def test_loading_that_is_no_longer_wanted_is_no_failure() -> None:
    def unwanted() -> None:
        raise LoadingUnwanted

    place = Place()
    assert place.resident.load(unwanted) == ""
    assert (place.told[-1].phase, place.resident.failed_at) == ("idle", -math.inf)


@pytest.mark.parametrize("keep_alive", ["10m", "600"])
def test_idle_weights_leave_when_their_time_has_come(keep_alive: str) -> None:
    place = Place(keep_alive=keep_alive)
    place.load()
    for place.now in (0, 599):
        place.resident.rest()
        assert place.told[-1].phase == "ready" and place.told[-1].until
    assert len({status.until for status in place.told[-2:]}) <= 2
    place.now = 600
    place.resident.rest()
    place.resident.rest()
    assert place.told[-1].phase == "idle" and place.backend.log == ["load", "unload"]


def test_work_starts_the_time_anew_and_a_request_may_change_it() -> None:
    place = Place()
    place.load()
    place.resident.rest()
    place.now = 599
    place.resident.work()
    place.resident.rest()
    assert place.resident.leave_at == 599 + 600
    place.resident.kept(Infill(id="a", parts=[hole()], keep_alive="-1"))
    place.resident.work()
    place.resident.rest()
    assert place.resident.leave_at is None and place.told[-1].until is None
    place.resident.kept(Infill(id="a", parts=[hole()]))
    place.resident.rest()
    assert place.resident.leave_at == 599 + 600


def test_the_adapter_in_force_is_merged_at_the_start_and_not_twice() -> None:
    place = Place(backend=FakeBackend(adapters={"left": "l"}), adapter="left")
    place.load()
    place.resident.use_adapter("left")
    place.resident.use_adapter(None)
    assert place.backend.log == ["load", "adapter left", "adapter None"]


def test_an_adapter_that_is_gone_is_told_and_the_model_serves() -> None:
    place = Place(adapter="left")
    assert place.load() == ""
    assert place.told[-1].phase == "ready" and "'left'" in place.told[-1].detail
    assert place.resident.in_force is None


def test_a_duration_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="'soon' is no duration"):
        Place(keep_alive="soon")


def test_preparing_goes_on_bit_by_bit_and_says_where_it_is() -> None:
    place = Place(backend=FakeBackend(warming=iter(["1 of 2", "2 of 2"])))
    assert not place.resident.warm()  # nothing is loaded yet
    place.load()
    place.told.clear()
    assert [place.resident.warm() for _ in range(5)] == [True, True] + [False] * 3
    assert [status.detail for status in place.told] == ["1 of 2", "2 of 2", ""]
    assert all(status.phase == "ready" for status in place.told)


def test_preparing_that_fails_is_given_up_and_costs_nothing_else() -> None:
    def failing() -> Iterator[str]:
        yield "1 of 2"
        raise RuntimeError("out of memory")

    place = Place(backend=FakeBackend(warming=failing()))
    place.load()
    assert [place.resident.warm() for _ in range(3)] == [True, False, False]
    assert (place.resident.loaded, place.told[-1].detail) == (True, "")


def test_a_model_that_comes_back_prepares_anew() -> None:
    place = Place(backend=FakeBackend(warming=iter(["1 of 1", "", "1 of 1"])))
    for _ in range(2):
        place.load()
        assert [place.resident.warm() for _ in range(2)] == [True, False]
        place.resident.unload()


def test_the_thread_prepares_while_nobody_waits_and_serves_in_between() -> None:
    backend = FakeBackend(warming=iter(["1 of 2", "2 of 2"]))
    engine = Engine(backend)
    told: list[str] = []
    done = threading.Event()

    def see(status: Status) -> None:
        if status.phase == "ready" and status.detail != (told[-1:] or [""])[0]:
            told.append(status.detail)
            if told == ["1 of 2", "2 of 2", ""]:
                done.set()

    engine.watch(see)
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    assert done.wait(10)
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
