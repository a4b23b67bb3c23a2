"""Whose turn it is, and what the queue remembers: nothing of what has ended."""

import pytest
from dlmd.serve.job import Job
from dlmd.serve.queue import Queue
from dlmd.wire.protocol import Failure, Infill, hole


def job(id: str, client: str = "c", party: str = "", **fields: object) -> Job:
    request = Infill(id=id, parts=["x", hole()], **fields)  # type: ignore[arg-type]
    made = Job(client=client, request=request, emit=lambda m: None, arrived=0.0)
    made.party = party or client
    made.adapter = request.adapter
    return made


def queue(*jobs: Job) -> Queue:
    made = Queue()
    for each in jobs:
        made.add(each)
    return made


def turns(made: Queue, count: int, resident: str | None = None) -> str:
    said = ""
    for _ in range(count):
        picked = made.pick(resident, None)
        assert picked is not None
        made.begin(picked)
        said += picked.request.id
    return said


def test_clients_take_turns_and_the_oldest_of_each_goes_first() -> None:
    made = queue(job("1", "x"), job("2", "x"), job("3", "y"))
    assert turns(made, 4) == "1313"


def test_many_clients_of_one_party_share_its_turns() -> None:
    made = queue(*(job(n, f"http {n}", "http") for n in "123"), job("e", "editor"))
    assert turns(made, 8) == "1e2e3e1e"
    assert turns(queue(job("1", "x", "http"), job("2", "y", "http")), 4) == "1212"


def test_interactive_goes_before_batch() -> None:
    made = queue(job("b", "x", priority="batch"), job("i", "x"))
    assert turns(made, 2) == "ii"


def test_an_ended_job_leaves_nothing_behind() -> None:
    jobs = [job(str(n), f"client {n}", deadline_ms=1000) for n in range(300)]
    made = queue(*jobs)
    turns(made, 100)
    for each in jobs:
        made.end_soon(each, Failure(id="x", code="cancelled", message="x"))
        made.remove(each)
    made.add(last := job("last", deadline_ms=1))
    assert len(made) == 1 and made.take_ending() == [] and made.begun() == []
    assert len(made._deadlines) == 1 and not made._last_turn
    assert set(made._open) == {"c"}
    assert made.take_overdue(10.0) == [last]


def test_deadlines_come_in_their_order() -> None:
    made = queue(job("2", deadline_ms=2000), job("0"), job("1", deadline_ms=1000))
    assert made.next_deadline == 1.0
    assert [each.request.id for each in made.take_overdue(1.0)] == ["1"]
    assert made.next_deadline == 2.0
    assert [each.request.id for each in made.take_overdue(9.0)] == ["2"]
    assert made.next_deadline is None


def test_a_job_ends_once() -> None:
    one = job("1")
    made = queue(one)
    end = Failure(id="1", code="cancelled", message="x")
    assert made.end_soon(one, end) and not made.end_soon(one, end)
    assert not made.end_soon(None, end)
    assert made.waiting == 0 and made.ending
    assert made.take_ending() == [one] and made.take_ending() == []


def test_an_adapter_changes_only_when_its_requests_have_ended() -> None:
    left, right = job("l", "x", adapter="left"), job("r", "y", adapter="right")
    more = job("m", "z", adapter="left")
    made = queue(left, right)
    assert turns(made, 1, None) == "l"
    made.add(more)
    assert turns(made, 3, "left") == "lll"  # r is next, and nothing else begins
    made.remove(left)
    assert turns(made, 1, "left") == "r"


@pytest.mark.parametrize("count", [0, 1])
def test_only_what_has_begun_where_that_is_asked_for(count: int) -> None:
    made = queue(job("1", "x"), job("2", "y"))
    turns(made, count)
    picked = [made.pick(None, None, begun_only=True) for _ in range(2)]
    assert [p and p.request.id for p in picked] == ["1" if count else None] * 2


def test_a_job_set_back_has_not_begun() -> None:
    one = job("1")
    made = queue(one)
    turns(made, 1)
    made.set_back(one)
    assert made.begun() == [] and one.key in made
