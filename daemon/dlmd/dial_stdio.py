"""`dlmd dial-stdio`: the far end of ssh, a pipe between stdin, stdout and the daemon.

Starts the daemon if none runs. Ends when either side does. Must not know what goes through.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable

from dlmd.wire import discovery

CHUNK = 64 * 1024


def dial_stdio(announce: Callable[[str], None]) -> None:
    found = discovery.ensure_daemon(announce=announce)
    with discovery.connect_socket(found.socket) as daemon:
        daemon.settimeout(None)
        threading.Thread(target=_upwards, args=(daemon,), daemon=True).start()
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            while data := daemon.recv(CHUNK):
                _write_all(data)


def _upwards(daemon: socket.socket) -> None:
    """From stdin to the daemon; its end, or the caller's, ends the daemon's side too."""
    with contextlib.suppress(OSError):
        while data := os.read(0, CHUNK):
            daemon.sendall(data)
    with contextlib.suppress(OSError):
        daemon.shutdown(socket.SHUT_RDWR)


def _write_all(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]
