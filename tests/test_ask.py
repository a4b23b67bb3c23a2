"""Pacing of drawn states. The rest of asking is tested through the command line."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from dlmd.ask import Message, paced
from dlmd.wire.protocol import Result, State, Usage

RESULT = Result(id="1", candidates=[], usage=Usage())


def state(step: int) -> State:
    return State(id="1", step=step, of=9, holes=[])


async def burst(count: int) -> AsyncGenerator[Message, None]:
    for step in range(count):
        yield state(step)
    yield RESULT


async def test_with_a_delay_every_state_of_a_burst_is_seen() -> None:
    start = time.monotonic()
    seen = [message async for message in paced(burst(4), 0.01)]
    assert seen == [*map(state, range(4)), RESULT]
    assert time.monotonic() - start >= 4 * 0.01


async def test_without_a_delay_overtaken_states_are_skipped_and_the_result_is_not() -> (
    None
):
    seen = [message async for message in paced(burst(50), 0.0)]
    assert seen[-1] == RESULT
    assert len(seen) < 50


async def test_states_that_come_one_by_one_are_all_seen() -> None:
    turn = asyncio.Event()

    async def one_by_one() -> AsyncGenerator[Message, None]:
        for step in range(3):
            await turn.wait()
            turn.clear()
            yield state(step)
        await turn.wait()
        yield RESULT

    seen: list[Message] = []
    turn.set()
    async for message in paced(one_by_one(), 0.0):
        seen.append(message)
        turn.set()
    assert [message.step for message in seen if isinstance(message, State)] == [0, 1, 2]


async def test_a_failure_comes_after_the_states_before_it() -> None:
    async def failing() -> AsyncGenerator[Message, None]:
        yield state(1)
        raise ValueError("the model failed")

    seen: list[Message] = []
    with pytest.raises(ValueError, match="the model failed"):
        async for message in paced(failing(), 0.001):
            seen.append(message)
    assert seen == [state(1)]


async def test_leaving_early_closes_the_source() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[Message, None]:
        try:
            while True:
                yield state(0)
                await asyncio.sleep(0)
        finally:
            closed.set()

    messages = paced(endless(), 0.0)
    await anext(messages)
    await messages.aclose()
    assert closed.is_set()
