"""The daemon's place: one per runtime folder, with a socket that only its owner may open.

Binds the socket itself, because uvicorn would make it open to everybody, and replaces what
a daemon that died left behind. Must not know what is said through the socket.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from dlmd.wire import discovery

BACKLOG = 128
LEAVING_S = 5.0  # how long to wait for a daemon that is on its way out


@contextlib.contextmanager
def taken_place(path: Path | None) -> Iterator[tuple[socket.socket, Path]]:
    """A listening socket, while no other daemon can have this place."""
    # Without an announcement the holder of the lock is just coming or just leaving.
    patience = 0.0 if discovery.read() else LEAVING_S
    with discovery.daemon_lock(patience):
        path = discovery.socket_path() if path is None else path.absolute()
        _clear(path)
        listener = _bind(path)
        try:
            yield listener, path
        finally:
            listener.close()
            leave(path)


def leave(path: Path) -> None:
    """Take the announcement and the socket away, so that nobody new comes."""
    discovery.remove()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISSOCK(mode):
        raise ValueError(
            f"{path} exists and is no socket; name another path with --socket"
        )
    if discovery.accepts(path):
        raise ValueError(
            f"another program listens on {path}; stop it, or name another path with "
            "--socket"
        )
    try:
        path.unlink()
    except OSError as error:
        raise _refused(path, error) from error


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mask holds from the first moment on; chmod alone would come a moment late.
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(path, error) from error
    finally:
        os.umask(before)
    return listener


def _refused(path: Path, error: OSError) -> ValueError:
    reason = error.strerror or str(error)  # a path too long has no errno
    return ValueError(
        f"cannot make the socket {path} ({reason}); free or allow that place, or name "
        "another with --socket"
    )
