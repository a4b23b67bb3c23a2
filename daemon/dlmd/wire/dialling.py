"""Reaching the daemon: connect, hear its hello, and say in one sentence what went wrong.

Client and daemon of different versions part here, before anything is asked. Must not know
requests, nor how a daemon is started.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dlmd.wire import discovery
from dlmd.wire.protocol import PROTOCOL, Hello, ProtocolError, decode_server

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class DaemonGone(ConnectionError):
    """No daemon, or no longer; str() is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    socket: Path


async def dial(endpoint: Endpoint, timeout: float) -> tuple["ClientConnection", Any]:
    from websockets.asyncio.client import unix_connect
    from websockets.exceptions import ConnectionClosed, WebSocketException

    path = os.fspath(endpoint.socket)
    try:
        async with asyncio.timeout(timeout):
            connection = await unix_connect(
                path,
                "ws://localhost/v1/stream",
                compression=None,
                max_size=None,  # our own daemon, and bounded by what we asked for
                open_timeout=None,
                close_timeout=1.0,
                ping_interval=None,  # a daemon that loads a model may not answer in time
            )
            try:
                return connection, await connection.recv()
            except BaseException:
                connection.transport.abort()
                raise
    except ConnectionClosed as error:
        raise DaemonGone(farewell(error)) from error
    except TimeoutError as error:
        raise DaemonGone(
            f"the daemon at {path} did not say hello within {timeout:g} s; "
            "stop it with `dlmd stop` and try again"
        ) from error
    except OSError as error:
        raise DaemonGone(
            f"no daemon at {path} ({error.strerror or error}); "
            "start one with `dlmd serve`"
        ) from error
    except WebSocketException as error:
        if isinstance(error.__cause__, EOFError | ConnectionError):
            raise DaemonGone(
                f"the daemon at {path} went away before it said hello; try again"
            ) from error
        raise DaemonGone(
            f"what answers at {path} is no dlmd daemon ({error}); "
            "stop that program, or name another socket"
        ) from error


class _Greeting(msgspec.Struct, tag_field="type", tag="hello"):
    """As much of hello as every version has."""

    version: str
    protocol: int = 0


def checked_hello(frame: str | bytes) -> Hello:
    try:
        greeting = msgspec.json.decode(frame, type=_Greeting)
    except msgspec.DecodeError as error:
        raise ProtocolError(
            f"the daemon's first message was no hello ({error}); "
            "type `dlmd stop`, then try again"
        ) from error
    ours = discovery.version()
    if greeting.version != ours or greeting.protocol != PROTOCOL:
        raise ProtocolError(
            f"this is dlmd {ours} (protocol {PROTOCOL}) and the daemon is "
            f"{greeting.version} (protocol {greeting.protocol}); "
            "type `dlmd stop`, then try again",
            code="version",
        )
    hello = decode_server(frame if isinstance(frame, str) else frame.decode())
    assert isinstance(hello, Hello), "its tag was read above"
    return hello


def farewell(closed: Exception) -> str:
    """Why the connection ended; a frame of goodbye was received only if somebody sent one."""
    goodbye = getattr(closed, "rcvd", None)
    if goodbye is None:
        return (
            "the daemon went away without a goodbye; try again, which starts a new one"
        )
    reason = f": {goodbye.reason}" if goodbye.reason else ""
    return f"the daemon closed the connection (code {goodbye.code}{reason}); try again"
