"""The engine by hand: loans of the device, adapters and other models."""

import pytest
from dlmd.wire.protocol import (
    Failure,
    Result,
    Sleep,
    State,
    UseAdapter,
    UseModel,
    Wake,
)

from tests.fakes.desk import FILL, Desk, filled, phase
from tests.fakes.model import FakeBackend

LEFT = "1 2 3 4 5 6"
RIGHT = "u v w x y z"


@pytest.fixture
def desk() -> Desk:
    backend = FakeBackend(default=FILL, adapters={"left": LEFT, "right": RIGHT})
    ready = Desk(backend=backend)
    ready.engine.load()
    return ready


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


# ---- other models


def test_another_model_takes_over_with_its_clients_waiting(desk: Desk) -> None:
    desk.order(UseModel(id="m", model="other"))
    desk.ask("a")
    desk.work()
    assert isinstance(desk.end("m"), Result)
    assert isinstance(desk.end("a"), Result)
    assert desk.backend.log == ["load", "unload", "load"]
    assert (phase(desk), desk.engine.status.model) == ("ready", "other")


def test_a_request_for_the_model_before_is_not_answered_by_the_next(desk: Desk) -> None:
    desk.order(UseModel(id="m", model="other"))
    desk.work()
    desk.order(UseModel(id="back", model="fake"))
    desk.ask("a", model="other")
    desk.work()
    assert desk.code("a") == "bad_request"


def test_a_model_nobody_knows_changes_nothing(desk: Desk) -> None:
    desk.order(UseModel(id="m", model="gone"))
    desk.work()
    assert desk.code("m") == "bad_request"
    assert (desk.backend.log, desk.engine.status.model) == (["load"], "fake")


def test_the_model_before_comes_back_if_the_other_does_not_load(desk: Desk) -> None:
    desk.order(UseModel(id="m", model="broken"))
    desk.ask("a")
    desk.work()
    assert desk.code("m") == "model"
    assert "broken are cut short" in desk.end("m").message  # type: ignore[union-attr]
    assert filled(desk, "a") == FILL
    assert (phase(desk), desk.engine.status.model) == ("ready", "fake")


def test_a_model_before_that_is_gone_leaves_the_engine_able_to_try_again(
    desk: Desk,
) -> None:
    desk.backend.removed.add("fake")
    desk.order(UseModel(id="m", model="broken"))
    desk.work()
    assert desk.code("m") == "model"
    assert phase(desk) == "failed"
    desk.order(UseModel(id="n", model="other"))
    desk.work()
    assert isinstance(desk.end("n"), Result)
    assert (phase(desk), desk.engine.status.model) == ("ready", "other")


def test_what_has_begun_finishes_on_its_model_or_begins_again(desk: Desk) -> None:
    desk.ask("short")
    desk.ask("long", client="other")
    desk.work(3)
    desk.engine.cancel("c", "short")
    desk.order(UseModel(id="m", model="other"))
    desk.work(1)
    assert not desk.of("m")
    desk.now = 2
    desk.work()
    assert isinstance(desk.end("m"), Result)
    assert filled(desk, "long") == FILL


def test_no_model_is_loaded_while_the_device_is_lent(desk: Desk) -> None:
    desk.order(Sleep(id="s", by="dlmd tune"))
    desk.order(UseModel(id="m", model="other"))
    desk.work()
    assert desk.code("m") == "busy"
    assert desk.engine.status.model == "fake"


def test_commands_are_told_only_to_who_gave_them(desk: Desk) -> None:
    desk.order(UseAdapter(id="use", adapter="left"), client="gone")
    desk.engine.drop("gone")
    desk.work()
    assert desk.said == []
    assert not any(isinstance(m, Failure) for m in desk.said)
