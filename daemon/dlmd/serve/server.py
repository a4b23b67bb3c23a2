"""The daemon as a process: one ASGI app on a unix socket, maybe on a port too, and an
orderly end.

The guard decides who may speak, then a Connection or a route takes over. SIGTERM or SIGINT:
nobody new, open requests finish or fail, socket and announcement go, exit 0; a second
signal ends it at once. Must not know tensors or models.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket as sockets
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from dlmd.serve import loopback, pages, routes
from dlmd.serve.connection import Connection
from dlmd.serve.engine import Engine
from dlmd.serve.guard import Guard, guarded
from dlmd.serve.http import Desk
from dlmd.serve.listener import leave, taken_place
from dlmd.serve.metrics import Metrics
from dlmd.wire import discovery
from dlmd.wire.protocol import Limits, Status
from dlmd.wire.token import kept_token, token_path

log = logging.getLogger(__name__)

GRACE_S = 2.0  # for begun requests, and again for slow readers


def serve(
    engine: Engine,
    *,
    socket: Path | None = None,
    http: str | None = None,
    limits: Limits | None = None,
    announce: Callable[[str], None] = lambda sentence: None,
    stay_on_failure: bool = False,
) -> int:
    """Run the daemon until a signal; 0 after an orderly end. Main thread only.

    `http` is an address of this host to listen on as well.

    ValueError where there is no place for it, or, unless `stay_on_failure`, where the
    model cannot be loaded.
    """
    with contextlib.ExitStack() as stack:
        if http is not None:
            loopback.parsed(http)  # before anything is touched
        listener, path = stack.enter_context(taken_place(socket))
        doors, about, token = [listener], _described(path), None
        if http is not None:
            doors.append(stack.enter_context(loopback.listen(http)))
            token = kept_token()
            url, file = loopback.url(doors[1]), token_path()
            about = replace(about, http=url, token=file)
        guard = Guard(token=token)
        daemon = Daemon(
            engine,
            path,
            limits or Limits(),
            stay_on_failure,
            guard,
            pages.Door(guard, about.http),
        )
        # Who comes from now on waits in the listener's queue for the few ms of a start.
        discovery.write(about)
        announce(f"listening on {path} (process {os.getpid()})")
        if about.http is not None:
            announce(f"also on {about.http}, with the token in {about.token}")
        daemon.run(doors)
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
        self,
        engine: Engine,
        path: Path,
        limits: Limits,
        stay_on_failure: bool,
        guard: Guard,
        door: pages.Door,
    ) -> None:
        self.engine = engine
        self.path = path
        self.limits = limits
        self.stay_on_failure = stay_on_failure
        self.guard = guard
        self.door = door
        self.desk = Desk(engine=engine, limits=limits, metrics=Metrics())
        self.failed: str | None = None
        self.connections: set[Connection] = set()
        self.thread = threading.Thread(target=engine.run, name="engine", daemon=True)
        self.ending: asyncio.Task[None] | None = None
        self.uvicorn = uvicorn.Server(_configured(self.app(), limits))
        door.uvicorn = self.uvicorn

    def app(self) -> ASGIApp:
        table = [
            WebSocketRoute("/v1/stream", self.stream),
            *routes.routes(self.desk),
            *pages.routes(self.guard, self.door),
        ]
        refused = {404: routes.refused, 405: routes.refused}
        app = Starlette(
            routes=table, lifespan=self.lifespan, exception_handlers=refused
        )
        app.router.redirect_slashes = (
            False  # few clients post again where they are sent
        )
        return guarded(app, self.guard)

    def run(self, doors: list[sockets.socket]) -> None:
        # Its warnings are about what strangers send.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        self.uvicorn.run(sockets=doors)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def on_status(status: Status) -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended before the thread
                loop.call_soon_threadsafe(self.tell, status)

        self.engine.watch(on_status)
        self.engine.watch_ends(lambda job, end: self.desk.metrics.ended(end))
        for number in (signal.SIGTERM, signal.SIGINT):
            # Replaces uvicorn's handlers, which would end the process by that signal.
            loop.add_signal_handler(number, self.on_signal)
        self.thread.start()
        yield

    async def stream(self, websocket: WebSocket) -> None:
        others = len(self.connections)
        connection = Connection(websocket, self.engine, self.limits, others=others)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

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
            self.door.ended.set()
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


def _described(path: Path) -> discovery.Discovery:
    return discovery.Discovery(
        pid=os.getpid(), socket=path, version=discovery.version()
    )


def _configured(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=loopback.HttpProtocol,
        ws=loopback.StreamProtocol,
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
