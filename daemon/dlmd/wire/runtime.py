"""The runtime folder: a place only its owner may enter, with sockets and locks in it.

Where it lies, that it is private, how long a socket's path may be, locks that die with
their holder. What goes wrong is a DiscoveryError of one sentence. This file must not know
what is written into the folder.
"""

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

# sun_path holds 104 bytes with its final zero on macOS, 108 on Linux.
SOCKET_PATH_BYTES = 103


class DiscoveryError(ValueError):
    """The daemon cannot be found, started or announced; str() is one sentence."""


def runtime_dir() -> Path:
    """The folder for the socket, the discovery file, locks and log: made, and checked."""
    return _private_folder(runtime_path())


def runtime_path() -> Path:
    if chosen := os.environ.get("DLMD_RUNTIME_DIR"):
        return Path(chosen).absolute()
    # /run/user/UID is what XDG_RUNTIME_DIR names where systemd runs, also under `env -i`;
    # a value kept through `su` names another user's folder and is passed over.
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        with contextlib.suppress(OSError):
            if parent and os.stat(parent).st_uid == os.getuid():
                return Path(parent).absolute() / "dlmd"
    return Path(f"/tmp/dlmd-{os.getuid()}")


def _private_folder(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # of what kind is checked below
            path.mkdir(mode=0o700)
    except OSError as error:
        raise unusable(path, error) from error
    check_private(path)
    return path


def check_private(path: Path) -> None:
    seen = path.lstat()
    if stat.S_ISLNK(seen.st_mode) or not stat.S_ISDIR(seen.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(seen.st_mode) else "not a folder"
    elif seen.st_uid != os.getuid():
        what = f"owned by user {seen.st_uid}, not by you ({os.getuid()})"
    elif seen.st_mode & 0o077:
        what = f"open to others (mode {stat.S_IMODE(seen.st_mode):03o}, expected 700)"
    else:
        return
    raise DiscoveryError(
        f"the runtime folder {path} is {what}; make it a folder that only you may enter, "
        "or set DLMD_RUNTIME_DIR to one"
    )


def unusable(path: Path, error: OSError, verb: str = "write") -> DiscoveryError:
    reason = error.strerror or str(error)
    return DiscoveryError(
        f"cannot {verb} {path} ({reason}); free or allow that place, "
        "or set DLMD_RUNTIME_DIR to a folder of yours"
    )


def put(path: Path, text: str) -> None:
    """A file for its owner alone; a reader sees the old one or the new, never half of one,
    and neither does who comes after a writer that was killed."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(fresh, flags, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise unusable(path, error) from error


def log_path() -> Path:
    return runtime_dir() / "daemon.log"


def socket_path() -> Path:
    """The default socket; in a short folder of its own where the usual one is too deep."""
    path = runtime_dir() / "dlmd.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return _private_folder(Path(f"/tmp/dlmd-{os.getuid()}-{digest}")) / "dlmd.sock"


def connect_socket(path: Path, timeout: float = 2.0) -> socket.socket:
    """A connected unix socket; OSError where nobody accepts."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
    except BaseException:
        connection.close()
        raise
    return connection


def accepts(path: Path) -> bool:
    try:
        connect_socket(path).close()
    except (TimeoutError, BlockingIOError):
        return True  # a full backlog: somebody listens, only slowly
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def locked(name: str, timeout: float) -> Iterator[bool]:
    path = runtime_dir() / name
    with contextlib.ExitStack() as stack:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
            stack.callback(os.close, descriptor)  # lets go of the lock as well
            held = _acquired(descriptor, time.monotonic() + timeout)
        except OSError as error:
            raise unusable(path, error) from error
        yield held


def _acquired(descriptor: int, deadline: float) -> bool:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
