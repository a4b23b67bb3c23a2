"""The token of the daemon's HTTP port: a file that only its owner may read.

Over TCP the kernel does not say who calls, and every user of the machine can call; so who
knows the token may speak. It is made once and kept while the runtime folder lasts, because
editors hold a copy in their settings. Must not know HTTP.
"""

import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from dlmd.wire.runtime import DiscoveryError, put, runtime_dir, runtime_path

_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits


def token_path() -> Path:
    return runtime_path() / "http.token"


def kept_token() -> str:
    """The token that lies in the runtime folder, made now if there is none."""
    runtime_dir()
    try:
        return read_token(token_path())
    except FileNotFoundError:
        return _made(token_path())


def read_token(path: Path) -> str:
    """The token in `path`; refused where others could have written or read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    with open(descriptor, encoding="latin-1") as file:
        check_owned(path, os.fstat(descriptor))
        token = file.read(100).strip()
    if not _SHAPE.fullmatch(token):
        raise _refused(path, "it does not hold a token")
    return token


def check_owned(path: Path, seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise _refused(path, "it is no file")
    if seen.st_uid != os.getuid():
        raise _refused(path, f"user {seen.st_uid} owns it")
    if seen.st_mode & 0o077:
        raise _refused(path, f"others may open it, mode {seen.st_mode & 0o777:03o}")


def matches(given: str, token: str) -> bool:
    """Whether they are the same, in a time that does not tell how far they agree."""
    return hmac.compare_digest(given.encode(), token.encode())


def _made(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    put(path, token + "\n")
    return token


def _refused(path: Path, reason: str) -> DiscoveryError:
    return DiscoveryError(
        f"the token {path} cannot be trusted ({reason}); delete it, and restart the daemon"
    )
