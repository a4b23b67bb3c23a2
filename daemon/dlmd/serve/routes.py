"""The table of HTTP routes, and those of them that only look: health, models, metrics.

No GET changes anything. What is open to callers without a token says no more than whether
the model can be used. Must not know who may ask (guard.py).
"""

import time
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dlmd.serve import compat_llama, compat_openai
from dlmd.serve.forms import FORMS
from dlmd.serve.http import Desk
from dlmd.serve.http import Route as Answering
from dlmd.serve.metrics import TYPE
from dlmd.wire import discovery
from dlmd.wire.complaints import shown
from dlmd.wire.protocol import SERVING

STARTED = int(time.time())
UNWELL = {
    "loading": "Loading model",  # llama.cpp's words, which its clients look for
    "failed": "the model could not be loaded; `dlmd status` says why",
    "sleeping": "the device is lent to another job; `dlmd status` says to which",
    "stopping": "the daemon is stopping",
}


def routes(desk: Desk) -> list[BaseRoute]:
    async def health(request: Request) -> Response:
        phase = desk.engine.status.phase
        well = phase in SERVING
        told = {"phase": phase, "version": discovery.version()}
        if well:
            return json({"status": "ok"} | told)
        error = compat_llama.error(503, "unavailable_error", UNWELL[phase])
        return json(error | {"status": phase} | told, 503)

    async def models(request: Request) -> Response:
        return json(compat_openai.models([desk.model], STARTED))

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if name == desk.model:
            return json(compat_openai.model(name, STARTED))
        told = f"model was {shown(name)}, and this daemon serves {desk.model}"
        error = compat_openai.error(404, "not_found_error", told + "; ask for that")
        return json(error, 404)

    async def metrics(request: Request) -> Response:
        text = desk.metrics.text(desk.engine.status)
        return Response(text, headers={"content-type": TYPE})

    looks = {
        "/health": health,
        "/healthz": health,
        "/v1/health": health,
        "/v1/models": models,
        "/v1/models/{name:path}": model,
        "/metrics": metrics,
    }
    return [
        *(Route(path, endpoint) for path, endpoint in looks.items()),
        *(Route(form.path, Answering(desk, form), methods=["POST"]) for form in FORMS),
    ]


async def refused(request: Request, error: Exception) -> Response:
    """No such route, or not by this method."""
    assert isinstance(error, HTTPException)
    told = f"{request.method} {request.url.path[:80]}: {error.detail.lower()}"
    kind = "not_found_error" if error.status_code == 404 else "invalid_request_error"
    body = compat_openai.error(
        error.status_code, kind, told + "; docs/http.md lists all"
    )
    return json(body, error.status_code, error.headers)


def json(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    told = {"content-type": "application/json", **(headers or {})}
    return Response(msgspec.json.encode(body), status, headers=told)
