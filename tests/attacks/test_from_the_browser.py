"""A web page the user visits, somewhere on the internet, wants what the daemon has.

It can send requests to the port, with headers of the browser's making; it cannot read the
token. DNS rebinding: its name points at us, so that the browser takes us for its own
server. Cross-origin fetch: a request that needs no leave, for what it sets off. Cross-site
WebSocket: no same-origin rule holds for these.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pytest
from dlmd.serve import guard
from dlmd.wire.protocol import Failure, Result
from websockets.exceptions import InvalidStatus

from tests.fakes.inside import Heard, Inside

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVIL = "https://evil.example"
PROMPT = b'{"input_prefix": "x = ", "n_predict": 8}'


def without(patch: pytest.MonkeyPatch, defences: Iterable[str]) -> None:
    """Take defences of the guard away; in this test alone, the product has no such switch."""

    def nothing(*anything: object) -> None:
        return None

    for name in defences:
        where: Any = guard.Guard if hasattr(guard.Guard, name) else guard
        patch.setattr(where, name, nothing)


def all_but_one(defences: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(combinations(defences, len(defences) - 1))


# ---- DNS rebinding: the page's own name now means 127.0.0.1

REBINDING = ("wrong_host", "wrong_origin", "wrong_token")


async def rebound(inside: Inside) -> Heard:
    host = f"evil.example:{inside.port}"
    headers = {"Host": host, "Origin": f"http://{host}"}
    return await inside.ask("POST", "/infill", PROMPT, headers, own=False)


@pytest.mark.parametrize("gone", [(), *all_but_one(REBINDING)], ids=str)
async def test_dns_rebinding_fails(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    without(monkeypatch, gone)
    before = inside.backend.forwards
    assert (await rebound(inside)).status in (401, 403)
    assert inside.backend.forwards == before


async def test_dns_rebinding_without_its_defences(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, REBINDING)
    before = inside.backend.forwards
    assert (await rebound(inside)).json["content"] == "return value"
    assert inside.backend.forwards > before


# A browser sends no Origin with a GET to what it takes for the page's own server.
LOOKING = ("wrong_host", "wrong_token")


async def looked(inside: Inside) -> Heard:
    headers = {"Host": f"evil.example:{inside.port}", "Sec-Fetch-Site": "same-origin"}
    return await inside.ask("GET", "/metrics", None, headers, own=False)


@pytest.mark.parametrize("gone", [(), *all_but_one(LOOKING)], ids=str)
async def test_a_rebound_page_cannot_look(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    without(monkeypatch, gone)
    told = await looked(inside)
    assert told.status in (401, 403) and b"dlmd_" not in told.body


async def test_a_rebound_page_looks_without_its_defences(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, LOOKING)
    assert b"dlmd_forwards_total" in (await looked(inside)).body


NAMES = "evil.example localhost.evil.example 127.0.0.1.evil.example localhost. "
NAMES += "127.0.0.2 0.0.0.0 [::] localhost:80:80 127.0.0.1@evil"


@pytest.mark.parametrize("host", ["", *NAMES.split()])
async def test_no_other_name_is_ours_even_with_the_token(
    inside: Inside, host: str
) -> None:
    told = await inside.ask("GET", "/v1/models", None, {"Host": host})
    assert told.status in (400, 403)


async def test_two_hosts_are_none(inside: Inside) -> None:
    reader, writer = await inside.open()
    said = inside.said("GET", "/v1/models")
    writer.write(said.replace(b"Host:", b"Host: evil.example\r\nHost:", 1))
    assert b" 200 " not in await reader.readline()
    writer.close()


# ---- cross-origin fetch: "simple" requests, which a browser sends without asking us

FETCH = ("wrong_origin", "wrong_token", "wrong_body")


async def fetched(inside: Inside) -> Heard:
    headers = {"Origin": EVIL, "Content-Type": "text/plain"}
    headers |= {"Sec-Fetch-Site": "cross-site"}
    return await inside.ask("POST", "/infill", PROMPT, headers, own=False)


@pytest.mark.parametrize("gone", [(), *all_but_one(FETCH)], ids=str)
async def test_a_cross_origin_fetch_sets_nothing_off(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    without(monkeypatch, gone)
    before = inside.backend.forwards
    assert (await fetched(inside)).status in (401, 403, 415)
    assert inside.backend.forwards == before


async def test_a_cross_origin_fetch_without_its_defences(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, FETCH)
    before = inside.backend.forwards
    assert (await fetched(inside)).status == 200
    assert inside.backend.forwards > before


@pytest.mark.parametrize(
    "origin", [EVIL, "null", "http://localhost:1", "http://127.0.0.1"]
)
async def test_no_origin_is_let_in_even_with_the_token(
    inside: Inside, origin: str
) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        told = await inside.ask(
            method, "/infill", PROMPT if method == "POST" else None, {"Origin": origin}
        )
        assert told.status == 403
        assert not [name for name in told.headers if name.startswith("access-control")]


async def test_the_cookie_of_our_page_does_not_help_another_origin(
    inside: Inside,
) -> None:
    gate = inside.daemon.guard
    cookie = (gate.redeem(gate.link()) or "").partition(";")[0]
    ours = {"Cookie": cookie, "Origin": f"http://localhost:{inside.port}"}
    assert (await inside.ask("POST", "/infill", PROMPT, ours, own=False)).status == 200
    for origin in (
        EVIL,
        "null",
        "http://localhost:1",
        f"https://localhost:{inside.port}",
    ):
        theirs = ours | {"Origin": origin}
        told = await inside.ask("POST", "/infill", PROMPT, theirs, own=False)
        assert told.status == 403


# ---- cross-site WebSocket

SOCKET = ("wrong_origin", "wrong_token")


async def hijacked(inside: Inside) -> Result | Failure:
    """A page has no say in the headers, but its browser adds where it comes from."""
    asked = {"type": "infill", "parts": ["x = ", {"hole": {}}]}
    return await inside.streamed(asked, origin=EVIL, additional_headers={})


@pytest.mark.parametrize("gone", [(), *all_but_one(SOCKET)], ids=str)
async def test_a_cross_site_websocket_is_refused(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    without(monkeypatch, gone)
    before = inside.backend.forwards
    with pytest.raises(InvalidStatus) as refused:
        await hijacked(inside)
    assert refused.value.response.status_code in (401, 403)
    assert inside.backend.forwards == before


async def test_a_cross_site_websocket_without_its_defences(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, SOCKET)
    end = await hijacked(inside)
    assert isinstance(end, Result) and end.candidates[0].holes == ["return value"]
