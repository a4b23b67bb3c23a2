"""Connections that say what they want byte by byte, or never, until nobody else gets in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dlmd.serve import http, loopback
from dlmd.serve.loopback import over_tcp

from tests.fakes.inside import Inside, serving

HEAD = b"POST /infill HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Inside]:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(loopback, "HEAD_S", 0.1)
    monkeypatch.setattr(http, "BODY_S", 0.1)
    async with serving(tmp_path / "run") as running:
        yield running


async def drip(inside: Inside, said: bytes) -> bytes:
    """What comes back, until it is cut off, to a client that goes on and never ends."""
    reader, writer = await inside.open()
    heard = bytearray()

    async def listen() -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                heard.extend(data)

    listening = asyncio.create_task(listen())
    try:
        while not listening.done():
            writer.write(said)
            said = b"X-Slow: 1\r\n"
            await asyncio.wait((listening,), timeout=0.02)
        return bytes(heard)
    finally:
        listening.cancel()
        writer.close()


@pytest.mark.parametrize("said", [b"", b"P", HEAD])
async def test_a_head_that_never_ends_is_cut_off(inside: Inside, said: bytes) -> None:
    assert await asyncio.wait_for(drip(inside, said), 30) == b""


async def test_the_same_without_the_clock_goes_on_for_ever(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback.HttpProtocol, "end_if_idle", lambda self: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(drip(inside, HEAD), 0.5)


def unfinished(inside: Inside) -> bytes:
    more = {"Content-Type": "application/json", "Content-Length": "100000"}
    return inside.said("POST", "/infill", None, more) + b"{"


async def test_a_body_that_never_ends_is_cut_off(inside: Inside) -> None:
    told = await asyncio.wait_for(drip(inside, unfinished(inside)), 30)
    assert told == b"" or b" 408 " in told.split(b"\r\n")[0]
    assert inside.daemon.desk.open == 0


async def test_the_same_without_that_clock_goes_on_for_ever(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_S", 1000.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(drip(inside, unfinished(inside)), 0.5)


async def test_after_an_answer_the_clock_runs_again(inside: Inside) -> None:
    answered = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    told = await asyncio.wait_for(drip(inside, answered + HEAD), 30)
    assert b" 200 " in told.split(b"\r\n")[0]


async def gets_in(inside: Inside, patience_s: float) -> bool:
    """Whether an honest caller does, past as many slow ones as there is room for."""
    while inside.connections:  # of the fixture
        await asyncio.sleep(0)
    crowd = [asyncio.create_task(drip(inside, HEAD)) for _ in range(4)]
    try:
        while sum(over_tcp(c) for c in inside.connections) < len(crowd):
            await asyncio.sleep(0)
        until = asyncio.get_running_loop().time() + patience_s
        while asyncio.get_running_loop().time() < until:
            with contextlib.suppress(ConnectionError, IndexError):
                return (await inside.ask("GET", "/v1/models")).status == 200
        return False
    finally:
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_slow_heads_lock_nobody_out_for_long(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "MOST_CONNECTIONS", 4)
    assert await gets_in(inside, 30.0)


async def test_without_the_clock_they_lock_everybody_out(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(loopback.HttpProtocol, "end_if_idle", lambda self: None)
    assert not await gets_in(inside, 0.5)


async def crowded(inside: Inside) -> list[asyncio.StreamWriter]:
    """As many silent connections as there is room for, and some more."""
    opened = [await inside.open() for _ in range(loopback.MOST_CONNECTIONS + 8)]
    return [writer for _, writer in opened]


async def test_many_connections_leave_the_editors_alone(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(loopback, "HEAD_S", 1000.0)
    writers = await crowded(inside)
    with pytest.raises((ConnectionError, IndexError)):
        await inside.ask("GET", "/health")  # there is no room on the port
    told = await inside.ask("GET", "/health", unix=True, own=False)
    assert told.status == 200
    for writer in writers:
        writer.close()


async def test_without_the_bound_they_are_all_kept(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(loopback, "HEAD_S", 1000.0)
    monkeypatch.setattr(loopback, "over_tcp", lambda connection: False)
    writers = await crowded(inside)
    assert (await inside.ask("GET", "/health")).status == 200
    assert len(inside.connections) >= len(writers)
    for writer in writers:
        writer.close()
