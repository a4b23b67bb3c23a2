"""dlmd_lsp.flight: what an answer is good for when nobody waits for it any more.

Everything in one process, on a clock that only goes on when nobody has anything to do.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest
from dlmd.wire.protocol import Candidate, Infill, Result, Usage
from dlmd_lsp import server
from dlmd_lsp.show import choose
from lsprotocol import types

from bench.typing_runs import Typist, a_link, an_editor
from bench.typing_stage import FakeLink, VirtualLoop


class Gated:
    """In the daemon's place: answers when the gate is opened."""

    def __init__(self) -> None:
        self.requests: list[Infill] = []
        self.began, self.gate = asyncio.Event(), asyncio.Event()

    async def infill(self, request: Infill) -> AsyncGenerator[Result, None]:
        self.requests.append(request)
        self.began.set()
        await self.gate.wait()
        found = Candidate(holes=["price * count"], finish="stop")
        yield Result(id=request.id, candidates=[found], usage=Usage())

    async def pin(self, id: str, hole: int, text: str) -> None:
        return

    async def ping(self) -> None:
        return


class Desk:
    """A document in an editor; `ask` is one keystroke's request."""

    def __init__(self) -> None:
        self.daemon = Gated()
        link = a_link(FakeLink)
        link.model = self.daemon
        self.editor = an_editor(link)
        self.typist = Typist(self.editor, None, None)  # type: ignore[arg-type]
        # Nobody asks unless told to.
        self.typist.ask = lambda: None  # type: ignore[method-assign]
        self.typist.open("file:///a.py", "python", "total = \n", 8)

    def type(self, text: str) -> None:
        at = self.typist.offset
        self.typist.change(at, at, text)

    async def ask(self) -> list[str]:
        where = self.typist.found.position(self.typist.offset)
        automatic = types.InlineCompletionTriggerKind.Automatic
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(automatic),
            types.TextDocumentIdentifier(self.typist.uri),
            where,
        )
        answer = await server.inline_completion(self.editor, params)
        return [str(item.insert_text) for item in answer.items]


def played(scene: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    with contextlib.closing(VirtualLoop()) as loop:

        async def whole() -> None:
            await scene(Desk())

        loop.run_until_complete(whole())


@pytest.mark.parametrize("cancels", [False, True])
def test_an_answer_between_a_change_and_the_next_request_is_kept(cancels: bool) -> None:
    async def scene(desk: Desk) -> None:
        first = asyncio.create_task(desk.ask())
        await desk.daemon.began.wait()
        desk.type("pr")
        if cancels:  # as editors do before they ask again
            first.cancel()
        desk.daemon.gate.set()
        await asyncio.wait([first])
        assert cancels or first.result() == []
        while desk.editor.flights:
            await asyncio.sleep(0)
        assert await desk.ask() == ["ice * count"]
        assert len(desk.daemon.requests) == 1

    played(scene)


def test_an_answer_for_another_way_is_not_shown() -> None:
    async def scene(desk: Desk) -> None:
        first = asyncio.create_task(desk.ask())
        await desk.daemon.began.wait()
        desk.type("x")
        desk.daemon.gate.set()
        await asyncio.wait([first])
        while desk.editor.flights:
            await asyncio.sleep(0)
        assert await desk.ask() == ["price * count"]
        assert len(desk.daemon.requests) == 2

    played(scene)


def test_what_is_left_is_worked_out_once_a_keystroke(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    left = choose.left

    def counted(*given: Any) -> Any:
        looked.append(1)
        return left(*given)

    monkeypatch.setattr(choose, "left", counted)

    async def scene(desk: Desk) -> None:
        desk.daemon.gate.set()
        assert await desk.ask() == ["price * count"]
        for letter in "price":
            looked.clear()
            desk.type(letter)
            assert await desk.ask()
            assert len(looked) == 1

    played(scene)
