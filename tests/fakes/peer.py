"""The daemon's end of one connection, played by a test's script, on a real unix socket."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from dlmd.wire import discovery
from dlmd.wire.client import Client, Endpoint
from dlmd.wire.protocol import (
    ClientMessage,
    Hello,
    Limits,
    ServerMessage,
    Status,
    decode_client,
    encode,
)
from websockets.asyncio.server import ServerConnection, unix_serve

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    async def say(self, *messages: ServerMessage) -> None:
        for message in messages:
            await self.connection.send(encode(message))

    async def hear(self) -> ClientMessage:
        frame = await self.connection.recv()
        assert isinstance(frame, str)
        return decode_client(frame)


def hello(limits: Limits | None = None) -> Hello:
    return Hello(
        version=discovery.version(),
        limits=limits or Limits(),
        status=Status(phase="ready", model="fake"),
    )


@asynccontextmanager
async def serving(socket: Path, script: Script) -> AsyncIterator[Endpoint]:
    async def talk(connection: ServerConnection) -> None:
        await script(Peer(connection))

    async with unix_serve(talk, str(socket), compression=None, max_size=None):
        yield Endpoint(socket=socket)


@asynccontextmanager
async def talking(socket: Path, script: Script) -> AsyncIterator[Client]:
    """A client whose daemon says hello and then follows the script."""

    async def greet(peer: Peer) -> None:
        await peer.say(hello())
        await script(peer)

    async with serving(socket, greet) as endpoint, Client.connect(endpoint) as client:
        yield client


async def nothing_more(peer: Peer) -> None:
    await peer.connection.wait_closed()
