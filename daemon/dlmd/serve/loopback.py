"""The TCP door: a port on this host's own address, and bounds on who holds it open.

Nothing here can listen on an address that another host reaches. A connection that takes
too long to say what it wants is closed, and there is room for so many at a time. Must not
know tokens, routes or messages.
"""

import asyncio
import re
import socket
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

HEAD_S = 10.0  # for a whole request head, and between two
MOST_CONNECTIONS = 64  # over TCP; editors on the unix socket are not counted
UNSENT_BYTES = 16 * 1024  # states on their way to a reader who is slow
# asyncio makes room for 256 kB at each read, and malloc is left with holes of that size
# between the short messages that came.
READ_BYTES = 16 * 1024
BACKLOG = 128

_ADDRESS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})")


def parsed(address: str) -> tuple[str, int]:
    """Host and port of an address of this host; ValueError for every other."""
    found = _ADDRESS.fullmatch(address.strip().lower())
    if found is None or int(found[2]) > 65535:
        raise ValueError(
            f"the HTTP address is {address[:80]!r}, expected 127.0.0.1 and a port, as in "
            "127.0.0.1:8012; dlmd listens on no address that another host can reach"
        )
    host = {"localhost": "127.0.0.1", "[::1]": "::1"}.get(found[1], found[1])
    return host, int(found[2])


def listen(address: str) -> socket.socket:
    host, port = parsed(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ValueError(
            f"cannot listen on {address} ({error.strerror}); stop what uses that port, or "
            "name another with --http"
        ) from error
    return listener


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class HttpProtocol(H11Protocol):
    """uvicorn's, with an end to heads that never end and to connections without number."""

    late: asyncio.TimerHandle | None = None

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        if self.server is None or self.server[1] is None:
            return  # a unix socket: its owner may be slow
        others = sum(over_tcp(connection) for connection in self.connections)
        if others > MOST_CONNECTIONS:
            transport.abort()
            return
        self.late = self.loop.call_later(HEAD_S, self.end_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self.disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.server is None or self.server[1] is None:
            return
        if self.transport.get_protocol() is not self:
            self.disarm()  # it became a WebSocket
        elif not self.idle():
            self.disarm()
        elif self.late is None:
            self.late = self.loop.call_later(HEAD_S, self.end_if_idle)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """What the WebSocket's parser does not take after ours did would get no answer."""
        super().handle_websocket_upgrade(event)
        stream = cast(StreamProtocol, self.transport.get_protocol())
        if not stream.handshake_initiated:
            self.send_400_response("Invalid WebSocket handshake.")

    def idle(self) -> bool:
        """Whether no request is being answered: its head is still to come."""
        cycle = cast(
            Any, self.cycle
        )  # None until the first head, whatever uvicorn says
        return cycle is None or cycle.response_complete

    def end_if_idle(self) -> None:
        self.late = None
        if self.idle() and self.transport.get_protocol() is self:
            self.transport.abort()

    def disarm(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with little room between us and a reader, so that states stay new."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # A refusal was sent whole. Without this it is also an error in the log, of
            # which anybody on this machine could write as many as he likes.
            self.handshake_complete = True


def over_tcp(connection: Any) -> bool:
    return isinstance(connection.transport.get_extra_info("sockname"), tuple)
