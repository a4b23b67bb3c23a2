"""The server over a real socket, in a real process, on a fake model."""

import asyncio
import http.client
import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.wire import discovery
from dlmd.wire.client import Client, DaemonFailure, DaemonGone
from dlmd.wire.protocol import Cancel, Failure, Hello, Result, State, Status, hole
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fakes.running import Running, daemon, request, start

pytestmark = pytest.mark.slow  # each starts a process, or waits for one to be started
STEPS = 600
LONG = " ".join(f"word{n}" for n in range(STEPS))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One daemon for the tests that leave it as it was; a blank in its folder's name."""
    folder = tmp_path_factory.mktemp("run time") / "dlmd"
    with daemon(folder, *fake_options(folder.parent)) as running:
        yield running


def fake_options(folder: Path) -> list[str]:
    table = {"def add(a, b):\n    ": "return a + b", "    # ": "sum", "long ": LONG}
    (folder / "table.json").write_text(json.dumps(table))
    return ["--table", str(folder / "table.json"), "--counter", str(folder / "count")]


def forwards(running: Running) -> int:
    return int((running.folder.parent / "count").read_text())


# ---- the stream


async def test_hello_comes_first_with_version_limits_and_status(
    shared: Running,
) -> None:
    async with shared.raw() as peer:
        hello = await peer.read()
    assert isinstance(hello, Hello)
    assert hello.version == discovery.version()
    assert hello.limits.max_text_chars == 8_000_000
    assert (hello.status.model, hello.status.device) == ("fake", "none")


async def test_states_then_the_result_with_every_hole(shared: Running) -> None:
    async with shared.client() as client:
        two = request("a", "def add(a, b):\n    ", hole(), "    # ", hole(), "\n")
        answers = [m async for m in client.infill(two)]
    *states, result = answers
    assert states and all(isinstance(state, State) for state in states)
    assert isinstance(result, Result)
    assert result.candidates[0].holes == ["return a + b", "sum"]


async def test_cancel_stops_the_forwards_within_one_step(shared: Running) -> None:
    async with shared.raw() as peer:
        await peer.send(request("long", "long ", hole()))
        first = await peer.read()
        while not isinstance(first, State):
            first = await peer.read()
        await peer.send(Cancel(id="long"))
        _, end = await peer.answer("long")
        assert isinstance(end, Failure)
        assert end.code == "cancelled"
        before = forwards(shared)
        await peer.send(request("next", steps=2))
        await peer.answer("next")
        assert forwards(shared) == before + 2


async def test_a_newer_request_supersedes_over_the_socket(shared: Running) -> None:
    async with shared.raw() as peer:
        await peer.send(request("old", "long ", hole()))
        await peer.send(request("new", supersedes="old"))
        _, old = await peer.answer("old")
        _, new = await peer.answer("new")
    assert isinstance(old, Failure)
    assert old.code == "superseded"
    assert isinstance(new, Result)


async def test_clients_do_not_hear_each_other(shared: Running) -> None:
    async def filled(client: Client, text: str) -> list[str]:
        answers = [m async for m in client.infill(request("same id", text, hole()))]
        assert isinstance(answers[-1], Result)
        return answers[-1].candidates[0].holes

    async with shared.client() as one, shared.client() as two:
        fills = await asyncio.gather(
            filled(one, "def add(a, b):\n    "), filled(two, "    # ")
        )
    assert list(fills) == [["return a + b"], ["sum"]]


async def test_a_slow_reader_gets_few_states_and_the_result(shared: Running) -> None:
    async with shared.raw(max_queue=1) as slow, shared.client() as other:
        await slow.send(request("slow", "long ", hole(), n=2))
        while not isinstance(await slow.read(), State):
            pass
        # From here on it reads nothing, until the model turns to less urgent work.
        async for _ in other.infill(request("later", priority="batch")):
            pass
        states, end = await slow.answer("slow")
    assert isinstance(end, Result)
    assert [len(candidate.holes[0]) for candidate in end.candidates] == [len(LONG)] * 2
    assert len(states) < 2 * STEPS / 10
    newest = {state.candidate: state for state in states}
    assert [state.step == state.of for state in newest.values()] == [True, True]


async def test_a_client_that_leaves_frees_the_model(shared: Running) -> None:
    before = forwards(shared)
    async with shared.raw() as leaver:
        await leaver.send(request("long", "long ", hole(), n=8))
        while not isinstance(await leaver.read(), State):
            pass
    async with shared.client() as client:
        async for _ in client.infill(request("later", priority="batch")):
            pass
    assert forwards(shared) < before + 8 * STEPS / 2


# ---- what peers do wrong


async def test_five_megabytes_pass_and_more_than_the_limit_is_refused(
    shared: Running,
) -> None:
    async with shared.raw() as peer:
        await peer.send(request("5mb", "x = 1\n" * 900_000, hole(), "\n"))
        _, end = await peer.answer("5mb")
        assert isinstance(end, Result)
        await peer.send(request("9mb", "x = 1\n" * 1_500_000, hole(), "\n"))
        _, end = await peer.answer("9mb")
        assert isinstance(end, Failure)
        assert end.code == "too_large"
        assert "8000000" in end.message


async def test_a_message_beyond_all_bounds_closes_the_connection(
    shared: Running,
) -> None:
    async with shared.raw() as peer:
        with pytest.raises(ConnectionClosed) as closed:
            await peer.send("x" * (65 * 1024 * 1024))
            while True:
                await peer.read()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("{", "not JSON"),
        ('{"type": "pour", "id": "a"}', "unknown message type 'pour'"),
        (b"\x00\x01", "binary frame of 2 bytes"),
    ],
)
async def test_nonsense_is_answered_and_the_connection_goes_on(
    shared: Running, sent: str | bytes, said: str
) -> None:
    async with shared.raw() as peer:
        await peer.send(sent)
        message = await peer.read()
        while not isinstance(message, Failure):
            message = await peer.read()
        assert said in message.message
        await peer.send(request("after"))
        assert isinstance((await peer.answer("after"))[1], Result)


@pytest.mark.parametrize("origin", ["http://localhost", "null", "https://evil.example"])
async def test_a_web_page_may_not_open_the_stream(shared: Running, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with shared.raw(origin=origin):
            pass
    assert refused.value.response.status_code == 403
    assert b"Origin" in refused.value.response.body


def get(running: Running, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = discovery.connect_socket(running.socket)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read().decode()


@pytest.mark.parametrize("path", ["/healthz", "/health"])
def test_health_is_open(shared: Running, path: str) -> None:
    status, body = get(shared, path)
    assert status == 200
    assert json.loads(body)["status"] == "ok"


def test_other_hosts_and_origins_are_refused(shared: Running) -> None:
    assert get(shared, "/healthz", Host="localhost:8012")[0] == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1", ""):
        status, body = get(shared, "/healthz", Host=host)
        assert (status, "expected localhost" in body) == (403, True)
    assert get(shared, "/healthz", Origin="http://localhost")[0] == 403
    assert get(shared, "/elsewhere")[0] == 404


def test_only_the_owner_may_open_the_socket(shared: Running) -> None:
    assert stat.S_IMODE(shared.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.socket.parent.stat().st_mode) == 0o700


# ---- the life of the process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run time"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order_and_in_silence(
    folder: Path, number: signal.Signals
) -> None:
    with daemon(folder) as running:
        async with running.client() as client:
            async for _ in client.infill(request("a", "SECRET = ", hole())):
                pass
        running.signal(number)
        assert running.ended() == 0
        assert running.process.stdout is not None
        assert running.process.stdout.read() == ""
    assert not running.socket.exists()
    assert not (folder / "daemon.json").exists()


async def test_a_signal_under_load_ends_every_request(folder: Path) -> None:
    with daemon(folder, "--delay-ms", "20") as running:
        async with running.raw() as peer:
            await peer.send(request("short", steps=20))
            while not isinstance(await peer.read(), State):
                pass
            for number in range(5):
                await peer.send(request(str(number), steps=900))
            await peer.send("{")  # its answer says that all before it were read
            await peer.answer(None)
            running.signal(signal.SIGTERM)
            ends: dict[str | None, object] = {}
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    message = await peer.read()
                    if isinstance(message, Result | Failure):
                        assert message.id not in ends
                        ends[message.id] = message
        assert running.ended() == 0
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert isinstance(ends["short"], Result)
    failures = [end for id, end in ends.items() if id != "short"]
    assert [end.code for end in failures if isinstance(end, Failure)] == [
        "shutting_down"
    ] * 5


async def test_a_second_signal_forces_it(folder: Path) -> None:
    with daemon(folder, "--delay-ms", "30") as running:
        async with running.raw() as peer:
            await peer.send(request("long", steps=1000))
            while not isinstance(await peer.read(), State):
                pass
            running.signal(signal.SIGTERM)
            message = await peer.read()
            while not (isinstance(message, Status) and message.phase == "stopping"):
                message = await peer.read()
            running.signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.ended) == 1
    assert not running.socket.exists()


async def test_a_second_daemon_says_so_and_harms_nothing(folder: Path) -> None:
    with daemon(folder) as first:
        second = start(folder)
        said, _ = second.communicate(timeout=30)
        assert second.returncode == 1
        assert said.count("\n") == 1
        assert f"process {first.process.pid}" in said
        assert "dlmd stop" in said
        async with first.client() as client:
            answers = [m async for m in client.infill(request("a"))]
    assert isinstance(answers[-1], Result)


async def test_killed_in_mid_stream_it_leaves_no_trouble(folder: Path) -> None:
    with daemon(folder, "--delay-ms", "20") as first:
        async with first.client() as client:
            with pytest.raises(DaemonGone):
                async for message in client.infill(request("a", steps=500)):
                    if isinstance(message, State):
                        first.signal(signal.SIGKILL)
        first.ended()
    assert first.socket.exists()
    assert (folder / "daemon.json").exists()
    with daemon(folder) as second:
        assert second.socket == first.socket
        async with second.client() as client:
            answers = [m async for m in client.infill(request("a"))]
    assert isinstance(answers[-1], Result)


async def test_a_successor_waits_for_the_one_that_is_leaving(folder: Path) -> None:
    with daemon(folder, "--delay-ms", "20") as first:
        async with first.raw() as peer:
            await peer.send(request("a", steps=40))
            while not isinstance(await peer.read(), State):
                pass
            first.signal(signal.SIGTERM)
            message = await peer.read()
            while not (isinstance(message, Status) and message.phase == "stopping"):
                message = await peer.read()
            with daemon(folder) as second:
                assert first.ended() == 0
                async with second.client() as client:
                    assert client.hello.status.phase != "stopping"


def test_a_model_that_cannot_be_loaded_ends_the_command(folder: Path) -> None:
    process = start(folder, "--load-error", "model.safetensors is cut short")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "dlmd: model.safetensors is cut short"
    assert "Traceback" not in said
    assert not (folder / "daemon.json").exists()


async def test_a_daemon_in_the_background_stays_to_say_why(folder: Path) -> None:
    with daemon(folder, "--load-error", "cut short", "--stay-on-failure") as running:
        async with running.client() as client:
            async for status in client.watch_status():
                if status.phase == "failed":
                    break
            assert status.detail == "cut short"
            with pytest.raises(DaemonFailure, match="cut short") as failure:
                async for _ in client.infill(request("a")):
                    pass
    assert failure.value.code == "model"


async def test_requests_wait_while_the_model_loads(folder: Path) -> None:
    with daemon(folder, "--load-ms", "500") as running:
        async with running.client() as client:
            assert client.hello.status.phase == "loading"
            answers = [m async for m in client.infill(request("a"))]
            assert client.status.phase in ("busy", "ready")
    assert isinstance(answers[-1], Result)


async def test_stopping_does_not_wait_for_a_model_that_still_loads(
    folder: Path,
) -> None:
    with daemon(folder, "--load-ms", "600000") as running:
        async with running.raw() as peer:
            await peer.send(request("a"))
            await peer.send("{")  # its answer says that "a" was read
            await peer.answer(None)
            running.signal(signal.SIGTERM)
            _, end = await peer.answer("a")
            assert isinstance(end, Failure)
            assert end.code == "shutting_down"
        assert running.ended() == 0
    assert not running.socket.exists()


def test_a_place_that_cannot_be_had_is_one_sentence(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("kept")
    deep = folder / ("x" * 120)
    for place, reason in (
        (folder / "file", "is no socket"),
        (folder / "none" / "dlmd.sock", "No such file"),
        (deep, "too long"),
    ):
        process = start(folder, "--socket", str(place))
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 1
        assert said.count("\n") == 1
        assert reason in said
    assert (folder / "file").read_text() == "kept"
