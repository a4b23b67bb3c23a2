"""The local page: its three files, the one-time link that lets a browser in, its door.

`dlmd open` asks over the unix socket, which only the owner can, and keeps that request open:
while it lasts there is a port on this host, opened for it where the daemon had none. The
files ask no other host for anything, and their policy forbids it. Must not know the engine.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import uvicorn
from starlette.requests import Request
from starlette.responses import (
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import BaseRoute, Route

from dlmd.serve import loopback
from dlmd.serve.guard import LINK, Guard, Heads

FOLDER = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
}
ALIVE_S = 15.0


class Door:
    """The port through which browsers come: the daemon's own, or one while a page is held."""

    def __init__(self, guard: Guard, url: str | None) -> None:
        self.ended = asyncio.Event()
        self.uvicorn: uvicorn.Server | None = None  # once it runs
        self._guard = guard
        self._url = url  # of the daemon's own port
        self._holders = 0
        self._opened: asyncio.Server | None = None
        self._opening = asyncio.Lock()  # two who come at once get one port

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[str]:
        if self._url is not None:
            yield self._url
            return
        self._holders += 1
        try:
            async with self._opening:
                if self._opened is None:
                    self._opened = await self._listening()
            yield loopback.url(self._opened.sockets[0])
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._close()

    async def _listening(self) -> asyncio.Server:
        served = self.uvicorn
        assert served is not None, "pages are asked for once the daemon runs"
        return await asyncio.get_running_loop().create_server(
            lambda: loopback.HttpProtocol(
                config=served.config,
                server_state=served.server_state,
                app_state=served.lifespan.state,
            ),
            sock=loopback.listen("127.0.0.1:0"),
        )

    def _close(self) -> None:
        """Nobody new, and those that came through it go."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._guard.forget_pages()
        if self.uvicorn is not None:
            for connection in list(self.uvicorn.server_state.connections):
                if loopback.over_tcp(connection):
                    connection.shutdown()


def routes(guard: Guard, door: Door) -> list[BaseRoute]:
    async def file(request: Request) -> Response:
        name, kind = FILES[request.url.path]
        headers = HEADERS | {"content-type": kind}
        return Response((FOLDER / name).read_bytes(), headers=headers)

    async def enter(request: Request) -> Response:
        cookie = guard.redeem(request.query_params.get("code", ""))
        if cookie is None:
            told = (
                "this link was used before or is too old; type `dlmd open` for another"
            )
            return PlainTextResponse(told + "\n", 403, HEADERS)
        return RedirectResponse("/", 303, HEADERS | {"set-cookie": cookie})

    async def lease(request: Request) -> Response:
        if not Heads(request.scope).unix:
            told = "a page is asked for over the unix socket; type `dlmd open`"
            return PlainTextResponse(told + "\n", 403)
        return StreamingResponse(held(), media_type="application/x-ndjson")

    async def held() -> AsyncIterator[bytes]:
        """The link, then signs of life until whoever asked is gone, or the daemon ends."""
        async with door.held() as url:
            told = {"url": f"{url}{LINK}?code={guard.link()}"}
            yield msgspec.json.encode(told) + b"\n"
            while not door.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(door.ended.wait(), ALIVE_S)
                yield b"\n"

    return [
        *(Route(path, file) for path in FILES),
        Route(LINK, enter),
        Route("/v1/page", lease, methods=["POST"]),
    ]
