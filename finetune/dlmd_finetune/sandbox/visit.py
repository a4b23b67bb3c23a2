"""One process of the repository's interpreter, shut in: no network, no home, no secrets.

For whole runs of a suite; single candidates go through a room of `sandbox`. Two kinds:
`bubblewrap` sees the copy read-only and nothing of the user's; `subprocess` only limits
size and time, and hides the environment. Must not know what the process is for.
"""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from dlmd_finetune.sandbox import bubblewrap, prepare

MEMORY_MB, FILE_MB, PROCESSES = 8192, 512, 4096
KEPT_BYTES = 8192
MARK = "DLMD_VISIT"
# Limits itself, asks to die with us, and becomes the command.
LAUNCH = """
import os, resource, sys
memory, file, processes = (int(each) for each in sys.argv[1:4])
for kind, value in (("AS", memory), ("FSIZE", file), ("NPROC", processes), ("CORE", 0)):
    kind = getattr(resource, "RLIMIT_" + kind)
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):
        pass
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.execvp(sys.argv[4], sys.argv[4:])
"""
# Inside, as root: limits on processes do not hold root, and nothing of a repository is run
# as root.
BECOME = """
import os, sys
user = int(sys.argv[1])
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(slots=True)
class Visit:
    """A running process; its output is counted, and only the end of it kept."""

    process: subprocess.Popen[bytes]
    mark: str
    allowed: int
    said: bytes = b""
    heard: int = 0
    flooded: bool = False
    reader: threading.Thread | None = field(default=None)

    def wait(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in _marked(self.mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def listen(self) -> None:
        assert self.process.stdout is not None
        while chunk := self.process.stdout.read1(65536):  # type: ignore[attr-defined]
            self.heard += len(chunk)
            self.said = (self.said + chunk)[-KEPT_BYTES:]
            if self.heard > self.allowed and not self.flooded:
                self.flooded = True
                self.kill()


def text(visit: Visit) -> str:
    return visit.said.decode(errors="replace")


@contextmanager
def visit(
    kind: str,
    tree: Path,
    command: Sequence[str],
    *,
    writable: Path,
    env: Mapping[str, str],
    readable: Sequence[str] = (),
    output_mb: int = 64,
) -> Iterator[Visit]:
    """Whatever it started is gone when this ends."""
    mark = os.urandom(12).hex()
    with tempfile.TemporaryDirectory(
        prefix="dlmd-home-", ignore_cleanup_errors=True
    ) as home:
        inside = "/tmp" if kind == "bubblewrap" else home
        facts = {"PATH": "/usr/bin:/bin", "HOME": inside, "TMPDIR": inside}
        facts |= {"LANG": "C.UTF-8", MARK: mark, **env}
        line = list(command)
        if kind == "bubblewrap":
            etc = Path(home)
            line = _bubblewrap(line[0], tree, writable, readable, facts, etc) + line
        limits = [str(MEMORY_MB << 20), str(FILE_MB << 20), str(PROCESSES)]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", LAUNCH, *limits, *line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tree,
            env=facts,
            start_new_session=True,
        )
        running = Visit(process=process, mark=mark, allowed=output_mb << 20)
        running.reader = threading.Thread(target=running.listen, daemon=True)
        running.reader.start()
        try:
            yield running
        finally:
            running.kill()
            running.reader.join(5)


def _marked(mark: str) -> list[int]:
    """Processes that left the group, by what their environment began with."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def _bubblewrap(
    python: str,
    tree: Path,
    writable: Path,
    readable: Sequence[str],
    env: Mapping[str, str],
    etc: Path,
) -> list[str]:
    """As a candidate's room, but for one folder that may be written."""
    program, rooted = bubblewrap.modes()
    size = str(FILE_MB << 20)
    line = [program, *bubblewrap.isolation(rooted), "--clearenv"]
    for name, value in env.items():
        line += ["--setenv", name, value]
    line += bubblewrap.system_files(etc)
    line += ["--dev", "/dev", "--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"]
    line += ["--remount-ro", "/dev"]
    line += ["--perms", "1777", "--size", size, "--tmpfs", "/tmp"]
    shown = sorted({*map(Path, readable), tree})
    bubblewrap.refuse_wide(shown)
    line += bubblewrap.parents([*shown, writable])
    for path in shown:
        line += ["--ro-bind", str(path), str(path)]
    line += ["--bind", str(writable), str(writable), "--remount-ro", "/"]
    line += ["--chdir", str(tree), "--"]
    if rooted:
        _let_read(tree)
        user = str(_given_away(writable))
        line += [python, "-I", "-S", "-B", "-c", BECOME, user]
    return line


def _let_read(tree: Path) -> None:
    """A copy of ours: for whoever runs in it."""
    for parent, _, files in os.walk(tree):
        _add_mode(parent, 0o055)
        for name in files:
            _add_mode(os.path.join(parent, name), 0o044)


def _add_mode(path: str, more: int) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISLNK(mode) and mode & more != more:
        os.chmod(path, stat.S_IMODE(mode) | more)


def _given_away(folder: Path) -> int:
    """To a user that nobody else is: all in it is theirs."""
    for user in prepare.strangers():
        with suppress(OSError):  # not a user of this user namespace
            os.chown(folder, user, user)
            for parent, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    os.lchown(os.path.join(parent, name), user, user)
            return user
    raise ValueError(
        "there is no other user than root to run tests as in this container; run dlmd as "
        "an ordinary user"
    )
