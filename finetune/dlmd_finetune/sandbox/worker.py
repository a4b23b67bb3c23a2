"""The worker inside a room: runs tests of the repository, in the repository's own Python.

Warm, it lets pytest collect once and forks for each candidate; cold, it forks first and
imports everything in the child. It runs as a script with nothing of ours installed, on
Python 3.8 or newer, so it imports the standard library, seal.py beside it, and pytest.
It must not decide what a result means: it hands on what the child wrote, unread.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dlmd_finetune.sandbox import runner, warden
else:
    import runner
    import warden


HERE = os.path.dirname(os.path.abspath(__file__))
LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
SAID_BYTES = 4 * 2**20
SWEEP_S = 5.0
REST_S = 0.005

Spec = Any  # {root, paths, tests, uids, namespace, processes, memory_mb, file_mb}
Request = (
    Any  # {path, start, end, qualname, before, node_ids, timeout_s, allowed, command}
)


def prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> NoReturn:
    control = Control(os.dup(0), os.dup(1))
    spec: Spec = control.ask()
    silence(0, 1)  # what goes wrong before the first question may still be printed
    limit("RLIMIT_FSIZE", spec["file_mb"] * 2**20)
    leave_root(spec)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)  # closes /proc/<us>/fd and mem to the candidates
    if not spec["namespace"]:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    os.umask(0o077)
    os.makedirs(os.environ["HOME"], exist_ok=True)
    os.chdir(spec["root"])
    sys.argv = ["pytest"]
    sys.path[:] = [*spec["paths"], *(p for p in sys.path if p not in ("", HERE))]
    if spec["warm"]:
        why = runner.warm(spec, control.tell, partial(serve, spec, control))
        control.tell({"ready": False, "reason": why})
        os._exit(1)
    if not spec["command"]:
        runner.cold(spec, control.tell, partial(serve, spec, control))
    control.tell({"ready": True})
    serve(spec, control, become)


def become(request: Request, report: int) -> None:
    os.execvp(request["command"][0], request["command"])


def leave_root(spec: Spec) -> None:
    """Limits on processes do not hold root, so nothing of the repository runs as root."""
    if os.geteuid() != 0 or not spec["uids"]:
        return
    for uid in spec["uids"]:
        try:
            if spec["namespace"]:  # where everything that it needs was laid out for it
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            else:
                warden.become(uid, *spec["scratch"])
        except OSError:  # not a user of this user namespace
            continue
        return
    sys.exit("no other user than root to run as")


class Control:
    """The pipes to the one who asks, one JSON document a line; closed in children."""

    def __init__(self, asked: int, told: int) -> None:
        self.asked, self.told, self.rest = asked, told, b""

    def ask(self) -> Request:
        while b"\n" not in self.rest:
            chunk = os.read(self.asked, 65536)
            if not chunk:
                os._exit(0)  # nobody asks any more
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def tell(self, reply: Any) -> None:
        data = json.dumps(reply).encode() + b"\n"
        while data:
            data = data[os.write(self.told, data) :]

    def close(self) -> None:
        os.close(self.asked)
        os.close(self.told)


# ---- one candidate after the other ----


def silence(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def serve(spec: Spec, control: Control, run: Any) -> NoReturn:
    silence(2)
    while True:
        request = control.ask()
        report, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(report)
                control.close()
                confine(spec, request["timeout_s"])
                run(request, write)
            finally:
                os._exit(0)
        os.close(write)
        said, how = attend(child, report, time.monotonic() + request["timeout_s"])
        os.close(report)
        found = runner.junit(request["junit"]) if request["command"] else None
        clear(spec, child)
        control.tell(
            {"said": said.decode("ascii", "replace"), "how": how, "junit": found}
        )


def confine(spec: Spec, timeout_s: float) -> None:
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    seconds = int(timeout_s) + 2
    limits = [
        ("RLIMIT_AS", spec["memory_mb"] * 2**20),
        ("RLIMIT_CPU", seconds),
        ("RLIMIT_FSIZE", spec["file_mb"] * 2**20),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NPROC", spec["processes"]),
        ("RLIMIT_MSGQUEUE", 0),
    ]
    for name, value in limits:
        limit(name, value)


def limit(name: str, value: int) -> None:
    kind = getattr(resource, name, None)
    if kind is not None:
        with suppress(OSError, ValueError):  # unknown here: the others hold
            resource.setrlimit(kind, (value, value))


def attend(child: int, report: int, deadline: float) -> tuple[bytes, str]:
    """What the child wrote, and whether it ended or its time did.

    Others may hold the pipe open, so its end is not waited for once the child is dead.
    """
    said = b""
    poll = select.poll()
    poll.register(report, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return said, "timeout"
        gone = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if poll.poll(0 if gone else min(left, REST_S) * 1000):
            chunk = os.read(report, 65536)
            said = (said + chunk)[:SAID_BYTES]
            if chunk:
                continue
            poll.unregister(report)
        if gone:
            return said, "ended"


def clear(spec: Spec, child: int) -> None:
    """Nothing that a candidate started or wrote meets the next one."""
    if spec["namespace"]:
        with suppress(ProcessLookupError):  # nobody is left
            while True:
                os.kill(-1, signal.SIGKILL)  # all in our own process namespace but us
                with suppress(ChildProcessError):
                    while True:
                        os.waitpid(-1, 0)
                time.sleep(0)  # orphans are buried by the namespace's first process
        forget_shared()
    else:
        warden.sweep(child)
    for place in spec["scratch"]:
        empty(place, spec["keep"])
    os.makedirs(os.environ["HOME"], exist_ok=True)


# Of shared memory, semaphores and queues: the highest index, who is there, be gone.
SHARED = (("shmctl", 14, 15), ("semctl", 19, 20), ("msgctl", 12, 13))
IPC_RMID = 0


def forget_shared() -> None:
    """System V's, which outlive whoever made them; all of this namespace are a candidate's."""
    library, told = ctypes.CDLL(None), ctypes.create_string_buffer(1024)
    for name, info, status in SHARED:
        control = getattr(library, name)
        more = (0,) if name == "semctl" else ()
        for index in range(control(0, *more, info, told) + 1):
            found = control(index, *more, status, told)
            if found >= 0:
                control(found, *more, IPC_RMID, told)


def empty(place: str, keep: list[str]) -> None:
    with suppress(OSError):
        for name in set(os.listdir(place)) - set(keep):
            path = os.path.join(place, name)
            if os.path.isdir(path) and not os.path.islink(path):
                open_up(path)
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(path)


def open_up(top: str) -> None:
    """A folder that its owner closed to himself can still be emptied."""
    with suppress(OSError):
        os.chmod(top, 0o700)
    for parent, folders, _ in os.walk(top):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                with suppress(OSError):
                    os.chmod(path, 0o700)


if __name__ == "__main__":
    main()
