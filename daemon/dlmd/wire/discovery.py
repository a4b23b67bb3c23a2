"""Who serves now: the discovery file, and starting a daemon when there is none.

The file says which process serves which socket; it is believed only while that process
lives and the socket accepts. Nothing here ends a process: a process id may have been given
to another program. A daemon started on demand is announced, gets its own session and no
terminal, and is started once for all who ask. Must not know messages or asyncio.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dlmd.wire.runtime import (
    DiscoveryError,
    accepts,
    check_private,
    connect_socket,
    locked,
    log_path,
    put,
    runtime_dir,
    runtime_path,
    socket_path,
    unusable,
)

__all__ = [
    "Discovery",
    "DiscoveryError",
    "accepts",
    "connect_socket",
    "daemon_lock",
    "ensure_daemon",
    "log_path",
    "read",
    "remove",
    "runtime_dir",
    "socket_path",
    "start_lock",
    "version",
    "write",
]

# -P: a dlmd.py in the folder of whoever asks must not become the daemon.
# --stay: it can say why a model does not load, and be asked again, instead of being started anew.
DAEMON = (sys.executable, "-P", "-m", "dlmd", "serve", "--stay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    pid: int
    socket: Path
    version: str
    started: float = field(default_factory=time.time)  # seconds since the epoch
    http: str | None = None  # the address of the port, if there is one
    token: Path | None = None  # the file with what the port asks for


@functools.cache  # an upgrade under a running daemon must not change what it says
def version() -> str:
    """The version of dlmd that runs here: what was installed when it first was asked."""
    from importlib import metadata  # slow to import

    try:
        return metadata.version("dlmd")
    except (
        metadata.PackageNotFoundError
    ):  # run from a source tree that was never installed
        return "0+source"


def read() -> Discovery | None:
    """Who serves now; None when nobody does, or when the file tells of a daemon that died."""
    folder = runtime_path()
    try:
        check_private(folder)
        raw = json.loads(_own_text(folder / "daemon.json"))
        found = Discovery(
            pid=int(raw["pid"]),
            socket=Path(raw["socket"]),
            version=str(raw["version"]),
            started=float(raw["started"]),
            http=None if raw.get("http") is None else str(raw["http"]),
            token=None if raw.get("token") is None else Path(raw["token"]),
        )
    except DiscoveryError:
        raise
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(folder / "daemon.json", error, "read") from error
    except (ValueError, LookupError, TypeError, AttributeError):
        return None  # cut short by a full disk: as good as absent
    return found if _alive(found.pid) and accepts(found.socket) else None


def _own_text(path: Path) -> str:
    """Not through a link: where this file points, editors send what they show."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_uid != os.getuid():
            raise DiscoveryError(
                f"{path} belongs to another user; delete it, then type `dlmd serve`"
            )
        return file.read()


def write(discovery: Discovery) -> None:
    """Announce a daemon; that one was stopped before is over with it."""
    put(runtime_dir() / "daemon.json", json.dumps(asdict(discovery), default=str))
    forget_stop()


def note_stop() -> None:
    """A person stops the daemon and means it: typing in an editor starts no other."""
    put(runtime_dir() / "stopped", "")


def forget_stop() -> None:
    with contextlib.suppress(OSError):
        (runtime_path() / "stopped").unlink(missing_ok=True)


def stopped_at() -> float:
    """When that was, in seconds since the epoch; 0 where it was not, or is over."""
    try:
        return (runtime_path() / "stopped").stat().st_mtime
    except OSError:
        return 0.0


def remove(pid: int | None = None) -> None:
    """Take back the announcement of this process (or of pid), and nobody else's."""
    path = runtime_path() / "daemon.json"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        if json.loads(path.read_text(encoding="utf-8"))["pid"] == (pid or os.getpid()):
            path.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


@contextlib.contextmanager
def start_lock(timeout: float = 30.0) -> Iterator[None]:
    """Held while starting a daemon, so that two who start at once start one."""
    with locked("start.lock", timeout) as held:
        if not held:
            raise DiscoveryError(
                f"another program has been starting the daemon for {timeout:g} s; "
                "wait for it, or look into `dlmd status`"
            )
        yield


@contextlib.contextmanager
def daemon_lock(timeout: float = 0.0) -> Iterator[None]:
    """Held by the daemon as long as it lives; the kernel lets go of it on any death."""
    with locked("daemon.lock", timeout) as held:
        if not held:
            other = read()
            who = f" (process {other.pid}, socket {other.socket})" if other else ""
            raise DiscoveryError(
                f"a daemon already runs in {runtime_dir()}{who}; "
                "use it, or type `dlmd stop` first"
            )
        yield


def ensure_daemon(
    argv: Sequence[str] | None = None,
    *,
    timeout: float = 30.0,
    announce: Callable[[str], None],
) -> Discovery:
    """The daemon that runs, or one started now; argv is the child's whole command."""
    if found := read():
        return found
    if os.environ.get("DLMD_NO_START", "0") not in ("", "0"):
        raise DiscoveryError(
            "no daemon runs and DLMD_NO_START forbids to start one; type `dlmd serve`"
        )
    deadline = time.monotonic() + timeout
    with start_lock(timeout):
        if found := read():  # somebody else was starting it
            return found
        log = log_path()
        announce(f"starting the dlmd daemon (log: {log})")
        return _wait(_start(argv or DAEMON, log), log, deadline, timeout)


def _start(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    try:
        with contextlib.suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.1"))  # the last words of the one before
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with open(os.open(log, flags, 0o600), "ab") as out:
            # On a full disk the daemon could not even leave word why it ended.
            _probe(out.fileno(), log)
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
    except OSError as error:
        raise DiscoveryError(
            f"the daemon could not be started ({error}); "
            "type `dlmd serve` to see more of it"
        ) from error
    # A client that lives long, such as the language server, must not keep a zombie.
    threading.Thread(target=child.wait, daemon=True).start()
    return child


def _probe(log_descriptor: int, log: Path) -> None:
    try:
        os.write(log_descriptor, b"\n")
    except OSError as error:
        raise unusable(log, error) from error


def _wait(
    child: subprocess.Popen[bytes], log: Path, deadline: float, timeout: float
) -> Discovery:
    pause = 0.01
    while True:
        ended = child.poll() is not None  # asked first: it may end after it served
        found = read()
        if found and _says_hello(found.socket, deadline):
            return found
        if ended and not found and not _daemon_locked():
            raise DiscoveryError(
                f"the daemon ended with exit code {child.returncode} while starting: "
                f"{_last_line(log)}; the whole log is {log}"
            )
        if time.monotonic() >= deadline:
            raise DiscoveryError(
                f"the daemon did not answer within {timeout:g} s, its last words were: "
                f"{_last_line(log)}; wait for it with `dlmd status`, or read {log}"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _daemon_locked() -> bool:
    """Whether a daemon that somebody else started holds the place, served yet or not."""
    with locked("daemon.lock", 0.0) as held:
        return not held


def _says_hello(socket: Path, deadline: float) -> bool:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import unix_connect

    left = max(deadline - time.monotonic(), 0.1)
    try:
        with unix_connect(
            os.fspath(socket),
            "ws://localhost/v1/stream",
            compression=None,
            open_timeout=left,
            close_timeout=1,
            ping_interval=None,
        ) as connection:
            return bool(connection.recv(timeout=left))
    except (OSError, WebSocketException):
        return False


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return "(no log)"
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else "(it said nothing)"
