"""The engine by hand: step() is called here, on this thread, and time stands still."""

import threading
from collections.abc import Callable, Generator

import pytest
from dlmd.serve.engine import Description, Engine
from dlmd.wire.protocol import Failure, Infill, Pin, Result, State, hole

from tests.fakes.desk import FILL, Desk, Message
from tests.fakes.model import FakeBackend, FakeFrame


@pytest.fixture
def desk() -> Desk:
    ready = Desk()
    ready.engine.load()
    return ready


def test_a_request_becomes_states_and_one_result(desk: Desk) -> None:
    desk.ask("a")
    assert desk.work() == 6
    *states, result = desk.of("a")
    assert [state.step for state in states] == [1, 2, 3, 4, 5, 6]  # type: ignore[union-attr]
    assert isinstance(result, Result)
    assert result.candidates[0].holes == [FILL]
    assert result.candidates[0].finish == "stop"
    assert 0.4 <= (result.candidates[0].confidence or 0) <= 1
    assert result.usage.forwards_full == result.usage.steps == 6


def test_masks_settle_and_never_change(desk: Desk) -> None:
    desk.ask("a")
    desk.work()
    masked = [
        sum(piece for piece in state.holes[0] if isinstance(piece, int))
        for state in desk.of("a")
        if isinstance(state, State)
    ]
    assert masked == [5, 4, 3, 2, 1, 0]


def test_one_step_is_one_forward_of_one_request(desk: Desk) -> None:
    desk.ask("a")
    desk.ask("b", client="other")
    assert desk.engine.step()
    assert desk.backend.forwards == 1
    assert len(desk.said) == 1


def test_without_stream_only_the_result_comes(desk: Desk) -> None:
    desk.ask("a", stream=False)
    desk.work()
    assert [type(message) for message in desk.said] == [Result]


def test_candidates_come_in_order_and_end_once(desk: Desk) -> None:
    desk.ask("a", n=3, steps=2)
    desk.work()
    end = desk.end("a")
    assert isinstance(end, Result)
    assert [candidate.holes for candidate in end.candidates] == [[FILL]] * 3


def test_usage_is_measured_from_the_arrival(desk: Desk) -> None:
    desk.ask("a", steps=2)
    desk.now = 0.5
    desk.work(1)
    desk.now = 2.0
    desk.work()
    end = desk.end("a")
    assert isinstance(end, Result)
    assert (end.usage.ms_first_state, end.usage.ms_total) == (500, 2000)


# ---- ends


def test_cancel_takes_effect_before_the_next_forward(desk: Desk) -> None:
    desk.ask("a")
    desk.work(2)
    desk.engine.cancel("c", "a")
    desk.work()
    assert desk.backend.forwards == 2
    assert desk.code("a") == "cancelled"


def test_cancel_during_a_forward_costs_no_other_forward(desk: Desk) -> None:
    def cancel_in_third(n: int) -> None:
        if n == 3:
            desk.engine.cancel("c", "a")

    desk.backend.before_forward = cancel_in_third
    desk.ask("a")
    desk.work()
    assert desk.backend.forwards == 3
    assert desk.code("a") == "cancelled"


def test_cancel_of_an_unknown_or_ended_id_is_nothing(desk: Desk) -> None:
    desk.ask("a", steps=1)
    desk.work()
    desk.engine.cancel("c", "a")
    desk.engine.cancel("c", "never")
    assert not desk.engine.step()
    assert isinstance(desk.end("a"), Result)


def test_cancel_reaches_only_the_own_client(desk: Desk) -> None:
    desk.ask("a", client="one")
    desk.engine.cancel("two", "a")
    desk.work()
    assert isinstance(desk.end("a"), Result)


def test_a_newer_request_supersedes_the_named_one(desk: Desk) -> None:
    desk.ask("a")
    desk.work(2)
    desk.ask("b", supersedes="a")
    desk.work()
    assert desk.code("a") == "superseded"
    assert isinstance(desk.end("b"), Result)
    assert desk.backend.forwards == 2 + 6


def test_only_the_newest_of_a_burst_is_computed(desk: Desk) -> None:
    desk.ask("0")
    for number in range(1, 6):
        desk.ask(str(number), supersedes=str(number - 1))
    desk.work()
    assert [desk.code(str(number)) for number in range(5)] == ["superseded"] * 5
    assert isinstance(desk.end("5"), Result)
    assert desk.backend.forwards == 6


def test_a_dropped_client_hears_nothing_and_costs_nothing(desk: Desk) -> None:
    desk.ask("a", client="gone")
    desk.ask("b", client="gone")
    desk.work(1)
    heard = len(desk.said)
    desk.engine.drop("gone")
    desk.work()
    assert len(desk.said) == heard
    assert desk.backend.forwards == 1


def test_a_deadline_ends_a_request_between_steps(desk: Desk) -> None:
    desk.ask("a", deadline_ms=100)
    desk.work(1)
    desk.now = 0.099
    desk.work(1)
    desk.now = 0.1
    desk.work()
    assert desk.code("a") == "deadline"
    assert desk.backend.forwards == 2


def test_a_full_queue_refuses_in_one_sentence_and_keeps_the_rest() -> None:
    desk = Desk(max_open=2)
    desk.engine.load()
    for id in ("a", "b", "c"):
        desk.ask(id)
    assert desk.code("c") == "busy"
    desk.ask("d", supersedes="b")  # takes the place of the one it ends
    desk.work()
    assert isinstance(desk.end("a"), Result)
    assert isinstance(desk.end("d"), Result)
    assert desk.code("b") == "superseded"


def test_a_failing_forward_is_one_failure_and_the_next_request_works(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    def break_second(n: int) -> None:
        if n == 2:
            raise RuntimeError("out of memory\nwith the user's text")

    desk.backend.before_forward = break_second
    desk.ask("a")
    desk.ask("b")
    desk.work()
    assert desk.code("a") == "model"
    assert "out of memory" in desk.end("a").message  # type: ignore[union-attr]
    assert isinstance(desk.end("b"), Result)
    assert "user's text" not in caplog.text


def test_what_the_request_did_wrong_is_told_as_it_is(desk: Desk) -> None:
    def refuse(n: int) -> None:
        raise ValueError("the hole is too long; make it shorter")

    desk.backend.before_forward = refuse
    desk.ask("a")
    desk.work()
    assert desk.end("a") == Failure(
        id="a", code="bad_request", message="the hole is too long; make it shorter"
    )


class StopsShort:
    def load(self, progress: Callable[[int, int], None]) -> None: ...

    def unload(self) -> None: ...

    def use_adapter(self, name: str | None) -> None: ...

    def use_model(self, name: str) -> None: ...

    def count(self, text: str) -> int:
        return 0

    def warm(self) -> str:
        return ""

    def describe(self) -> Description:
        return {"model": "short", "profile": "short", "device": "none"}

    def infill(
        self, request: Infill, wanted: Callable[[], bool]
    ) -> Generator[FakeFrame, Pin | None, None]:
        yield from ()


def test_a_backend_that_stops_short_is_our_fault() -> None:
    said: list[Message] = []
    engine = Engine(StopsShort())
    engine.load()
    engine.submit("c", Infill(id="a", parts=["x", hole()]), said.append)
    engine.step()
    assert [getattr(message, "code", None) for message in said] == ["internal"]


def test_ends_are_told_to_who_counts_them_and_tokens_are_counted(desk: Desk) -> None:
    ends: list[tuple[str, str]] = []
    desk.engine.watch_ends(
        lambda job, end: ends.append((job.request.id, type(end).__name__))
    )
    desk.ask("a")
    desk.ask("b", model="gone")  # refused, so never accepted
    desk.ask("c")
    desk.engine.cancel("c", "c")
    desk.work()
    assert ends == [("c", "Failure"), ("a", "Result")]
    assert desk.engine.count("a b") == 2


# ---- whose turn


def turns(desk: Desk) -> str:
    return "".join(str(m.id) for m in desk.said if isinstance(m, State))


def test_interactive_comes_before_batch_even_in_its_middle(desk: Desk) -> None:
    desk.ask("b", client="one", priority="batch", steps=3)
    desk.work(1)
    desk.ask("i", client="two", steps=2)
    desk.work()
    assert turns(desk) == "biibb"


def test_clients_take_turns_and_one_client_keeps_its_order(desk: Desk) -> None:
    desk.ask("1", client="x", steps=2)
    desk.ask("2", client="x", steps=2)
    desk.ask("3", client="y", steps=2)
    desk.work()
    assert turns(desk) == "131322"


# ---- loading, status, stopping


def test_loading_tells_bytes_then_ready_and_requests_wait() -> None:
    desk = Desk()
    desk.ask("a")
    assert desk.engine.status.phase == "loading"
    desk.engine.load()
    assert desk.said == []
    phases = [status.phase for status in desk.statuses]
    assert phases == ["loading"] * (len(phases) - 1) + ["ready"]
    assert desk.statuses[-2].bytes_done == desk.statuses[-2].bytes_total == 1000
    assert desk.statuses[-1].bytes_total == 0
    desk.work()
    assert isinstance(desk.end("a"), Result)


def test_a_request_may_be_cancelled_while_the_model_loads() -> None:
    desk = Desk()
    ended_in: list[str] = []
    desk.ask("a")
    desk.engine.watch(lambda status: desk.engine.cancel("c", "a"))
    desk.engine.watch(lambda status: ended_in.extend(status.phase for _ in desk.said))
    desk.engine.load()
    assert ended_in[0] == "loading"
    assert desk.code("a") == "cancelled"


def test_a_model_that_cannot_be_loaded_fails_all_requests() -> None:
    desk = Desk(backend=FakeBackend(load_error=ValueError("model.safetensors is cut")))
    desk.ask("before")
    desk.engine.load()
    desk.ask("after")
    assert desk.code("before") == desk.code("after") == "model"
    status = desk.engine.status
    assert (status.phase, status.detail) == ("failed", "model.safetensors is cut")
    assert "dlmd stop" in status.fix


def test_busy_while_there_is_work_and_ready_after(desk: Desk) -> None:
    desk.statuses.clear()
    desk.ask("a", steps=2)
    desk.work(1)
    assert [status.phase for status in desk.statuses] == ["busy"]
    desk.work()
    assert [status.phase for status in desk.statuses] == ["busy", "ready"]


def test_stop_lets_begun_requests_finish_and_fails_the_others(desk: Desk) -> None:
    desk.ask("begun")
    desk.work(1)
    desk.ask("waiting")
    desk.engine.stop(grace_s=10)
    desk.ask("late")
    desk.work()
    assert isinstance(desk.end("begun"), Result)
    assert desk.code("waiting") == desk.code("late") == "shutting_down"
    assert desk.engine.status.phase == "stopping"


def test_stop_has_patience_only_so_long(desk: Desk) -> None:
    desk.ask("begun")
    desk.work(1)
    desk.engine.stop(grace_s=10)
    desk.now = 10
    desk.work()
    assert desk.code("begun") == "shutting_down"
    assert desk.backend.forwards == 1


def test_stop_during_loading_leaves_it(desk: Desk) -> None:
    desk = Desk()
    desk.ask("a")
    desk.engine.stop()
    desk.engine.run()  # returns, although the model was never loaded
    assert desk.code("a") == "shutting_down"
    assert desk.engine.status.phase == "stopping"


# ---- the thread


def test_the_thread_serves_many_clients_and_every_id_ends_once() -> None:
    backend = FakeBackend(default=FILL)
    engine = Engine(backend)
    ends: list[str] = []
    all_ended = threading.Event()

    def emit(message: Message) -> None:
        if not isinstance(message, State):
            ends.append(str(message.id))
            if len(ends) == 40:
                all_ended.set()

    def one_client(name: int) -> None:
        for number in range(10):
            id = f"{name}-{number}"
            older = f"{name}-{number - 1}" if number % 3 == 0 else None
            request = Infill(id=id, parts=["x", hole()], supersedes=older)
            engine.submit(name, request, emit)
            if number % 4 == 1:
                engine.cancel(name, id)

    thread = threading.Thread(target=engine.run)
    clients = [threading.Thread(target=one_client, args=(n,)) for n in range(4)]
    for each in (thread, *clients):
        each.start()
    for each in clients:
        each.join()
    assert all_ended.wait(10)
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert len(ends) == len(set(ends)) == 40


def test_stop_wakes_an_idle_thread() -> None:
    engine = Engine(FakeBackend())
    ready = threading.Event()
    engine.watch(lambda status: ready.set() if status.phase == "ready" else None)
    thread = threading.Thread(target=engine.run)
    thread.start()
    assert ready.wait(10)
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
