"""`dlmd logs`: what a daemon in the background has said, and goes on saying.

The log is replaced when a daemon starts, so following it means to look for its successor
too. Must not know what stands in it.
"""

import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

from dlmd.wire import discovery

LOOK_EVERY_S = 0.2
CHUNK = 64 * 1024


def read(path: Path, lines: int | None) -> bytes:
    """The whole log, or its last `lines`. ValueError where there is none."""
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no log at {path}: no daemon was started in the background yet; "
            "start one with `dlmd serve --detach`"
        ) from error
    if lines is None:
        return text
    return b"".join(text.splitlines(keepends=True)[-lines:] if lines else [])


def follow(
    path: Path, lines: int | None, pause: Callable[[float], None] = time.sleep
) -> Generator[bytes, None, None]:
    """The log, then what is added to it or to its successor; ends only with its reader."""
    text = read(path, lines)
    log = path.open("rb")
    try:
        log.seek(0, os.SEEK_END)
        yield text
        while True:
            if added := log.read(CHUNK):
                yield added
                continue
            if _replaced(path, log.fileno()):
                log.close()
                log = path.open("rb")
                continue
            pause(LOOK_EVERY_S)
    finally:
        log.close()


def _replaced(path: Path, descriptor: int) -> bool:
    try:
        return not os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:  # between two daemons
        return False


def elsewhere(path: Path) -> str | None:
    """A sentence where the daemon that runs now writes somewhere else than to `path`."""
    found = discovery.read()
    try:
        if found is None or os.path.samestat(
            os.stat(f"/proc/{found.pid}/fd/2"), path.stat()
        ):
            return None
    except OSError:  # no /proc here, or no log: nothing is known
        return None
    return (
        f"the daemon that runs (process {found.pid}) writes to its terminal or to the "
        "journal (`journalctl --user -u dlmd`); this is the log of one before it"
    )
