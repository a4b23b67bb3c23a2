"""Reaching the daemon: connect, hear its hello, and say in one sentence what went wrong.

Client and daemon of different versions part here, before anything is asked. Must not know
requests, nor how a daemon is started.
"""

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec

from dlmd.wire import discovery
from dlmd.wire.protocol import PROTOCOL, Hello, ProtocolError, decode_server
from dlmd.wire.remote import Endpoint, Tunnel

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


__all__ = ["DaemonGone", "Endpoint", "checked_hello", "dial", "farewell"]

SSH_S = 40.0


class DaemonGone(ConnectionError):
    """No daemon, or no longer; str() is one sentence."""


async def dial(endpoint: Endpoint, timeout: float) -> tuple["ClientConnection", Any]:
    """The connection, and the first frame that came over it."""
    from websockets.exceptions import (
        ConnectionClosed,
        InvalidStatus,
        WebSocketException,
    )

    tunnel = None
    if endpoint.ssh is not None:
        timeout = max(timeout, SSH_S)  # a login, and a daemon that has to start
        tunnel = Tunnel(endpoint.ssh)
    done = False
    try:
        async with asyncio.timeout(timeout):
            connection = await _connected(endpoint, tunnel)
            try:
                first = await connection.recv()
                done = True
                return connection, first
            except BaseException:
                connection.transport.abort()
                raise
    except ConnectionClosed as error:
        raise DaemonGone(farewell(error)) from error
    except TimeoutError as error:
        raise DaemonGone(
            f"the daemon at {endpoint} did not say hello within {timeout:g} s; "
            "stop it with `dlmd stop` and try again"
        ) from error
    except InvalidStatus as error:
        raise DaemonGone(_refused(endpoint, error.response)) from error
    except OSError as error:
        raise DaemonGone(
            f"no daemon at {endpoint} ({error.strerror or error}); "
            "start one with `dlmd serve`"
        ) from error
    except WebSocketException as error:
        if isinstance(error.__cause__, EOFError | ConnectionError):
            raise DaemonGone(await _hung_up(endpoint, tunnel)) from error
        raise DaemonGone(
            f"what answers at {endpoint} is no dlmd daemon ({error}); "
            "stop that program, or name another socket"
        ) from error
    finally:
        if tunnel is not None and not done:
            tunnel.kill()


async def _connected(endpoint: Endpoint, tunnel: Tunnel | None) -> "ClientConnection":
    from websockets.asyncio.client import connect, unix_connect

    options: dict[str, Any] = {
        "compression": None,
        "max_size": None,  # our own daemon, and bounded by what we asked for
        "open_timeout": None,
        "close_timeout": 1.0,
        "ping_interval": None,  # a daemon that loads a model may not answer in time
        "proxy": None,
    }
    if tunnel is not None:
        uri = "ws://localhost/v1/stream"
        return await connect(uri, sock=tunnel.socket, **options)
    if endpoint.url is not None:
        uri = f"ws{endpoint.url.removeprefix('http')}/v1/stream"
        headers = {"Authorization": f"Bearer {endpoint.token}"}
        return await connect(uri, additional_headers=headers, **options)
    assert endpoint.socket is not None
    path = os.fspath(endpoint.socket)
    return await unix_connect(path, "ws://localhost/v1/stream", **options)


async def _hung_up(endpoint: Endpoint, tunnel: Tunnel | None) -> str:
    if tunnel is None:
        return f"the daemon at {endpoint} went away before it said hello; try again"
    said = await asyncio.to_thread(tunnel.last_words)
    return f"no daemon could be reached at {endpoint}: {said}"


def _refused(endpoint: Endpoint, response: Any) -> str:
    if response.status_code in (401, 403):
        return (
            f"the daemon at {endpoint} refused the token; set DLMD_TOKEN to the one in "
            "the token file that `dlmd status` names where it runs"
        )
    return (
        f"what answers at {endpoint} is no dlmd daemon (HTTP {response.status_code}); "
        "stop that program, or name another place"
    )


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
