"""The page's door: a link for one visit, a cookie, a port that closes with `dlmd open`."""

import asyncio
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from dlmd.open_page import leased
from dlmd.serve.guard import Guard
from dlmd.serve.pages import FILES, FOLDER, Door
from starlette.applications import Starlette
from uvicorn.lifespan.off import LifespanOff

from tests.processes import Home

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    with home.fake_daemon():
        yield home


def get(url: str, **headers: str) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1" and parts.port is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers=names)
    return connection.getresponse()


def test_a_link_is_good_for_one_browser(home: Home) -> None:
    with leased(home.folder / "run" / "dlmd.sock") as (link, _):
        root = link.split("/open")[0]
        assert get(f"{root}/").status == 401
        first = get(link)
        assert (first.status, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert get(link).status == 403
        assert get(f"{root}/open?code=").status == 403
        held = cookie.split(";")[0]
        for path in FILES:
            answer = get(f"{root}{path}", cookie=held)
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        # Another site's link to ours, in the same browser:
        crossed = get(f"{root}/", cookie=held, sec_fetch_site="cross-site")
        assert crossed.status == 403


def test_the_port_goes_with_the_command_that_asked_for_it(home: Home) -> None:
    with leased(home.folder / "run" / "dlmd.sock") as (link, _):
        assert get(link).status == 303
    with pytest.raises(OSError):
        for _ in range(1000):  # the daemon hears of it in a moment
            get(link)


def test_two_who_open_a_page_at_once_share_one_port() -> None:
    async def both() -> tuple[str, str]:
        server = uvicorn.Server(uvicorn.Config(Starlette()))
        server.lifespan = LifespanOff(server.config)
        door = Door(Guard(token=None), None)
        door.uvicorn = server
        one, other = door.held(), door.held()
        urls = await asyncio.gather(one.__aenter__(), other.__aenter__())
        await one.__aexit__(None, None, None)
        await other.__aexit__(None, None, None)
        return urls

    first, second = asyncio.run(both())
    assert first == second
    with pytest.raises(OSError):
        get(f"{first}/")


def test_only_the_unix_socket_opens_a_page(home: Home) -> None:
    with leased(home.folder / "run" / "dlmd.sock") as (link, _):
        held = get(link).headers["set-cookie"].split(";")[0]
        parts = urlsplit(link)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0)
        asked = {"cookie": held, "content-type": "application/json"}
        connection.request("POST", "/v1/page", body="{}", headers=asked)
        assert connection.getresponse().status == 403


def test_the_command_prints_a_link_and_ends_with_ctrl_c_or_the_daemon(
    home: Home,
) -> None:
    for end in ("interrupt", "stop"):
        with subprocess.Popen(
            [sys.executable, "-m", "dlmd", "open", "--no-browser"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=home.env(),
        ) as process:
            assert process.stdout is not None
            assert b"/open?code=" in process.stdout.readline()
            if end == "interrupt":
                process.send_signal(signal.SIGINT)
                assert process.wait(10) in (130, -2)
            else:
                os.kill(_daemon(home), signal.SIGTERM)
                assert process.wait(10) == 0


def _daemon(home: Home) -> int:
    text = (home.folder / "run" / "daemon.json").read_text()
    found = re.search(r'"pid": ?(\d+)', text)
    assert found is not None
    return int(found[1])


def test_the_files_ask_no_other_host(home: Home) -> None:
    for name, _ in FILES.values():
        text = (FOLDER / name).read_text(encoding="utf-8")
        hosts = set(re.findall(r"(?:https?|wss?)://([^\s\"'`/]+)", text))
        assert hosts <= {"${location.host}", "www.w3.org"}  # the second names SVG
