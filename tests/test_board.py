"""The status: told on change, whole for each phase, and final once stopping."""

import threading

from dlmd.serve.board import Board
from dlmd.wire.protocol import Status


def board() -> tuple[Board, list[Status]]:
    made = Board(threading.Condition(), Status(phase="loading", model="m"))
    told: list[Status] = []
    made.watch(told.append)
    return made, told


def test_only_changes_are_told() -> None:
    made, told = board()
    made.update(bytes_done=5)
    made.update(bytes_done=5)
    assert told == [Status(phase="loading", model="m", bytes_done=5)] == [made.status]


def test_another_phase_forgets_what_the_one_before_told() -> None:
    made, told = board()
    made.update(bytes_done=5, bytes_total=9, eta_s=1.0)
    made.enter("failed", detail="cut short", fix="pull again")
    made.enter("sleeping", lent_to="tune")
    made.enter("ready", device="cpu")
    assert told[-1] == Status(phase="ready", model="m", device="cpu")
    assert told[-2].detail == told[-2].fix == ""


def test_a_listener_may_ask_for_the_status() -> None:
    made, _ = board()
    seen: list[bool] = []
    made.watch(lambda status: seen.append(made.status is status))
    made.enter("ready")
    assert seen == [True]


def test_stopping_is_final() -> None:
    made, told = board()
    made.enter("stopping")
    made.enter("ready")
    assert [status.phase for status in told] == ["stopping"]
