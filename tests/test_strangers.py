"""What other programs send to the port by mistake or habit, as bytes: each gets an answer,
the daemon goes on, and no connection is left open that says nothing more."""

import asyncio
import json
import logging
import threading
from pathlib import Path

import pytest

from tests.fakes.inside import Inside, serving
from tests.fakes.model import FakeBackend

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASKED = b'{"prompt": "x = "}'
PATH = "/v1/completions"


async def told(inside: Inside, *said: bytes) -> bytes:
    """All that comes back until the daemon closes."""
    reader, writer = await inside.open()
    try:
        for data in said:
            writer.write(data)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    lines = [line for line in answer.split(b"\r\n") if b"HTTP/1.1 " in line]
    return [int(line.split(b"HTTP/1.1 ")[1][:3]) for line in lines]


async def test_a_body_in_chunks(inside: Inside) -> None:
    head = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    said = inside.said("POST", PATH, None, head)
    pieces = [b"%x\r\n%s\r\n" % (len(b), b) for b in (ASKED[:5], ASKED[5:], b"")]
    answer = await told(inside, said, *pieces)
    assert statuses(answer) == [200] and b"return value" in answer


async def test_a_body_that_waits_for_leave(inside: Inside) -> None:
    said = inside.said("POST", PATH, ASKED, {"Expect": "100-continue"})
    reader, writer = await inside.open()
    writer.write(said.removesuffix(ASKED))
    assert b" 100 " in await reader.readline()
    writer.write(ASKED)
    assert b"return value" in await asyncio.wait_for(reader.read(), 30)
    writer.close()


async def test_without_the_token_no_leave_is_given(inside: Inside) -> None:
    wrong = {"Expect": "100-continue", "Authorization": "Bearer no"}
    said = inside.said("POST", PATH, ASKED, wrong).removesuffix(ASKED)
    assert statuses(await told(inside, said)) == [401]


async def test_requests_in_a_row_are_answered_in_a_row(inside: Inside) -> None:
    going_on = inside.said("POST", PATH, ASKED, {"Connection": "keep-alive"})
    last = inside.said("GET", "/v1/models")
    answer = await told(inside, going_on + going_on + last)
    assert statuses(answer) == [200, 200, 200]
    assert answer.count(b"return value") == 2 and answer.endswith(b'"dlmd"}]}')


async def test_only_the_head_is_sent_where_only_that_is_asked_for(
    inside: Inside,
) -> None:
    answer = await told(inside, inside.said("HEAD", "/v1/models"))
    assert statuses(answer) == [200] and answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/infill", 405),
        ("POST", "/v1/models", 405),
        ("PUT", "/infill", 405),
        ("POST", "/v1/completions/", 404),
        ("POST", "//infill", 404),
        ("POST", "/v1/edits", 404),
        ("GET", "http://evil.example/v1/models", 404),
        ("GET", "/v1/models/%ff%00", 404),
    ],
)
async def test_a_wrong_way_is_named(
    inside: Inside, method: str, path: str, status: int
) -> None:
    answer = await told(
        inside, inside.said(method, path, b"{}" if method != "GET" else None)
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert statuses(answer) == [status]
    assert json.loads(body)["error"]["message"]
    if status == 405 and method != "PUT":
        assert b"allow: " in head.lower()


def upgrading(inside: Inside, method: str = "GET", **more: str) -> bytes:
    head = {"Connection": "Upgrade", "Upgrade": "websocket"}
    head |= {"Sec-WebSocket-Version": "13"}
    head |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    head |= {name.replace("_", "-"): value for name, value in more.items()}
    return inside.said(method, "/v1/stream", None, head)


BROKEN = [
    b"\x16\x03\x01\x00\xc5\x01\x00\x00\xc1\x03\x03",  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
]


@pytest.mark.parametrize("said", BROKEN, ids=lambda said: str(said[:20]))
async def test_what_is_no_http_is_answered_and_closed(
    inside: Inside, said: bytes
) -> None:
    try:
        answer = await told(inside, said)
    except ConnectionResetError:  # it closed on what it had not read
        return
    assert statuses(answer) in ([400], [401], [403])


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("POST", {}),
        ("POST", {"Content_Length": "2"}),
        ("GET", {"Content_Length": "5"}),
        ("GET", {f"X_{number}": "a" for number in range(200)}),
        ("GET", {"X": "a" * 9000}),
        ("GET", {"Sec_WebSocket_Key": "short"}),
        ("GET", {"Sec_WebSocket_Version": "8"}),
        ("GET", {"Authorization": "Bearer no"}),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_no_broken_handshake_holds_the_connection_or_fills_the_log(
    inside: Inside,
    method: str,
    more: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await told(inside, upgrading(inside, method, **more))
    assert statuses(answer)[0] in (400, 401, 405, 426)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"\xef\xbb\xbf{}",
        '{"prompt": "x"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"prompt": "x", "deep": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": NaN}',
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda body: str(body[:20]),
)
async def test_what_is_no_json_of_ours_is_one_sentence(
    inside: Inside, body: bytes
) -> None:
    heard = await inside.ask("POST", PATH, body)
    assert heard.status == 400 and "\n" not in heard.error["message"]


async def test_on_the_other_loopback_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 on this machine")
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    async with serving(tmp_path / "run", address="[::1]:0") as running:
        assert running.host == "::1"
        for host, status in (("[::1]", 200), ("localhost", 200), ("[::2]", 403)):
            named = {"Host": f"{host}:{running.port}"}
            answer = await told(running, running.said("POST", PATH, ASKED, named))
            assert statuses(answer) == [status]


async def test_who_asks_ahead_and_leaves_stops_the_model_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    reached, go_on = threading.Event(), threading.Event()

    def before(n: int) -> None:
        if n == 3:
            reached.set()
            assert go_on.wait(30)

    backend = FakeBackend(default="a b c d e f g h", before_forward=before)
    async with serving(tmp_path / "run", backend) as running:
        _, writer = await running.open()
        said = running.said("POST", PATH, ASKED, {"Connection": "keep-alive"})
        writer.write(said + said)
        await asyncio.to_thread(reached.wait, 30)
        writer.close()
        async with asyncio.timeout(30):
            while running.daemon.desk.open:
                await asyncio.sleep(0)
        go_on.set()
    assert backend.forwards == 3
