"""The daemon as a process: one ASGI app on one unix socket, and an orderly end.

Who may speak is decided here (no web page, only this host's name), then a Connection takes
over. SIGTERM or SIGINT: nobody new, open requests finish or fail, socket and announcement
go, exit 0; a second signal ends it at once. Must not know tensors or models.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket as sockets
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from dlmd.serve.connection import Connection
from dlmd.serve.engine import Engine
from dlmd.serve.listener import leave, taken_place
from dlmd.wire import discovery
from dlmd.wire.protocol import Limits, Status

log = logging.getLogger(__name__)

GRACE_S = 2.0  # for begun requests, and again for slow readers
HOSTS = ("localhost",)  # over a unix socket nobody needs another name
UNSENT_BYTES = 16 * 1024  # states on their way to a reader who is slow


def serve(
    engine: Engine,
    *,
    socket: Path | None = None,
    limits: Limits | None = None,
    announce: Callable[[str], None] = lambda sentence: None,
    stay_on_failure: bool = False,
) -> int:
    """Run the daemon until a signal; 0 after an orderly end. Main thread only.

    ValueError where there is no place for it, or, unless `stay_on_failure`, where the
    model cannot be loaded.
    """
    with taken_place(socket) as (listener, path):
        daemon = Daemon(engine, path, limits or Limits(), stay_on_failure)
        # Who comes from now on waits in the listener's queue for the few ms of a start.
        discovery.write(_described(path))
        announce(f"listening on {path} (process {os.getpid()})")
        daemon.run(listener)
    if daemon.thread.is_alive():
        # It reads the model, or is in a long forward; Python could crash on leaving it.
        log.debug("leaving the engine thread behind")
        logging.shutdown()
        os._exit(0)
    if daemon.failed is not None:
        raise ValueError(daemon.failed)
    return 0


class Daemon:
    """The app's state between start and end of the process."""

    def __init__(
        self, engine: Engine, path: Path, limits: Limits, stay_on_failure: bool
    ) -> None:
        self.engine = engine
        self.path = path
        self.limits = limits
        self.stay_on_failure = stay_on_failure
        self.failed: str | None = None
        self.connections: set[Connection] = set()
        self.thread = threading.Thread(target=engine.run, name="engine", daemon=True)
        self.ending: asyncio.Task[None] | None = None
        self.uvicorn = uvicorn.Server(_configured(self.app(), limits))

    def app(self) -> ASGIApp:
        routes = [
            WebSocketRoute("/v1/stream", self.stream),
            Route("/healthz", self.health),
            Route("/health", self.health),
        ]
        return guarded(Starlette(routes=routes, lifespan=self.lifespan))

    def run(self, listener: sockets.socket) -> None:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self.uvicorn.run(sockets=[listener])

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def on_status(status: Status) -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended before the thread
                loop.call_soon_threadsafe(self.tell, status)

        self.engine.watch(on_status)
        for number in (signal.SIGTERM, signal.SIGINT):
            # Replaces uvicorn's handlers, which would end the process by that signal.
            loop.add_signal_handler(number, self.on_signal)
        self.thread.start()
        yield

    async def stream(self, websocket: WebSocket) -> None:
        connection = Connection(websocket, self.engine, self.limits)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    async def health(self, request: Request) -> JSONResponse:
        phase = self.engine.status.phase
        well = phase in ("ready", "busy")
        body = {"status": "ok" if well else phase, "phase": phase}
        return JSONResponse(
            body | {"version": discovery.version()}, 200 if well else 503
        )

    def tell(self, status: Status) -> None:
        for connection in self.connections:
            connection.tell(status)
        if status.phase == "failed" and not self.stay_on_failure:
            self.failed = status.detail
            self.end()

    def on_signal(self) -> None:
        if self.ending is not None:
            leave(self.path)
            os._exit(1)
        self.end()

    def end(self) -> None:
        if self.ending is None:
            self.ending = asyncio.create_task(self.wind_down())

    async def wind_down(self) -> None:
        leave(self.path)
        # What is being read from disk need not be waited for: nothing was begun.
        grace = 0.0 if self.engine.status.phase == "loading" else GRACE_S
        self.engine.stop(grace)
        await asyncio.to_thread(self.thread.join, grace + 0.5)
        closing = [connection.close(GRACE_S) for connection in self.connections]
        await asyncio.gather(*closing)
        self.uvicorn.should_exit = True


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with little room between us and a reader, so that states stay new."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, UNSENT_BYTES)


def _described(path: Path) -> discovery.Discovery:
    return discovery.Discovery(
        pid=os.getpid(), socket=path, version=discovery.version()
    )


def _configured(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws=StreamProtocol,
        ws_max_size=limits.max_message_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # an editor that was suspended keeps its connection
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


def guarded(app: ASGIApp) -> ASGIApp:
    """Refuse browsers, which send Origin, and names that DNS could point at us."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None if scope["type"] == "lifespan" else _refusal(scope)
        if refusal is None:
            await app(scope, receive, send)
        else:
            await PlainTextResponse(refusal + "\n", 403)(scope, receive, send)

    return guard


def _refusal(scope: Scope) -> str | None:
    headers = [
        (name.lower(), value.decode("latin-1")) for name, value in scope["headers"]
    ]
    if any(name == b"origin" for name, _ in headers):
        return (
            "a request with an Origin header came, expected none; "
            "web pages may not use this daemon"
        )
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0].rsplit(":", 1)[0].lower() not in HOSTS:
        return f"Host was {', '.join(hosts)[:80]!r}, expected {HOSTS[0]}; use that name"
    return None
