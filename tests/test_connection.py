"""The mailbox between the engine and one reader; the socket's side is in test_server."""

import asyncio

from dlmd.serve.connection import Mailbox
from dlmd.wire.protocol import (
    Candidate,
    Failure,
    Result,
    ServerMessage,
    State,
    Status,
    Usage,
)


def state(step: int, *, id: str = "a", candidate: int = 0) -> State:
    return State(id=id, candidate=candidate, step=step, of=9, holes=[[9 - step]])


def result(id: str = "a") -> Result:
    candidate = Candidate(holes=["x"], finish="stop")
    return Result(id=id, candidates=[candidate], usage=Usage())


async def everything(mailbox: Mailbox) -> list[ServerMessage]:
    return [await mailbox.take() for _ in range(len(mailbox))]


async def test_only_the_newest_state_of_a_candidate_waits() -> None:
    mailbox = Mailbox()
    for step in range(1, 6):
        mailbox.put(state(step))
        mailbox.put(state(step, candidate=1))
        mailbox.put(state(step, id="b"))
    assert await everything(mailbox) == [
        state(5),
        state(5, candidate=1),
        state(5, id="b"),
    ]


async def test_ends_are_kept_and_come_after_the_states() -> None:
    mailbox = Mailbox()
    mailbox.put(state(1))
    mailbox.put(result())
    mailbox.put(result("b"))
    assert await everything(mailbox) == [state(1), result(), result("b")]


async def test_the_newest_status_and_every_refusal_wait() -> None:
    mailbox = Mailbox()
    refusals = [
        Failure(id=None, code="bad_request", message=text) for text in ("one", "two")
    ]
    mailbox.put(Status(phase="loading"))
    for refusal in refusals:
        mailbox.put(refusal)
    mailbox.put(Status(phase="ready"))
    assert await everything(mailbox) == [Status(phase="ready"), *refusals]


async def test_a_last_word_never_replaces_an_end() -> None:
    mailbox = Mailbox()
    last = Failure(id="a", code="shutting_down", message="stopping")
    other = Failure(id="b", code="shutting_down", message="stopping")
    mailbox.put(result("a"))
    mailbox.put_unless_ended(last)
    mailbox.put_unless_ended(other)
    assert await everything(mailbox) == [result("a"), other]


async def test_all_read_means_that_the_writer_came_back_for_more() -> None:
    mailbox = Mailbox()
    await mailbox.all_read()
    mailbox.put(result())
    reading = asyncio.create_task(mailbox.all_read())
    await mailbox.take()
    assert not reading.done()  # taken, but perhaps not yet written
    writer = asyncio.create_task(mailbox.take())
    await reading
    writer.cancel()
