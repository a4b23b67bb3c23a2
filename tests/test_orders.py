"""Loans: who holds the device, and what others are told."""

from dlmd.serve.job import Job
from dlmd.serve.orders import Loans, Order
from dlmd.serve.queue import Queue
from dlmd.wire.protocol import Command, Infill, Sleep, UseAdapter, Wake, hole


def order(command: Command, **fields: object) -> Order:
    told: dict[str, object] = {"client": "c", "emit": lambda m: None, "arrived": 0.0}
    return Order(command=command, **(told | fields))  # type: ignore[arg-type]


def begun(priority: str) -> Queue:
    request = Infill(id="a", parts=[hole()], priority=priority)  # type: ignore[arg-type]
    job = Job(client="c", request=request, emit=lambda m: None, arrived=0.0)
    job.adapter = "left"
    queue = Queue()
    queue.add(job)
    queue.begin(job)
    return queue


def test_the_device_is_lent_while_anyone_holds_it() -> None:
    loans = Loans()
    assert not loans
    loans.lend("a", Sleep(id="1", by="tune"))
    loans.lend("b", Sleep(id="2", by="tune"))
    loans.lend("c", Sleep(id="3", lasting=True))
    assert loans.to == "tune, another job"
    assert not loans.give_back("a", lasting=False)
    assert not loans.give_back("c", lasting=False)  # lasting ones are nobody's
    assert not loans.give_back("c", lasting=True)
    assert loans.give_back("b", lasting=True)
    assert not loans and not loans.give_back("b", lasting=True)


def test_a_refusal_names_who_borrows() -> None:
    loans = Loans()
    assert "lent to dlmd tune;" in loans.refusal("a", "dlmd tune").message
    assert "lent to another job;" in loans.refusal("a", "").message
    loans.lend("b", Sleep(id="2", by="training"))
    failure = loans.refusal("a")
    assert (failure.id, failure.code) == ("a", "busy")
    assert "lent to training;" in failure.message


def test_what_waits_for_what_has_begun() -> None:
    free, lent = Loans(), Loans()
    lent.lend("x", Sleep(id="0"))
    typed, batch, nothing = begun("interactive"), begun("batch"), Queue()
    sleep, wake = order(Sleep(id="s")), order(Wake(id="w"))
    other, same = (order(UseAdapter(id="u", adapter=n)) for n in ("right", "left"))
    assert sleep.waits(typed, free, 0.0) and sleep.waits(batch, free, 1.9)
    assert not sleep.waits(nothing, free, 0.0) and not sleep.waits(typed, free, 2.0)
    assert not sleep.waits(typed, lent, 0.0) and not wake.waits(typed, free, 0.0)
    assert other.waits(typed, free, 0.0) and not other.waits(batch, free, 0.0)
    assert not other.waits(typed, free, 1.0) and not same.waits(typed, free, 0.0)
    assert not order(Sleep(id="s"), gone=True).waits(typed, free, 0.0)
