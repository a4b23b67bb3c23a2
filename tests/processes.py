"""Runs the real `dlmd` as a person would: own folders, a pipe or a terminal, a real daemon.

The daemon's weights are fake, everything else is the product. Must not know what a test
wants to see.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DLMD = (sys.executable, "-m", "dlmd")
FAKE = (sys.executable, str(ROOT / "tests" / "fakes" / "daemon.py"))
PATIENCE_S = 30.0
Daemon = subprocess.Popen[bytes]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    code: int
    out: bytes
    err: str


@dataclass(frozen=True, slots=True)
class Home:
    """A user's folders; nothing of the person who runs the tests shows through."""

    folder: Path

    def env(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DLMD_RUNTIME_DIR": str(self.folder / "run"),
            "DLMD_CONFIG_DIR": str(self.folder / "config"),
            "DLMD_NO_START": "1",
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        shell: str = "",
        program: tuple[str, ...] = DLMD,
        **env: str,
    ) -> Answer:
        """`dlmd` in a pipe; `shell` is what a shell does before it, such as `ulimit -f 0`."""
        command = [*program, *arguments]
        if shell:
            command = ["bash", "-c", f'{shell}; exec "$@"', "bash", *command]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=self.env(**env),
            cwd=self.folder,
            timeout=60,
        )
        return Answer(code=done.returncode, out=done.stdout, err=done.stderr.decode())

    def fake_daemon(self, *arguments: str) -> AbstractContextManager[Daemon]:
        return self.daemon(*FAKE, *arguments)

    @contextmanager
    def daemon(self, *command: str) -> Iterator[Daemon]:
        """A daemon that has announced itself; it may still be loading."""
        told = self.folder / "run" / "daemon.json"
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env=self.env(), cwd=self.folder
        ) as daemon:
            try:
                deadline = time.monotonic() + PATIENCE_S
                while not told.exists():
                    assert daemon.poll() is None, "the daemon ended at once"
                    assert time.monotonic() < deadline, (
                        "the daemon never announced itself"
                    )
                    select.select([], [], [], 0.01)
                yield daemon
            finally:
                daemon.kill()


class Terminal:
    """`dlmd` in a terminal of 100 columns, and what it has drawn so far."""

    def __init__(
        self,
        home: Home,
        *arguments: str,
        program: tuple[str, ...] = DLMD,
        **env: str,
    ) -> None:
        self.raw = ""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*program, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            env=home.env(TERM="xterm-256color", COLUMNS="100", LINES="40", **env),
            cwd=home.folder,
        )
        os.close(slave)

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.text!r}"
            assert self._read(deadline), f"it ended without {text!r}: {self.text!r}"

    def finish(self) -> Answer:
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        assert self.process.stderr is not None
        with self.process.stderr as errors:
            err = errors.read().decode()
        os.close(self._master)
        return Answer(
            code=self.process.wait(PATIENCE_S), out=self.raw.encode(), err=err
        )

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw).replace("\r", "")

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select(
            [self._master], [], [], max(0.0, deadline - time.monotonic())
        )
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # Linux says EIO where the other end has closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
