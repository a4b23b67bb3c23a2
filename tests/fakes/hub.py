"""A hub on loopback that answers what huggingface_hub 2 asks: repository info, and files.

Real sockets and real HTTP: ranges, ETag and commit headers, redirects. Each way to fail is
a switch on the `Hub`; what was asked is in `asked`. Must not know who pulls.
"""

import contextlib
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass
class Hub:
    """One repository at one commit, and what is wrong with it."""

    repository: str = "apple/DiffuCoder-7B-cpGRPO"
    commit: str = COMMIT
    licence: str = "apple-amlr"
    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    cut_after: list[int] = field(default_factory=list)  # bytes; one entry a request
    cut_always: int | None = None
    ignore_ranges: bool = False
    swapped: dict[str, bytes] = field(default_factory=dict)  # other bytes, same name
    moved_to: str | None = None  # the repository's new name
    elsewhere: "Hub | None" = None  # where large files are stored
    refuse: tuple[int, str] | None = None  # status and X-Error-Code
    busy: int = 0  # so many requests for files are answered 503
    held: threading.Event | None = None  # bytes after the first half wait for it
    half_sent: threading.Event = field(default_factory=threading.Event)
    extra: list[dict[str, object]] = field(default_factory=list)  # siblings as they are
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def ranges(self, name: str) -> list[str | None]:
        """The Range header of every request for a file, in order."""
        return [
            headers.get("range")
            for method, path, headers in self.asked
            if method == "GET" and path.endswith(f"/{name}")
        ]


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str) -> bool:
    return name.endswith(".safetensors")


def sibling(name: str, content: bytes) -> dict[str, object]:
    told: dict[str, object] = {
        "rfilename": name,
        "size": len(content),
        "blobId": git_sha1(content),
    }
    if is_large(name):
        digest = hashlib.sha256(content).hexdigest()
        told["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 134}
    return told


def leaf(name: str, content: bytes) -> dict[str, object]:
    """The same file as a listing of folders has it."""
    told = {"type": "file", "path": name, "size": len(content)}
    if is_large(name):
        digest = hashlib.sha256(content).hexdigest()
        lfs = {"oid": digest, "size": len(content), "pointerSize": 134}
        return told | {"oid": git_sha1(b"pointer"), "lfs": lfs}
    return told | {"oid": git_sha1(content)}


class Answer(BaseHTTPRequestHandler):
    """One request; the hub's state is on the server."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        hub = self.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.asked.append((self.command, url.path, headers))
        if hub.refuse:
            return self.fail(*hub.refuse)
        path = url.path
        if hub.moved_to:
            if hub.repository in path:
                target = path.replace(hub.repository, hub.moved_to)
                return self.redirect(307, f"{target}?{url.query}")
            path = path.replace(hub.moved_to, hub.repository)
        if path.startswith("/api/models/"):
            return self.info(path.removeprefix("/api/models/"))
        if path.startswith("/stored/"):
            return self.content(path.removeprefix("/stored/"))
        return self.file(path)

    def info(self, path: str) -> None:
        hub = self.hub
        listed = "/tree/" in path
        repository, _, revision = path.partition("/tree/" if listed else "/revision/")
        if repository != hub.repository:
            return self.fail(404, "RepoNotFound")
        if revision not in ("", "main", hub.commit):
            return self.fail(404, "RevisionNotFound")
        if listed:
            rows = [leaf(name, content) for name, content in hub.files.items()]
            return self.send(200, json.dumps(rows).encode())
        siblings = [sibling(name, content) for name, content in hub.files.items()]
        told = {
            "id": hub.repository,
            "sha": hub.commit,
            "siblings": [*siblings, *hub.extra],
            "cardData": {"license": hub.licence},
        }
        self.send(200, json.dumps(told).encode())

    def file(self, path: str) -> None:
        hub = self.hub
        prefix = f"/{hub.repository}/resolve/"
        if not path.startswith(prefix):
            return self.fail(404, "RepoNotFound")
        revision, _, name = path.removeprefix(prefix).partition("/")
        if revision not in ("main", hub.commit):
            return self.fail(404, "RevisionNotFound")
        if name not in hub.files:
            return self.fail(404, "EntryNotFound")
        if hub.elsewhere is not None and is_large(name):
            return self.redirect(302, f"{hub.elsewhere.url}/stored/{name}")
        return self.content(name)

    def content(self, name: str) -> None:
        hub = self.hub
        if hub.busy:
            hub.busy -= 1
            return self.fail(503, "")
        whole = hub.swapped.get(name, hub.files[name])
        start = 0
        asked = self.headers.get("Range")
        if asked and not hub.ignore_ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
        body = whole[start:]
        etag = hashlib.sha256(whole).hexdigest() if is_large(name) else git_sha1(whole)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if self.command == "HEAD":
            return self.send(200, b"", headers, length=len(body))
        self.send(206 if start else 200, b"", headers, length=len(body))
        self.send_body(body)

    def send_body(self, body: bytes) -> None:
        hub = self.hub
        cut = hub.cut_after.pop(0) if hub.cut_after else hub.cut_always
        if cut is not None and cut < len(body):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            self.close_connection = True
            return
        half = len(body) // 2 if hub.held else 0
        self.wfile.write(body[:half])
        if hub.held:
            hub.half_sent.set()
            hub.held.wait(30)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body[half:])

    def redirect(self, status: int, location: str) -> None:
        self.send(status, b"", {"Location": location})

    def fail(self, status: int, code: str) -> None:
        self.send(status, b"{}", {"X-Error-Code": code} if code else {})

    def send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port of loopback, for as long as the test needs it."""
    answer = type("AnswerOfOneHub", (Answer,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answer)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def of_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def release(*, shards: int = 2, size: int = 300_000) -> dict[str, bytes]:
    """Files as a published model has them, among them some that are none of ours.

    The weights are no tensors: pulling does not open them.
    """
    names = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
    weights = {
        name: hashlib.shake_256(name.encode()).digest(size + n)
        for n, name in enumerate(names)
    }
    table = {f"model.layers.{n}.weight": name for n, name in enumerate(names)}
    return {
        "config.json": b'{"model_type": "Dream", "mask_token_id": 151666}',
        "vocab.json": b"{}",
        "merges.txt": b"#version: 0.2\n",
        "tokenizer_config.json": b"{}",
        "model.safetensors.index.json": json.dumps({"weight_map": table}).encode(),
        **weights,
        "README.md": b"# A model\n",
        "modeling_dream.py": b"raise SystemExit('remote code ran')\n",
        "pytorch_model.bin": b"\x80\x04.",
        ".gitattributes": b"",
    }


def own_places(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Models, cache and token of a user who never used either; returns the models' folder."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("TRANSFORMERS_OFFLINE", "DLMD_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    monkeypatch.setenv("DLMD_MODELS", str(folder / "models"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder / "models"
