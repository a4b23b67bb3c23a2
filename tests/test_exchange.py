"""One HTTP request's place in the engine, which is stepped by hand here."""

import asyncio
import contextlib
from typing import Any

import pytest
from dlmd.serve.exchange import Exchange, Gone
from dlmd.wire.protocol import Infill, Result, State, hole

from tests.fakes.desk import Desk


@pytest.fixture
def desk() -> Desk:
    ready = Desk()
    ready.engine.load()
    return ready


async def listening() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


def asked(id: str) -> Infill:
    return Infill(id=id, parts=["x", hole(), "\n"])


async def test_however_many_they_are_an_editor_has_every_other_step(desk: Desk) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(5):
            exchange = Exchange(desk.engine, asked(f"http {number}"), listening)
            await stack.enter_async_context(exchange)
        desk.ask("e", client="editor")
        desk.work(12)
    assert len([m for m in desk.of("e") if isinstance(m, State)]) == 6
    assert isinstance(desk.end("e"), Result)


async def test_what_the_engine_says_arrives_in_order(desk: Desk) -> None:
    async with Exchange(desk.engine, asked("a"), listening) as exchange:
        steps = []
        for _ in range(6):
            desk.work(1)
            message = await exchange.next()
            assert isinstance(message, State)
            steps.append(message.step)
        assert steps == [1, 2, 3, 4, 5, 6]
        assert isinstance(await exchange.next(), Result)


async def test_who_leaves_is_gone_and_costs_no_other_forward(desk: Desk) -> None:
    async def leaving() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Gone):
        async with Exchange(desk.engine, asked("a"), leaving) as exchange:
            desk.work(2)
            while True:
                await exchange.next()
    desk.work()
    assert desk.backend.forwards == 2
