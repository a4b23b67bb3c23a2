"""A provider of machines on loopback, that speaks what E2B's SDK speaks to E2B.

A machine is a folder; code sent to it is run by a Python of its own, with the folder as
its home. Troubles are told to it: they happen once each, in order.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Provider:
    folder: Path
    key: str = "e2b_" + "0" * 40
    machines: dict[str, Path] = field(default_factory=dict)
    made: int = 0
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    quota: str = ""  # why no machine is given, as long as it is said
    on_run: list[str] = field(default_factory=list)  # "", error, hang, kill, garbage
    hung: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def environment(self) -> dict[str, str]:
        return {
            "E2B_API_KEY": self.key,
            "E2B_API_URL": self.url,
            "E2B_SANDBOX_URL": self.url,
            "E2B_HTTP_VERSION": "1.1",
        }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = json.loads(self.rfile.read(length) or b"{}")
        self.provider.asked.append(("POST", self.path, asked))
        if self.path in ("/sandboxes", "/v2/sandboxes"):
            self.create(asked)
        elif self.path == "/execute":
            self.execute(asked)
        elif self.path.endswith("/timeout"):
            known = self.path.split("/")[-2] in self.provider.machines
            self.answer(204 if known else 404, None)
        else:
            self.answer(404, {"code": 404, "message": f"no {self.path}"})

    def do_DELETE(self) -> None:
        self.provider.asked.append(("DELETE", self.path, None))
        gone = self.provider.machines.pop(self.path.split("/")[-1], None)
        self.answer(204 if gone else 404, None)

    def create(self, asked: Any) -> None:
        if self.headers.get("X-API-Key") != self.provider.key:
            self.answer(401, {"code": 401, "message": "Invalid API key"})
            return
        if self.provider.quota:
            self.answer(429, {"code": 429, "message": self.provider.quota})
            return
        self.provider.made += 1
        name = f"machine{self.provider.made}"
        home = self.provider.folder / name
        home.mkdir()
        self.provider.machines[name] = home
        about = {"templateID": asked["templateID"], "sandboxID": name, "clientID": "c"}
        token = {"envdVersion": "0.2.0", "envdAccessToken": "t", "domain": None}
        self.answer(201, about | token)

    def execute(self, asked: Any) -> None:
        name = self.headers.get("E2b-Sandbox-Id") or ""
        home = self.provider.machines.get(name)
        trouble = ""
        if "remote.py" in asked["code"] and self.provider.on_run:
            trouble = self.provider.on_run.pop(0)
        if trouble == "kill":
            self.provider.machines.pop(name)
            home = None
        if home is None:
            self.answer(502, {"message": "sandbox not found"})
        elif trouble == "error":
            self.answer(500, {"message": "internal server error"})
        elif trouble == "garbage":
            self.lines([{"type": "stdout", "text": "not json", "timestamp": 0}])
        elif trouble == "hang":
            self.provider.hung.wait(60)
            self.close_connection = True
        else:
            self.lines(run(asked["code"], home))

    def lines(self, told: list[dict[str, Any]]) -> None:
        self.send(200, b"".join(json.dumps(each).encode() + b"\n" for each in told))

    def answer(self, status: int, body: Any) -> None:
        self.send(status, b"" if body is None else json.dumps(body).encode())

    def send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def run(code: str, home: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        cwd=home,
    )
    told: list[dict[str, Any]] = [
        {"type": "stdout", "text": done.stdout, "timestamp": 0}
    ]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["died"])[-1]
        name, _, value = last.partition(": ")
        error = {"type": "error", "name": name, "value": value}
        told.append({**error, "traceback": done.stderr})
    return [*told, {"type": "number_of_executions", "execution_count": 1}]


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    told = Provider(folder=folder)
    handler = type("Handler", (Handler,), {"provider": told})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.hung.set()
        server.shutdown()
        server.server_close()
