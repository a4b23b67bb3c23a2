"""The warden of one candidate: limits it, times it, hears its verdict, kills its tree.

Run as a script by subprocess.py, one per candidate; or, told to keep, around a worker
that runs many, until whoever asks is gone. It is a process of its own, so
that its exit status is out of the candidate's hands: the candidate's exit status
means nothing, only a nonce counts, which the warden makes after the fork (so it was
never in the candidate's memory) and which lies unread in a pipe until the code ended.
Starts in ~15 ms, so it imports next to nothing, and nothing of ours.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import select
import signal
import sys
import time
import types
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

PASSED, FAILED, TIMEOUT = 10, 11, 12  # exit statuses, as subprocess.py reads them
NONCE_BYTES = 32
DETAIL_BYTES = 1000
FILE_BYTES = 16 * 2**20
PROCESSES = 256
NOBODY = 65534
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2
SWEEP_S = 5.0

if TYPE_CHECKING:
    Job = tuple[bytes, bytes, float, int]  # source, checks, timeout_s, memory_mb

LIBC = ctypes.CDLL(None, use_errno=True)
LINUX = sys.platform == "linux"


def prctl(option: int, value: int) -> None:
    if LINUX:
        LIBC.prctl(option, value, 0, 0, 0)


# ---- in the candidate's process ----


def confine(timeout_s: float, memory_mb: int) -> None:
    limit(resource.RLIMIT_AS, memory_mb * 2**20)
    limit(resource.RLIMIT_CPU, int(timeout_s) + 2)
    limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    limit(resource.RLIMIT_CORE, 0)
    if LINUX and os.geteuid() == 0:
        become_nobody()
    # Counts all processes and threads of the user, not only the candidate's.
    limit(resource.RLIMIT_NPROC, PROCESSES)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # last: a change of user clears it


def limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with suppress(OSError, ValueError):  # unknown to this system: the others hold
        resource.setrlimit(kind, (value, value))


def become_nobody() -> None:
    """RLIMIT_NPROC does not hold root, and root could kill us: be nobody instead."""
    with suppress(OSError):  # nobody could not have read the standard library: stay
        become(NOBODY, ".")


def become(uid: int, *folders: str) -> None:
    """Another user, who owns these folders; OSError when that cannot be.

    Reading stays allowed, because root's interpreter may lie in root's own folder, unless
    a room has laid out what is needed for everybody.
    """
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then high words
    LIBC.capget(header, sets)
    rights = sets[1] & CAP_DAC_READ_SEARCH or sets[1] & CAP_DAC_OVERRIDE
    if not rights and os.environ.get("DLMD_ROOM") != "laid out":
        raise PermissionError("cannot read as another user what root may")
    for folder in folders if rights else ():
        os.chown(folder, uid, uid)
    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if rights:
        kept = (ctypes.c_uint32 * 6)(rights, rights)
        assert LIBC.capset(header, kept) == 0


def detach(keep: Iterable[int]) -> None:
    """Own session, no input, no output, and no descriptor but those to report by."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    low = 3
    for descriptor in sorted(keep):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 4096)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def run(source: bytes, checks: bytes) -> str | None:
    """None when everything ran to its end, else what went wrong."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["candidate"]
    try:
        for text, name in ((source, "<candidate>"), (checks, "<checks>")):
            exec(compile(text, name, "exec"), module.__dict__)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are no passes
        return describe(error)
    return None


def describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return "an exception that cannot be printed"


def candidate(job: Job, secret: int, report: int) -> NoReturn:
    source, checks, timeout_s, memory_mb = job
    try:
        detach((secret, report))
        confine(timeout_s, memory_mb)
        wrong = run(source, checks)
        if wrong is None:
            os.write(report, os.read(secret, NONCE_BYTES))
        else:
            detail = wrong.encode(errors="replace")[:DETAIL_BYTES]
            os.write(report, bytes(NONCE_BYTES) + detail)
    finally:
        os._exit(0)


# ---- in the warden ----


def attend(child: int, report: int, wakeup: int, deadline: float) -> bytes | None:
    """Waits for a report, the child's end, the deadline, or the end of our asker."""
    poll = select.poll()
    for descriptor in (report, wakeup, 0):
        poll.register(descriptor, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            if descriptor == 0:
                return None  # nobody waits for the verdict any more
            if descriptor == wakeup:
                os.read(wakeup, 512)
            elif said := os.read(report, 4096):
                return said
            else:
                poll.unregister(report)
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            os.set_blocking(report, False)
            return last_words(report) or ended(status)
    return None


def last_words(report: int) -> bytes:
    try:
        return os.read(report, 4096)
    except BlockingIOError:
        return b""


def ended(status: int) -> bytes | None:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return None
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return bytes(NONCE_BYTES) + f"ended before its checks did, with {how}".encode()


def judge(said: bytes | None, nonce: bytes) -> tuple[int, bytes]:
    if said is None:
        return TIMEOUT, b"ran past its time limit"
    if said[:NONCE_BYTES] == nonce:
        return PASSED, b""
    return FAILED, said[NONCE_BYTES : NONCE_BYTES + DETAIL_BYTES]


def sweep(child: int) -> None:
    """Kills everything the candidate started, also what left its group and session."""
    strike([child], signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):  # the group is empty
        os.killpg(child, signal.SIGKILL)
    deadline = time.monotonic() + SWEEP_S
    seen = os.path.isdir("/proc/self")  # else a namespace ends with us, and all in it
    while reap() and seen and time.monotonic() < deadline:
        # Stop all before killing any: a stopped process still counts towards the
        # limit on processes, so a bomb cannot grow back into the gaps.
        stopped: set[int] = set()
        while fresh := descendants() - stopped:
            strike(fresh, signal.SIGSTOP)
            stopped |= fresh
        strike(stopped, signal.SIGKILL)
        time.sleep(0.001)  # the killed need a moment to be gone


def strike(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def reap() -> bool:
    """Buries the dead; says whether anyone is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def descendants() -> set[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != b"Z":
                children.setdefault(int(parent), []).append(int(name))
    found: set[int] = set()
    frontier = [os.getpid()]
    while frontier:
        for pid in children.get(frontier.pop(), ()):
            if pid not in found:
                found.add(pid)
                frontier.append(pid)
    return found


def clear_room_if_alone() -> None:
    """Our asker removes the folder; if it was killed, nobody else will."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if poll.poll(0):
        import shutil

        shutil.rmtree(os.getcwd(), ignore_errors=True)


def main() -> NoReturn:
    try:
        job: Job = marshal.load(sys.stdin.buffer)
    except EOFError:  # our asker was killed before it could ask
        clear_room_if_alone()
        os._exit(FAILED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)  # closes /proc/<us>/fd and mem to the candidate
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    secret_read, secret_write = os.pipe()
    report_read, report_write = os.pipe()
    os.write(1, b"+")
    deadline = time.monotonic() + job[2]
    child = os.fork()
    if child == 0:
        candidate(job, secret_read, report_write)
    os.close(report_write)
    nonce = os.urandom(NONCE_BYTES)
    os.write(secret_write, nonce)
    said = attend(child, report_read, wake_read, deadline)
    sweep(child)
    clear_room_if_alone()
    status, detail = judge(said, nonce)
    os.write(1, detail)
    os._exit(status)


def keep(leash: int, command: list[str]) -> NoReturn:
    """Runs a command; when it ends, or the leash does, nothing of it is left."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    child = os.fork()
    if child == 0:
        os.close(leash)
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.execv(command[0], command)
    for descriptor in (0, 1):
        os.close(descriptor)  # they are the worker's
    poll = select.poll()
    poll.register(leash, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    ended = False
    while not ended:
        for descriptor, _ in poll.poll():
            if descriptor == leash:
                ended = True
            else:
                os.read(wake_read, 512)
                ended = ended or os.waitpid(child, os.WNOHANG)[0] != 0
    sweep(child)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["keep"]:
        keep(int(sys.argv[2]), sys.argv[3:])
    main()
