"""dlmd_lsp.session: the newest job of a kind on a document is the only one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dlmd_lsp.link import Link
from dlmd_lsp.options import Options
from dlmd_lsp.session import Session


@asynccontextmanager
async def a_session() -> AsyncIterator[Session]:
    link = Link(start=False, command=None, daemon=None, say=print, tell=print)
    yield Session(Options(), link)
    await link.close()


async def forever(began: asyncio.Event, ended: list[str]) -> str:
    began.set()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append("ended")
    raise AssertionError("nobody ends that future")


async def at_once(value: str) -> str:
    return value


async def test_the_newest_cancels_the_older_of_its_kind_and_document() -> None:
    async with a_session() as session:
        began, ended = asyncio.Event(), list[str]()
        older = asyncio.create_task(
            session.newest("inline", "a", forever(began, ended))
        )
        await began.wait()
        assert await session.newest("inline", "b", at_once("other file")) is not None
        assert await session.newest("command", "a", at_once("kind")) is not None
        assert ended == []
        assert await session.newest("inline", "a", at_once("new")) == "new"
        assert await older is None
        assert ended == ["ended"]


async def test_closing_a_file_ends_its_jobs_only() -> None:
    async with a_session() as session:
        began, ended = asyncio.Event(), list[str]()
        job = asyncio.create_task(session.newest("inline", "a", forever(began, ended)))
        await began.wait()
        session.closed("b")
        assert not job.done()
        session.closed("a")
        assert await job is None


async def test_who_cancels_the_request_hears_of_it() -> None:
    async with a_session() as session:
        began, ended = asyncio.Event(), list[str]()
        job = asyncio.create_task(session.newest("inline", "a", forever(began, ended)))
        await began.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert ended == ["ended"]


async def test_a_jobs_error_is_its_callers() -> None:
    async def fails() -> str:
        raise ValueError("no")

    async with a_session() as session:
        with pytest.raises(ValueError, match="no"):
            await session.newest("inline", "a", fails())
        assert await session.newest("inline", "a", at_once("next")) == "next"


async def test_ids_are_never_used_twice() -> None:
    async with a_session() as session:
        assert len({session.new_id() for _ in range(100)}) == 100
