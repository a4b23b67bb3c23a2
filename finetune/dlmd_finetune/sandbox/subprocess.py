"""The room `subprocess`: one fresh, limited Python process for one candidate.

It keeps a faulty candidate from hurting the run: endless loops, memory, output,
fork bombs, left-over children, early exits. It is NOT a security sandbox: the
candidate can use the network, read whatever this user may read, fill the disk with
many files, and reach the descriptors its verdict travels by, if it was written to
look for them. A candidate of the same user can also kill its warden: that scores
"failed", but a process it detached before may live on. Where neither /proc nor
prctl exists (macOS), only the candidate's process group is killed.
It must not know tasks, models or scores.
"""

import marshal
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["passed", "failed", "timeout", "infrastructure"]

Around = Callable[[Path, Path, dict[str, str]], list[str]]
WARDEN = Path(__file__).with_name("warden.py")
KINDS: dict[int, Kind] = {10: "passed", 11: "failed", 12: "timeout"}
GRACE_S = 10.0  # for the warden to clear a tree of processes, before we do without it
READY = b"+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    kind: Kind
    detail: str


def run_python(
    source: str,
    *,
    checks: str = "",
    timeout_s: float,
    memory_mb: int,
    around: Around | None = None,
) -> Outcome:
    """Runs `source`, then `checks` in the same namespace; passed = both ended. `around`
    gives the command of another room, in which the same limits hold.

    The checks are compiled by themselves, so that no open string or bracket of the
    source can swallow them.
    """
    if timeout_s <= 0 or memory_mb < 64:
        raise ValueError(
            f"the sandbox got timeout_s={timeout_s} and memory_mb={memory_mb}; "
            "expected a time above 0 and at least 64 MB"
        )
    try:
        job = marshal.dumps((source.encode(), checks.encode(), timeout_s, memory_mb))
    except UnicodeEncodeError:
        return Outcome(kind="failed", detail="UnicodeEncodeError: lone surrogate")
    try:
        with tempfile.TemporaryDirectory(
            prefix="dlmd-room-", ignore_cleanup_errors=True
        ) as folder:
            os.chmod(folder, 0o777 if around else 0o700)
            return _attend(job, folder, timeout_s, around)
    except OSError as error:
        return Outcome(kind="infrastructure", detail=f"cannot open a room: {error}")


def _attend(
    job: bytes, folder: str, timeout_s: float, around: Around | None
) -> Outcome:
    # The environment is ours altogether, so -I (which would also drop the fixed
    # hash seed) is not needed; -S and -P leave the standard library and nothing else.
    env = _environment(folder)
    prefix = around(Path(folder), WARDEN, env) if around else []
    warden = subprocess.Popen(
        [*prefix, sys.executable, "-s", "-S", "-P", "-B", str(WARDEN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=env,
        start_new_session=True,
    )
    assert warden.stdin is not None and warden.stdout is not None
    try:
        # Stdin stays open: its end tells the warden that we died, and to clear up.
        warden.stdin.write(job)
        warden.stdin.flush()
        said = _read(warden.stdout.fileno(), timeout_s + GRACE_S)
        return _verdict(warden, said)
    finally:
        _dismiss(warden)


def _environment(folder: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }


def _read(descriptor: int, seconds: float) -> bytes | None:
    """Everything until the warden ends; None when it is overdue."""
    said = b""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            chunk = os.read(descriptor, 4096)
            if not chunk:
                return said
            said = (said + chunk)[:4096]
    return None


def _verdict(warden: subprocess.Popen[bytes], said: bytes | None) -> Outcome:
    if said is None:
        return Outcome(kind="timeout", detail="the warden did not answer in time")
    code = warden.wait()
    detail = said[len(READY) :].decode(errors="replace")
    if code in KINDS:
        return Outcome(kind=KINDS[code], detail=detail)
    if said.startswith(READY) and (code < 0 or code > 128):  # as bubblewrap says it
        return Outcome(
            kind="failed", detail=f"the warden was killed by signal {abs(code) % 128}"
        )
    return Outcome(
        kind="infrastructure", detail=f"the warden ended with {code} and no verdict"
    )


def _dismiss(warden: subprocess.Popen[bytes]) -> None:
    assert warden.stdin is not None and warden.stdout is not None
    if warden.poll() is None:
        warden.kill()  # its candidate is tied to it and dies with it
        warden.wait()
    warden.stdout.close()
    with suppress(BrokenPipeError):  # unsent bytes of the job
        warden.stdin.close()
