"""One worker, seen from outside: a confined process that is asked line by line.

It must not know candidates, outcomes or how the process is confined.
"""

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICK_S = 0.25
LINE_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """How a worker is started in one copy of the tree, and what it is told about it."""

    argv: tuple[str, ...]  # what confines; the interpreter follows
    env: dict[str, str] | None  # None: argv sees to it
    root: Path  # of the copy, seen from inside
    scripts: Path  # worker.py and its like, seen from inside
    scratch: tuple[str, ...]  # emptied after each candidate
    keep: tuple[str, ...]  # names in them that are not a candidate's
    uids: tuple[int, ...]  # to become one of, as root
    namespace: bool  # whatever a signal can reach is the worker's own


class Dead(Exception):
    """The worker is gone, or was told to go; says why."""


@dataclass(slots=True)
class Worker:
    process: subprocess.Popen[bytes]
    leash: int  # closed when we end, however we end
    errors: Path
    kept: bool  # by a warden, which kills all below it when the leash is closed
    rest: bytes = b""

    def ask(self, request: Any, seconds: float, memory_mb: int) -> Any:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise Dead(self._last_words() or "ended before it was asked") from None
        return self.hear(seconds, memory_mb)

    def hear(self, seconds: float, memory_mb: int) -> Any:
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Dead(f"did not answer within {seconds:.0f} s")
            if not poll.poll(min(left, TICK_S) * 1000):
                if excess(self.process.pid) > memory_mb * 2**20:
                    raise Dead(f"took more than {memory_mb} MB of memory in all")
                continue
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk or len(self.rest) > LINE_BYTES:
                raise Dead(self._last_words() or "ended without an answer")
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        return self.said()

    def said(self) -> str:
        return self.errors.read_text(errors="replace")[-400:].strip()

    def let_go(self) -> None:
        """Whoever waits for it hears its end; `end` waits until nothing of it is left."""
        if self.leash >= 0:
            os.close(self.leash)
            self.leash = -1
        if not self.kept:
            self.process.kill()

    def end(self) -> None:
        self.let_go()
        assert self.process.stdin is not None and self.process.stdout is not None
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(SWEEP_S if self.kept else 0)
        self.process.kill()
        self.process.wait()


SWEEP_S = 10.0


def start(confined: Confined, python: Path, errors: Path) -> Worker:
    script = confined.scripts / "worker.py"
    held, leash = os.pipe()
    kept = "{leash}" in confined.argv
    argv: Sequence[str] = [
        *(str(held) if word == "{leash}" else word for word in confined.argv),
        *(str(python), "-B", str(script)),
    ]
    try:
        with errors.open("wb") as said:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=confined.env,
                cwd="/",
                pass_fds=(held,) if kept else (),
                start_new_session=True,
            )
    except OSError as error:
        os.close(leash)
        raise Dead(f"cannot be started: {error}") from None
    finally:
        os.close(held)
    return Worker(process, leash, errors, kept)


def excess(root: int) -> int:
    """Bytes that processes below `root` hold beyond what is usual among them, roughly.

    Forks share most of their memory with the worker, so the median is taken for that.
    """
    parents, resident = {}, {}
    page = os.sysconf("SC_PAGE_SIZE")
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            with suppress(OSError, ValueError):
                stat = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2]
                statm = Path(f"/proc/{name}/statm").read_bytes().split()
                parents[int(name)] = int(stat.split()[1])
                resident[int(name)] = (int(statm[1]) - int(statm[2])) * page
    ours = {root}
    while more := {p for p, parent in parents.items() if parent in ours} - ours:
        ours |= more
    sizes = sorted(resident.get(pid, 0) for pid in ours)
    usual = sizes[len(sizes) // 2] if len(sizes) > 4 else 0
    return sum(max(0, size - usual) for size in sizes)
