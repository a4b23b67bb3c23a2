"""The client against a real WebSocket server on a real unix socket, scripted per test."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from dlmd.wire.client import Client, DaemonFailure, DaemonGone
from dlmd.wire.protocol import (
    Cancel,
    Candidate,
    ClientMessage,
    Failure,
    Infill,
    Limits,
    Pin,
    ProtocolError,
    Result,
    Sleep,
    State,
    Status,
    Usage,
    UseAdapter,
    Wake,
    encode,
    hole,
)

from tests.fakes.peer import Peer, hello, nothing_more, serving, talking


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "s"


def request(id: str = "a", text: str = "x") -> Infill:
    return Infill(id=id, parts=[text, hole()])


def state(step: int, id: str = "a", candidate: int = 0) -> State:
    return State(id=id, candidate=candidate, step=step, of=9, holes=[[9 - step]])


def result(id: str = "a", text: str = "y") -> Result:
    candidate = Candidate(holes=[text], finish="stop")
    return Result(id=id, candidates=[candidate], usage=Usage())


async def all_of(client: Client, asked: Infill) -> list[State | Result]:
    return [message async for message in client.infill(asked)]


# ---- requests


async def test_states_come_as_they_are_sent_and_the_result_last(socket: Path) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        assert await peer.hear() == request()
        await peer.say(state(1))
        await read.wait()
        await peer.say(state(2), result())
        await nothing_more(peer)

    async with talking(socket, script) as client:
        messages = client.infill(request())
        assert await anext(messages) == state(1)
        read.set()
        assert [message async for message in messages] == [state(2), result()]


async def test_a_slow_reader_finds_the_newest_state_and_the_result(
    socket: Path,
) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(state(1))
        await read.wait()
        for step in range(2, 6):
            await peer.say(state(step), state(step, candidate=1))
        await peer.say(result(), Status(phase="busy"))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        messages = client.infill(request())
        await anext(messages)
        read.set()
        async for status in client.watch_status():
            if status.phase == "busy":  # everything before it has been read
                break
        rest = [message async for message in messages]
        assert rest == [state(5), state(5, candidate=1), result()]


async def test_requests_share_one_connection(socket: Path) -> None:
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        ids = [(await peer.hear()).id for _ in range(3)]
        for id in reversed(ids):
            await peer.say(state(1, id), result(id, text=id))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        asked = [all_of(client, request(id)) for id in "abc"]
        answers = await asyncio.gather(*asked)
    ends = [answer[-1] for answer in answers]
    assert ends == [result(id, text=id) for id in "abc"]
    assert connections == 1


async def test_a_failure_is_raised_and_the_next_request_works(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(state(1), Failure(id="a", code="model", message="out of memory"))
        await peer.hear()
        await peer.say(result("b"))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        with pytest.raises(DaemonFailure, match="out of memory") as caught:
            await all_of(client, request("a"))
        assert caught.value.code == "model"
        assert (await all_of(client, request("b")))[-1] == result("b")


async def test_a_pin_follows_its_request(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(state(1))
        assert await peer.hear() == Pin(id="a", hole=0, text="re")
        await peer.say(result(text="return"))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        messages = client.infill(request())
        await anext(messages)
        await client.pin("a", 0, "re")
        assert [message async for message in messages] == [result(text="return")]
        with pytest.raises(ProtocolError, match="hole was -1"):
            await client.pin("a", -1, "re")


async def test_commands_are_sent_and_come_back_with_their_end(socket: Path) -> None:
    heard: list[ClientMessage] = []

    async def script(peer: Peer) -> None:
        for _ in range(3):
            heard.append(await peer.hear())
            await peer.say(Result(id=heard[-1].id, candidates=[], usage=Usage()))
        refused = (await peer.hear()).id
        await peer.say(Failure(id=refused, code="bad_request", message="no repo-2"))

    async with talking(socket, script) as client:
        await client.sleep("dlmd tune", lasting=True)
        await client.wake()
        await client.use_adapter(None)
        with pytest.raises(DaemonFailure, match="no repo-2"):
            await client.use_adapter("repo-2")
        with pytest.raises(DaemonGone):
            await client.wake()
    assert heard == [
        Sleep(id="command-1", by="dlmd tune", lasting=True),
        Wake(id="command-2"),
        UseAdapter(id="command-3", adapter=None),
    ]


async def test_what_is_out_of_bounds_is_not_sent(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(hello(Limits(max_text_chars=10, max_message_bytes=90)))
        assert (await peer.hear()).id == "fits"
        await peer.say(result("fits"))
        await nothing_more(peer)

    async with serving(socket, script) as endpoint, Client.connect(endpoint) as client:
        with pytest.raises(ProtocolError, match="11 characters"):
            await all_of(client, request(text="x" * 11))
        with pytest.raises(ProtocolError, match="steps was -1"):
            await all_of(client, Infill(id="a", parts=[hole()], steps=-1))
        with pytest.raises(ProtocolError, match="92 bytes, expected at most 90"):
            await all_of(client, request(id="é" * 15, text="é" * 6))
        with pytest.raises(ProtocolError, match="half of a surrogate pair"):
            await all_of(client, request(text="\ud800"))
        assert (await all_of(client, request("fits")))[-1] == result("fits")


async def test_five_megabytes_go_through(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.hear()
        assert isinstance(asked, Infill) and isinstance(asked.parts[0], str)
        await peer.say(result(text=asked.parts[0]))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        text = "é" * 5_000_000
        assert await all_of(client, request(text=text)) == [result(text=text)]


# ---- leaving early


Leave = Callable[[Client, asyncio.Event], Awaitable[None]]


async def cancelled_by(socket: Path, leave: Leave) -> None:
    """The daemon hears of it, what it still says disturbs nobody, the next one works."""
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(state(1))
        assert await peer.hear() == Cancel(id="a")
        heard.set()
        await peer.say(state(2), Failure(id="a", code="cancelled", message="done"))
        await peer.hear()
        await peer.say(result("b"))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        await leave(client, heard)
        assert await all_of(client, request("b")) == [result("b")]


async def test_closing_the_generator_cancels(socket: Path) -> None:
    async def leave(client: Client, heard: asyncio.Event) -> None:
        messages = client.infill(request())
        await anext(messages)
        await messages.aclose()

    await cancelled_by(socket, leave)


async def test_breaking_off_the_loop_cancels(socket: Path) -> None:
    async def leave(client: Client, heard: asyncio.Event) -> None:
        async for _ in client.infill(request()):
            break
        gc.collect()
        await heard.wait()

    await cancelled_by(socket, leave)


async def test_cancelling_the_task_cancels(socket: Path) -> None:
    async def leave(client: Client, heard: asyncio.Event) -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in client.infill(request()):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await cancelled_by(socket, leave)


async def test_a_cancel_is_sent_before_the_client_closes(socket: Path) -> None:
    heard: list[ClientMessage] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.hear())
        await peer.say(state(1))
        heard.append(await peer.hear())

    async with talking(socket, script) as client:
        messages = client.infill(request())
        await anext(messages)
        await messages.aclose()
    assert heard == [request(), Cancel(id="a")]


async def test_a_request_that_ended_is_not_cancelled(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say(result())
        assert await peer.hear() == request("b")
        await peer.say(result("b"))
        await nothing_more(peer)

    async with talking(socket, script) as client:
        messages = client.infill(request())
        await anext(messages)
        await messages.aclose()
        assert await all_of(client, request("b")) == [result("b")]


# ---- the status


async def test_the_status_is_the_newest_and_can_be_watched(socket: Path) -> None:
    loading = Status(phase="loading", bytes_done=1, bytes_total=2)
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await go.wait()
        await peer.say(loading)
        await nothing_more(peer)

    async with talking(socket, script) as client:
        assert client.status == client.hello.status == hello().status
        watch = client.watch_status()
        assert await anext(watch) == hello().status
        go.set()
        assert await anext(watch) == loading == client.status


async def test_what_a_newer_daemon_adds_is_passed_over(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.connection.send('{"type":"weather","sun":true}')
        await peer.connection.send("not even JSON")
        await peer.say(Failure(id=None, code="bad_request", message="whose?"))
        await peer.connection.send(encode(result())[:-1] + ',"extra":[1]}')
        await nothing_more(peer)

    async with talking(socket, script) as client:
        assert await all_of(client, request()) == [result()]


# ---- a daemon that goes away


async def test_a_connection_that_dies_ends_every_request(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.hear()
        await peer.say(state(1))
        peer.connection.transport.abort()  # what kill -9 looks like from here

    async with talking(socket, script) as client:
        watch = client.watch_status()
        await anext(watch)
        ends = await asyncio.gather(
            all_of(client, request("a")),
            all_of(client, request("b")),
            anext(watch),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [DaemonGone] * 3
        assert "went away without a goodbye; try again" in str(ends[0])
        assert client.gone
        with pytest.raises(DaemonGone):
            await all_of(client, request("c"))


async def test_a_daemon_that_stops_says_so(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.connection.close(1001, "the daemon is stopping")

    async with talking(socket, script) as client:
        with pytest.raises(DaemonGone, match=r"code 1001: the daemon is stopping"):
            await all_of(client, request())


async def test_closing_the_client_ends_what_is_open(socket: Path) -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hear()
        heard.set()
        await nothing_more(peer)

    async with talking(socket, script) as client:
        reading = asyncio.create_task(all_of(client, request()))
        await heard.wait()
        await client.close()
        with pytest.raises(DaemonGone, match="this client was closed"):
            await reading
