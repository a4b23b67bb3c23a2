"""The engine by hand: loans of the device, adapters, pins, and weights that come and go."""

import pytest
from dlmd.wire.protocol import (
    Failure,
    Pin,
    Result,
    Sleep,
    State,
    UseAdapter,
    Wake,
)

from tests.fakes.desk import FILL, Desk
from tests.fakes.model import FakeBackend

LEFT = "1 2 3 4 5 6"
RIGHT = "u v w x y z"


@pytest.fixture
def desk() -> Desk:
    backend = FakeBackend(default=FILL, adapters={"left": LEFT, "right": RIGHT})
    ready = Desk(backend=backend)
    ready.engine.load()
    return ready


def filled(desk: Desk, id: str) -> str:
    end = desk.end(id)
    assert isinstance(end, Result), end
    return end.candidates[0].holes[0]


def phase(desk: Desk) -> str:
    return desk.engine.status.phase


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


# ---- loans


def test_the_device_is_lent_and_taken_back(desk: Desk) -> None:
    desk.order(Sleep(id="s", by="dlmd tune"))
    desk.work()
    assert isinstance(desk.end("s"), Result)
    assert desk.backend.log == ["load", "unload"]
    assert (phase(desk), desk.engine.status.lent_to) == ("sleeping", "dlmd tune")
    desk.ask("a")
    desk.ask("b", priority="batch")
    desk.work()
    assert desk.code("a") == "busy"
    assert "lent to dlmd tune" in desk.end("a").message  # type: ignore[union-attr]
    assert desk.of("b") == []
    desk.order(Wake(id="w"))
    desk.work()
    assert isinstance(desk.end("w"), Result)
    assert filled(desk, "b") == FILL
    assert (phase(desk), desk.engine.status.lent_to) == ("ready", "")


def test_what_has_begun_may_finish_and_nothing_new_begins(desk: Desk) -> None:
    desk.ask("begun")
    desk.work(1)
    desk.ask("waiting")
    desk.order(Sleep(id="s"))
    desk.ask("late")
    desk.work()
    assert filled(desk, "begun") == FILL
    assert desk.code("waiting") == desk.code("late") == "busy"
    assert isinstance(desk.end("s"), Result)
    assert desk.backend.forwards == 6


def test_a_loan_has_patience_only_so_long_and_batch_begins_again(desk: Desk) -> None:
    desk.ask("typed")
    desk.ask("batch", priority="batch")
    desk.work(1)
    desk.engine.cancel("c", "typed")
    desk.work(1)
    desk.order(Sleep(id="s"))
    desk.ask("typed later")
    desk.now = 2
    desk.work()
    assert isinstance(desk.end("s"), Result)
    assert desk.code("typed later") == "busy"
    states = [m for m in desk.of("batch") if isinstance(m, State)]
    assert [s.step for s in states] == [1]
    desk.order(Wake(id="w"))
    desk.work()
    states = [m for m in desk.of("batch") if isinstance(m, State)]
    assert [s.step for s in states] == [1, 1, 2, 3, 4, 5, 6]
    assert filled(desk, "batch") == FILL


def test_a_request_in_its_middle_is_cut_short_with_who_borrows(desk: Desk) -> None:
    desk.ask("a")
    desk.work(1)
    desk.order(Sleep(id="s", by="training"))
    desk.now = 2
    desk.work()
    assert desk.code("a") == "busy"
    assert "training" in desk.end("a").message  # type: ignore[union-attr]


def test_a_loan_ends_with_its_connection(desk: Desk) -> None:
    desk.order(Sleep(id="s"), client="tuner")
    desk.work()
    desk.ask("b", client="editor", priority="batch")
    assert not desk.engine.step()
    desk.engine.drop("tuner")
    assert phase(desk) == "idle"
    desk.work()
    assert filled(desk, "b") == FILL


def test_a_lasting_loan_outlives_its_connection_until_wake(desk: Desk) -> None:
    desk.order(Sleep(id="s", lasting=True), client="shell")
    desk.work()
    desk.engine.drop("shell")
    assert phase(desk) == "sleeping"
    desk.order(Wake(id="w"), client="another shell")
    desk.work()
    assert phase(desk) == "ready"


def test_nobody_takes_the_device_from_another_connection(desk: Desk) -> None:
    desk.order(Sleep(id="one", by="one"), client="1")
    desk.order(Sleep(id="two", by="two"), client="2")
    desk.work()
    assert desk.engine.status.lent_to == "one, two"
    desk.order(Wake(id="w1"), client="1")
    desk.work()
    assert desk.code("w1") == "busy"
    assert desk.engine.status.lent_to == "two"
    desk.order(Wake(id="w2"), client="2")
    desk.work()
    assert isinstance(desk.end("w2"), Result)
    assert desk.backend.log == ["load", "unload", "load"]


def test_a_client_that_dies_before_its_loan_begins_leaves_none(desk: Desk) -> None:
    desk.ask("a")
    desk.work(1)
    desk.order(Sleep(id="s"), client="tuner")
    desk.work(1)
    desk.engine.drop("tuner")
    desk.work()
    assert filled(desk, "a") == FILL
    assert (phase(desk), desk.backend.log) == ("ready", ["load"])


def test_loading_gives_way_to_a_loan() -> None:
    desk = Desk()
    desk.order(Sleep(id="s"))
    desk.engine.load()
    assert phase(desk) == "idle"
    desk.work()
    assert isinstance(desk.end("s"), Result)
    assert phase(desk) == "sleeping"


def test_wake_of_a_model_that_no_longer_loads_says_why(desk: Desk) -> None:
    desk.order(Sleep(id="s"))
    desk.work()
    desk.backend.load_error = ValueError("model.safetensors is gone")
    desk.order(Wake(id="w"))
    desk.work()
    assert desk.code("w") == "model"
    assert phase(desk) == "failed"


def test_deadlines_hold_while_the_device_is_lent(desk: Desk) -> None:
    desk.order(Sleep(id="s"))
    desk.work()
    desk.ask("b", priority="batch", deadline_ms=100)
    desk.now = 0.1
    desk.work()
    assert desk.code("b") == "deadline"


def test_stopping_ends_commands_too(desk: Desk) -> None:
    desk.ask("begun")
    desk.work(1)
    desk.order(Sleep(id="s"))
    desk.engine.stop(grace_s=5)
    desk.order(Wake(id="w"))
    desk.work()
    assert desk.code("s") == desk.code("w") == "shutting_down"
    assert filled(desk, "begun") == FILL


def test_stopping_while_lent_ends_what_waits(desk: Desk) -> None:
    desk.order(Sleep(id="s"))
    desk.work()
    desk.ask("b", priority="batch")
    desk.engine.stop()
    desk.engine.run()
    assert desk.code("b") == "shutting_down"


# ---- adapters


def test_an_adapter_is_put_in_force_and_rolled_back(desk: Desk) -> None:
    for name, fill in (("left", LEFT), ("right", RIGHT), ("left", LEFT), (None, FILL)):
        id = f"{name}-{len(desk.said)}"
        desk.order(UseAdapter(id=f"use {id}", adapter=name))
        desk.ask(id)
        desk.work()
        assert isinstance(desk.end(f"use {id}"), Result)
        assert filled(desk, id) == fill
        assert desk.engine.status.adapter == name


def test_an_adapter_that_is_not_there_changes_nothing(desk: Desk) -> None:
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.order(UseAdapter(id="wrong", adapter="gone"))
    desk.ask("a")
    desk.work()
    assert desk.code("wrong") == "bad_request"
    assert filled(desk, "a") == LEFT
    assert desk.engine.status.adapter == "left"


def test_a_request_may_name_its_adapter_or_none(desk: Desk) -> None:
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.ask("right", adapter="right")
    desk.ask("none", adapter=None)
    desk.ask("in force")
    desk.ask("gone", adapter="gone")
    desk.work()
    assert [filled(desk, id) for id in ("right", "none", "in force")] == [
        RIGHT,
        FILL,
        LEFT,
    ]
    assert desk.code("gone") == "bad_request"
    assert desk.engine.status.adapter == "left"


def test_clients_with_different_adapters_do_not_swap_at_every_step(desk: Desk) -> None:
    desk.ask("a", client="one", adapter="left")
    desk.ask("b", client="two", adapter="right")
    desk.ask("c", client="three", adapter="left")
    desk.work()
    assert (filled(desk, "a"), filled(desk, "b")) == (LEFT, RIGHT)
    assert filled(desk, "c") == LEFT
    swaps = [line for line in desk.backend.log if line.startswith("adapter")]
    assert len(swaps) <= 3


def test_what_has_begun_keeps_its_adapter_and_is_not_dropped(desk: Desk) -> None:
    desk.ask("begun")
    desk.work(2)
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.ask("next", client="other")
    desk.work()
    assert (filled(desk, "begun"), filled(desk, "next")) == (FILL, LEFT)
    assert desk.backend.log == ["load", "adapter left"]


def test_after_a_second_an_adapter_waits_no_longer(desk: Desk) -> None:
    desk.ask("begun", steps=6)
    desk.work(2)
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.now = 1
    desk.work(1)
    assert isinstance(desk.end("use"), Result)
    desk.work()
    assert filled(desk, "begun") == FILL
    desk.ask("next")
    desk.work()
    assert filled(desk, "next") == LEFT


def test_the_adapter_in_force_comes_back_with_the_weights(desk: Desk) -> None:
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.work()
    desk.order(Sleep(id="s"))
    desk.order(Wake(id="w"))
    desk.ask("a", priority="batch")
    desk.work()
    assert filled(desk, "a") == LEFT
    assert desk.engine.status.adapter == "left"


def test_an_adapter_gone_while_the_weights_were_away_is_told(desk: Desk) -> None:
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.work()
    desk.backend.adapters = {}
    desk.order(Sleep(id="s"))
    desk.order(Wake(id="w"))
    desk.work()
    status = desk.engine.status
    assert (status.phase, status.adapter) == ("ready", None)
    assert "no adapter 'left'" in status.detail


def test_no_adapter_is_used_while_the_device_is_lent(desk: Desk) -> None:
    desk.order(Sleep(id="s", by="dlmd tune"))
    desk.order(UseAdapter(id="use", adapter="left"))
    desk.work()
    assert desk.code("use") == "busy"
    assert "dlmd tune" in desk.end("use").message  # type: ignore[union-attr]


def test_weights_lost_in_a_swap_are_loaded_again(desk: Desk) -> None:
    def broken(name: str | None) -> None:
        raise OSError("the disk is gone")

    desk.backend.lose = broken
    desk.ask("a", adapter="left")
    desk.work()
    assert desk.code("a") == "model"
    desk.backend.lose = None
    desk.ask("b")
    desk.work()
    assert filled(desk, "b") == FILL
    assert desk.backend.log == ["load", "unload", "load"]


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


def test_commands_are_told_only_to_who_gave_them(desk: Desk) -> None:
    desk.order(UseAdapter(id="use", adapter="left"), client="gone")
    desk.engine.drop("gone")
    desk.work()
    assert desk.said == []
    assert not any(isinstance(m, Failure) for m in desk.said)
