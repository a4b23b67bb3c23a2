"""One process of the repository's interpreter, shut in: no network, no home, no secrets.

For whole runs of a suite; single candidates go through a room of `sandbox`. Two kinds:
`bubblewrap` sees the copy read-only and nothing of the user's; `subprocess` only limits
size and time, and hides the environment. Must not know what the process is for.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

MEMORY_MB, FILE_MB, PROCESSES = 8192, 512, 4096
KEPT_BYTES = 8192
MARK = "DLMD_VISIT"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
# What the C library and Python look up by name; nothing that is a secret.
FACTS = "ld.so.cache ld.so.conf ld.so.conf.d localtime passwd group nsswitch.conf hosts"
FACTS += " mime.types alternatives ssl/openssl.cnf"
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
            line = [*_bubblewrap(tree, writable, readable, facts), *line]
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
    tree: Path, writable: Path, readable: Sequence[str], env: Mapping[str, str]
) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise ValueError(
            "bubblewrap (bwrap) is not installed; install it, for example with "
            "`apt install bubblewrap`, or accept less with --sandbox subprocess"
        )
    line = [program, "--unshare-all", "--die-with-parent", "--new-session"]
    line += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for path in SYSTEM:
        if os.path.islink(path):
            line += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            line += ["--ro-bind", path, path]
    for name in FACTS.split():
        line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path in sorted({*readable, str(tree)}):
        line += ["--ro-bind", path, path]
    line += ["--bind", str(writable), str(writable), "--remount-ro", "/", "--clearenv"]
    for name, value in env.items():
        line += ["--setenv", name, value]
    return [*line, "--chdir", str(tree), "--"]
