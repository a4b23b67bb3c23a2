"""No daemon, the wrong one, or one of another version: one sentence each."""

import asyncio
from pathlib import Path

import pytest
from dlmd.wire import discovery
from dlmd.wire.client import Client, DaemonGone, Endpoint
from dlmd.wire.protocol import PROTOCOL, ProtocolError, encode

from tests.fakes.peer import Peer, hello, nothing_more, serving


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_no_daemon_at_the_socket_is_one_sentence(socket: Path) -> None:
    with pytest.raises(DaemonGone, match=f"no daemon at {socket} .*`dlmd serve`"):
        await Client.open(Endpoint(socket=socket))


async def test_no_discovery_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    with pytest.raises(DaemonGone, match="no daemon runs; start one with"):
        await Client.open()


async def test_what_is_no_daemon_is_one_sentence(socket: Path) -> None:
    async def mumble(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_unix_server(mumble, socket):
        with pytest.raises(DaemonGone, match="is no dlmd daemon"):
            await Client.open(Endpoint(socket=socket))


async def test_a_daemon_that_dies_at_the_door_went_away(socket: Path) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_unix_server(die, socket):
        with pytest.raises(DaemonGone, match="went away before it said hello"):
            await Client.open(Endpoint(socket=socket))


async def test_silence_has_an_end(socket: Path) -> None:
    async with serving(socket, nothing_more) as endpoint:
        with pytest.raises(DaemonGone, match=r"did not say hello within 0.05 s"):
            await Client.open(endpoint, timeout=0.05)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ('{"type":"hello","version":"9.9","protocol":7}', "9.9 (protocol 7)"),
        ('{"type":"hello","version":"9.9","status":{}}', "9.9 (protocol 0)"),
        (
            encode(hello()).replace(f'"protocol":{PROTOCOL}', '"protocol":99'),
            "(protocol 99)",
        ),
    ],
)
async def test_another_version_names_both_and_what_to_type(
    frame: str, told: str, socket: Path
) -> None:
    async def script(peer: Peer) -> None:
        await peer.connection.send(frame)
        await nothing_more(peer)

    async with serving(socket, script) as endpoint:
        with pytest.raises(ProtocolError) as caught:
            await Client.open(endpoint)
    assert caught.value.code == "version"
    assert f"this is dlmd {discovery.version()} " in str(caught.value)
    assert told in str(caught.value) and "`dlmd stop`" in str(caught.value)


@pytest.mark.parametrize("frame", ["{}", "what", '{"type":"status","phase":"ready"}'])
async def test_a_first_word_that_is_no_hello_is_one_sentence(
    frame: str, socket: Path
) -> None:
    async def script(peer: Peer) -> None:
        await peer.connection.send(frame)
        await nothing_more(peer)

    async with serving(socket, script) as endpoint:
        with pytest.raises(ProtocolError, match="first message was no hello"):
            await Client.open(endpoint)


async def test_hanging_up_before_hello_is_one_sentence(socket: Path) -> None:
    async def script(peer: Peer) -> None:
        peer.connection.transport.abort()

    async with serving(socket, script) as endpoint:
        with pytest.raises(DaemonGone, match="went away without a goodbye"):
            await Client.open(endpoint)
