"""Who may speak to the daemon, decided from the head of a request, before anything is read.

Two doors. The unix socket: the kernel lets in its owner alone, so no token is asked for.
TCP on loopback: every user of the machine and every web page in a browser can knock, so a
token is asked for, as Bearer, or as the cookie that a one-time link gave to our own page.
At both: only names that DNS cannot point elsewhere, no Origin but our page's, bodies that a
plain HTML form cannot send. Must not know what the routes do.
"""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dlmd.serve import compat_openai
from dlmd.wire.token import matches

OPEN = frozenset({"/health", "/healthz", "/v1/health"})
LINK = "/open"  # its code is checked where it is redeemed
METHODS = frozenset({"GET", "HEAD", "POST"})
COOKIE = "dlmd_page"
LINK_S = 120.0  # how long a one-time link can be used
PAGE_S = 12 * 3600.0  # how long the cookie it gives is good for
MOST_PAGES = 64
MOST_COOKIES = 4  # of our name

_UNIX_HOST = re.compile(r"localhost(:\d{1,5})?", re.IGNORECASE)
_TCP_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    status: int
    kind: str
    message: str


@dataclass(slots=True, kw_only=True)
class Guard:
    """The token, and the pages that were let in by a link. On the event loop only."""

    token: str | None  # None: there is no TCP door
    clock: Callable[[], float] = time.monotonic
    _links: dict[str, float] = field(default_factory=dict)  # code -> until when
    _pages: dict[str, float] = field(default_factory=dict)  # cookie -> until when

    def link(self) -> str:
        """A code for one visit of our page, soon."""
        return _add(self._links, self.clock(), LINK_S)

    def redeem(self, code: str) -> str | None:
        """The Set-Cookie header for the browser that came with the link; None the second
        time."""
        if _known(self._links, code, self.clock()) is None:
            return None
        del self._links[code]
        cookie = _add(self._pages, self.clock(), PAGE_S)
        return f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict"

    def forget_pages(self) -> None:
        self._links.clear()
        self._pages.clear()

    def refusal(self, scope: Scope) -> Refusal | None:
        heads = Heads(scope)
        return (
            wrong_host(heads)
            or self.wrong_origin(heads)
            or wrong_method(heads)
            or self.wrong_token(heads)
            or wrong_body(heads)
        )

    def wrong_origin(self, heads: "Heads") -> Refusal | None:
        origins = heads.all("origin")
        site = heads.one("sec-fetch-site")
        if not origins and site in (None, "none", "same-origin"):
            return None
        # Browsers alone send these. The name was checked before, so it is one of ours; but
        # a program of anybody's on another port has the same name, and no cookie of ours.
        if origins == [f"http://{heads.one('host')}"] and self.is_page(heads):
            return None
        return Refusal(
            status=403,
            kind="permission_error",
            message="a request with an Origin header came from a browser, expected none; "
            "web pages may not use this daemon, but `dlmd open` may",
        )

    def wrong_token(self, heads: "Heads") -> Refusal | None:
        open_path = heads.path in OPEN or heads.path == LINK
        if heads.unix or (open_path and heads.method in ("GET", "HEAD")):
            return None
        scheme, _, given = (heads.one("authorization") or "").partition(" ")
        if self.token and scheme.lower() == "bearer":
            if matches(given.strip(), self.token):
                return None
            return _unknown("a wrong token came")
        if self.is_page(heads):
            return None
        return _unknown("no token came")

    def is_page(self, heads: "Heads") -> bool:
        # Every program on this host shares its cookies with us, and a parser of cookies
        # gives up at the first that is not as it should be.
        pairs = (pair.partition("=") for pair in (heads.one("cookie") or "").split(";"))
        given = [value.strip() for name, _, value in pairs if name.strip() == COOKIE]
        now = self.clock()
        return any(_known(self._pages, each, now) for each in given[:MOST_COOKIES])


class Heads:
    """What a guard looks at of one request."""

    def __init__(self, scope: Scope) -> None:
        self.websocket = scope["type"] == "websocket"
        self.method = "GET" if self.websocket else str(scope["method"])
        self.path = str(scope["path"])
        # A TCP listener has a port. What cannot be told counts as TCP.
        server = scope.get("server")
        self.unix = server is not None and server[1] is None
        self.headers = [(n.lower(), v.decode("latin-1")) for n, v in scope["headers"]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.encode()]

    def one(self, name: str) -> str | None:
        """The value, unless it was sent twice: whoever reads the other one disagrees."""
        values = self.all(name)
        return values[0].strip() if len(values) == 1 else None


def wrong_host(heads: Heads) -> Refusal | None:
    names = _UNIX_HOST if heads.unix else _TCP_HOST
    if names.fullmatch(heads.one("host") or ""):
        return None
    seen = ", ".join(heads.all("host"))[:80]
    return Refusal(
        status=403,
        kind="permission_error",
        message=f"Host was {seen!r}, expected localhost; use that name",
    )


def wrong_method(heads: Heads) -> Refusal | None:
    if heads.method in METHODS:
        return None
    return Refusal(
        status=405,
        kind="invalid_request_error",
        message=f"the method was {heads.method[:20]!r}, expected GET or POST; change it",
    )


def wrong_body(heads: Heads) -> Refusal | None:
    """A form of a web page can send three types of body unasked, and JSON is none."""
    if heads.method != "POST":
        return None
    kind = (heads.one("content-type") or "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return None
    return Refusal(
        status=415,
        kind="invalid_request_error",
        message=f"Content-Type was {kind[:60]!r}, expected application/json; send JSON",
    )


def guarded(app: ASGIApp, guard: Guard) -> ASGIApp:
    async def at_the_door(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None if scope["type"] == "lifespan" else guard.refusal(scope)
        if refusal is None:
            await app(scope, receive, send)
            return
        body = compat_openai.error(refusal.status, refusal.kind, refusal.message)
        asked = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}
        headers = asked | {"connection": "close"}
        await JSONResponse(body, refusal.status, headers)(scope, receive, send)

    return at_the_door


def _unknown(seen: str) -> Refusal:
    return Refusal(
        status=401,
        kind="authentication_error",
        message=f"{seen}, expected the one in the daemon's token file; `dlmd status` "
        "names that file: send its text as the API key",
    )


def _add(known: dict[str, float], now: float, seconds: float) -> str:
    for old in [code for code, until in known.items() if until <= now]:
        del known[old]
    while len(known) >= MOST_PAGES:
        del known[next(iter(known))]
    code = secrets.token_urlsafe(32)
    known[code] = now + seconds
    return code


def _known(known: dict[str, float], given: str, now: float) -> str | None:
    found = [code for code, until in known.items() if matches(given, code)]
    return next((code for code in found if known[code] > now), None)
