"""Who may speak, from the head of a request alone. Whole attacks are in tests/attacks."""

from typing import Any

import pytest
from dlmd.serve.guard import LINK_S, PAGE_S, Guard, Heads

TOKEN = "t" * 43
PORT = 8012


def scope(*headers: tuple[str, str], unix: bool = False, **more: Any) -> dict[str, Any]:
    server = ("/run/dlmd.sock", None) if unix else ("127.0.0.1", PORT)
    told = [("host", f"localhost:{PORT}"), *headers]
    raw = [(n.encode(), v.encode("latin-1")) for n, v in told]
    path = {"type": "http", "method": "GET", "path": "/v1/models"}
    return path | {"server": server, "headers": raw} | more


def status(guard: Guard, *headers: tuple[str, str], **more: Any) -> int:
    refusal = guard.refusal(scope(*headers, **more))
    return 200 if refusal is None else refusal.status


def test_the_socket_asks_for_no_token_and_the_port_does() -> None:
    guard = Guard(token=TOKEN)
    assert status(guard, unix=True) == 200
    assert status(guard) == 401
    assert status(guard, ("authorization", f"Bearer {TOKEN}")) == 200
    assert status(guard, ("authorization", f"bearer  {TOKEN} ")) == 200


def test_what_cannot_be_told_counts_as_the_port() -> None:
    for server in (None, ("127.0.0.1", 1), ("::1", 1, 0, 0)):
        assert status(Guard(token=TOKEN), server=server) == 401


def test_without_a_port_no_token_is_right() -> None:
    assert status(Guard(token=None), ("authorization", "Bearer ")) == 401
    assert status(Guard(token=None), ("authorization", "Bearer None")) == 401


def test_a_link_works_once_and_soon() -> None:
    now = [0.0]
    guard = Guard(token=TOKEN, clock=lambda: now[0])
    link, late = guard.link(), guard.link()
    cookie = guard.redeem(link)
    assert cookie is not None
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert guard.redeem(link) is None
    assert guard.redeem("x") is None
    now[0] = LINK_S
    assert guard.redeem(late) is None


def test_a_page_may_speak_until_its_cookie_ends() -> None:
    now = [0.0]
    guard = Guard(token=TOKEN, clock=lambda: now[0])
    cookie = ("cookie", (guard.redeem(guard.link()) or "").partition(";")[0])
    own = ("origin", f"http://localhost:{PORT}")
    assert status(guard, cookie) == 200
    assert status(guard, cookie, own) == 200
    assert status(guard, cookie, ("origin", "http://localhost:1")) == 403
    assert status(guard, own) == 403
    now[0] = PAGE_S
    assert status(guard, cookie) == 401
    assert status(guard, cookie, own) == 403


@pytest.mark.parametrize(
    "other",
    [
        'a={"x":1, "y":2}',
        "path=/x",
        "s=a b c",
        "k[0]=1",
        "a@b=1",
        "bare",
        "dlmd_page=x",
    ],
)
def test_cookies_of_other_programs_on_this_host_are_passed_over(other: str) -> None:
    guard = Guard(token=TOKEN)
    ours = (guard.redeem(guard.link()) or "").partition(";")[0]
    assert status(guard, ("cookie", f"{other}; {ours}")) == 200
    assert status(guard, ("cookie", f"{ours}; {other}")) == 200
    assert status(guard, ("cookie", other)) == 401


def test_links_and_pages_are_bounded() -> None:
    guard = Guard(token=TOKEN)
    first = guard.link()
    for _ in range(100):
        guard.redeem(guard.link())
    assert len(guard._pages) <= 64
    codes = [guard.link() for _ in range(100)]
    assert guard.redeem(first) is None and guard.redeem(codes[-1]) is not None


@pytest.mark.parametrize(
    ("method", "kind", "wanted"),
    [
        ("POST", "application/json", 200),
        ("POST", "Application/JSON; charset=utf-8", 200),
        ("POST", "text/plain", 415),
        ("POST", "", 415),
        ("DELETE", "application/json", 405),
        ("OPTIONS", "application/json", 405),
    ],
)
def test_methods_and_bodies(method: str, kind: str, wanted: int) -> None:
    guard, content = Guard(token=TOKEN), ("content-type", kind)
    assert status(guard, content, unix=True, method=method) == wanted


def test_a_header_sent_twice_has_no_value() -> None:
    heads = Heads(scope(("cookie", "a"), ("cookie", "b")))
    assert heads.one("cookie") is None
    assert heads.all("cookie") == ["a", "b"]
