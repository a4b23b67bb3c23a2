"""A daemon elsewhere: `ssh://host`, a mounted socket, or a URL with a token.

Over ssh nothing is forwarded by port: the user's own ssh runs `dlmd dial-stdio` there,
which starts the daemon if none runs, and the WebSocket goes through its stdin and stdout.
So it works with every key, jump host and alias of the user's, needs no setting of the
server, and ends with its connection. Must not know messages or asyncio.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

HOSTS = ("127.0.0.1", "localhost", "::1")
PROGRAM = "dlmd"
# A login over ssh that runs a command often lacks the folder that pipx installs to.
_PATH = 'PATH="$PATH:$HOME/.local/bin"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a daemon is: exactly one of a socket, an ssh host, or a URL."""

    socket: Path | None = None
    ssh: "SshHost | None" = None
    url: str | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        ways = (self.socket, self.ssh, self.url)
        assert sum(way is not None for way in ways) == 1, "an endpoint is one place"

    def __str__(self) -> str:
        return str(self.socket or self.ssh or self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    name: str  # host or user@host, as ssh takes it
    port: int | None = None
    program: str = PROGRAM  # dlmd on that host

    def __str__(self) -> str:
        return f"ssh://{self.name}" + (f":{self.port}" if self.port else "")

    def command(self, *, ask: bool) -> list[str]:
        """`ask`: whether ssh may prompt for a password on the terminal."""
        there = f"{_PATH} exec {shlex.quote(self.program)} dial-stdio"
        return [
            *("ssh", "-T", "-e", "none"),
            *("-o", f"BatchMode={'no' if ask else 'yes'}"),
            *("-o", "ConnectTimeout=10"),
            *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=2"),
            *(() if self.port is None else ("-p", str(self.port))),
            *("--", self.name, f"sh -c {shlex.quote(there)}"),
        ]


def endpoint_of(place: str, env: Mapping[str, str] = os.environ) -> Endpoint:
    """`ssh://[user@]host[:port][/path/to/dlmd]`, `unix:///path`, `http://127.0.0.1:PORT`."""
    try:
        parts = urlsplit(place)
        port = parts.port
    except ValueError as error:
        raise _unclear(place) from error
    if parts.query or parts.fragment or (parts.password is not None):
        raise _unclear(place)
    if parts.scheme == "ssh" and parts.hostname:
        return Endpoint(ssh=_ssh_host(place, parts.netloc, port, unquote(parts.path)))
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return Endpoint(socket=Path(unquote(parts.path)))
    if parts.scheme == "http" and parts.hostname and parts.path in ("", "/"):
        return _url_endpoint(place, parts.hostname, port, env)
    raise _unclear(place)


def _ssh_host(place: str, netloc: str, port: int | None, path: str) -> SshHost:
    name = netloc.rsplit(":", 1)[0] if port is not None else netloc
    name = name.removesuffix(":").replace("[", "").replace("]", "")
    if not re.fullmatch(r"(?!-)[\w.@:%+-]+", name) or "@-" in name:
        raise _unclear(place)
    program = path if path not in ("", "/") else PROGRAM
    return SshHost(name=name, port=port, program=program)


def _url_endpoint(
    place: str, host: str, port: int | None, env: Mapping[str, str]
) -> Endpoint:
    # The token goes over it in the clear, so it must not leave this machine.
    if host not in HOSTS:
        raise ValueError(
            f"{place} is not on this machine; give ssh://{host}, or forward its port "
            "and give http://127.0.0.1:PORT"
        )
    if port is None:
        raise _unclear(place)
    shown = f"[{host}]" if ":" in host else host
    return Endpoint(url=f"http://{shown}:{port}", token=_token(env))


def _token(env: Mapping[str, str]) -> str:
    if token := env.get("DLMD_TOKEN", "").strip():
        return token
    if path := env.get("DLMD_TOKEN_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"DLMD_TOKEN_FILE names {path}, which cannot be read ({error}); name the "
                "daemon's token file"
            ) from error
    raise ValueError(
        "a daemon at a URL wants its token; set DLMD_TOKEN, or DLMD_TOKEN_FILE to the "
        "token file that `dlmd status` names where it runs"
    )


def _unclear(place: str) -> ValueError:
    return ValueError(
        f"{place!r} is no place of a daemon; give ssh://[user@]host[:port][/path/to/dlmd], "
        "unix:///path/to/dlmd.sock or http://127.0.0.1:PORT"
    )


class Tunnel:
    """One connection through ssh: `socket` is our end. Ends when `socket` is closed."""

    def __init__(self, host: SshHost, *, ask: bool | None = None) -> None:
        # An editor's language server has no terminal to be asked on.
        ask = sys.stderr.isatty() if ask is None else ask
        self.socket, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                host.command(ask=ask),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                start_new_session=not ask,  # Ctrl-C in the editor's terminal is not for it
            )
        except OSError as error:
            self.socket.close()
            raise ValueError(
                f"ssh cannot be started ({error.strerror}); install OpenSSH's client"
            ) from error
        finally:
            theirs.close()
        self._said = b""
        assert self._process.stderr is not None
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stderr,), daemon=True
        )
        self._listener.start()

    def _listen(self, errors: IO[bytes]) -> None:
        """Keep ssh's last words, and leave no zombie of it."""
        with errors:
            for line in errors:
                if line.strip():
                    self._said = line.strip()[:300]
        self._process.wait()

    def last_words(self) -> str:
        """What ssh or the other side said at its end, in one line."""
        self._listener.join(2.0)
        if self._process.returncode == 127:
            return "there is no dlmd on its PATH; give ssh://host/path/to/dlmd"
        return self._said.decode(errors="replace") or "it ended without a word"

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
