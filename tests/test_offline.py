"""The daemon talks to nobody: no connection out, no name looked up, from start to end.

An audit hook of Python's own writes down every attempt of the process; the process is a
real `dlmd serve` on a real model. Only `dlmd pull` goes out, and is tested elsewhere.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from dlmd.wire.client import Client
from dlmd.wire.protocol import Result, hole
from openai import OpenAI

from tests.fakes.running import daemon, environment, request
from tests.fakes.tiny import tiny_model_folder
from tests.processes import DLMD

pytestmark = pytest.mark.slow
WATCH = """
import os, sys
LOOKED = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
SENT = ("socket.connect", "socket.sendto", "socket.sendmsg")
def watch(event, arguments):
    named = arguments[1] if event in SENT and len(arguments) > 1 else None
    if event in LOOKED or isinstance(named, tuple):
        with open(os.environ["DLMD_TEST_WATCH"], "a") as out:
            print(event, arguments[1:] if event in SENT else arguments, file=out)
sys.addaudithook(watch)
"""


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every attempt of a child process is written down."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH)
    monkeypatch.setenv("DLMD_TEST_WATCH", str(tmp_path / "attempts"))
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "attempts"


def command(watched: Path, *words: str) -> tuple[str, ...]:
    """Python's own start-up with the watch in it; `env` lets the rest of the path stand."""
    path = environment(watched)["PYTHONPATH"]
    return ("env", f"PYTHONPATH={watched.with_name('site')}:{path}", *words)


def test_an_attempt_would_be_seen(watched: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ask = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        subprocess.run(command(watched, sys.executable, "-c", ask), check=True)
    seen = watched.read_text()
    assert "socket.getaddrinfo" in seen and "socket.connect" in seen


async def test_a_daemon_asks_nobody(watched: Path, tmp_path: Path) -> None:
    model = str(tiny_model_folder(tmp_path / "tiny"))
    serve = (*DLMD, "serve", "--model", model, "--device", "cpu")
    argv = command(watched, *serve, "--http", "127.0.0.1:0")
    with daemon(tmp_path / "run", argv=argv):
        async with Client.connect() as client:
            stream = client.infill(request("a", "x = ", hole(length=4), "\n"))
            assert isinstance([message async for message in stream][-1], Result)
            await client.sleep("test")
            await client.wake()
        told = json.loads((tmp_path / "run" / "daemon.json").read_text())
        key = Path(told["token"]).read_text().strip()
        with OpenAI(base_url=told["http"] + "/v1", api_key=key) as plugin:
            assert plugin.completions.create(model="x", prompt="y = ", max_tokens=4)
    assert not watched.exists(), watched.read_text()
