"""One VS Code window and the daemon behind it, for a whole session of tests.

Opening a window costs seconds, so tests share it and each opens files of its own; the daemon
can be changed for a slower one, another table or the model that ships. It must not know what
is asserted.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.room import REPOSITORY, Room
from tests.e2e.vscode import Window, Workbench, until


class Desk:
    def __init__(self, room: Room) -> None:
        self.room = room
        self.project = room.project
        self.workbench = Workbench(folder=room.folder, env=room.env)
        self._daemon: subprocess.Popen[bytes] | None = None
        self.counter = room.folder / "forwards"
        self.table: Mapping[str, str] | None = None

    def __enter__(self) -> "Desk":
        self.serve({})
        self.workbench.__enter__()
        self._open_window()
        return self

    def __exit__(self, *_: object) -> None:
        self.window.__exit__()
        self.workbench.__exit__()
        self.end_daemon()

    def _open_window(self) -> None:
        first = self.file("first.txt", b"")
        self.window = Window(self.workbench, self.project, first)
        self.window.__enter__()
        self.window.until_dlmd("dlmd")

    def new_window(self) -> None:
        """With the settings and the daemon that the first one began with."""
        self.window.__exit__()
        self.workbench.settings({})
        self.serve({})
        self._open_window()

    def file(self, name: str, content: bytes) -> Path:
        return self.room.file(name, content)

    def edit(self, name: str, content: bytes, line: int) -> Path:
        """A file of that content, opened, the cursor at the end of a line."""
        path = self.file(name, content)
        self.window.open(path)
        self.window.end_of_line(line)
        return path

    def serve(self, table: Mapping[str, str], *, delay_ms: int = 1) -> None:
        """Another daemon, with a fake model of that table and speed."""
        self.table = table if delay_ms == 1 else None
        path = self.room.folder / "desk.json"
        path.write_text(json.dumps(table))
        fake = [str(self.room.python), str(REPOSITORY / "tests/fakes/daemon.py")]
        fake += ["--table", str(path), "--delay-ms", str(delay_ms)]
        self._start([*fake, "--counter", str(self.counter)])

    def serve_embedded(self) -> None:
        self.table = None
        self._start([str(self.room.python), "-m", "dlmd", "serve"])

    def _start(self, command: list[str]) -> None:
        self.end_daemon()
        with (self.room.folder / "daemon.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                command, env=self.room.env, stdout=log, stderr=log, cwd=self.project
            )
        # torch has to load first, which takes a busy machine its time.
        until(self._serves, "the daemon to serve", deadline_s=150)

    def _serves(self) -> bool:
        asked = self.dlmd("status", "--json")
        assert self._daemon is not None and self._daemon.poll() is None
        return asked.returncode == 0 and json.loads(asked.stdout)["phase"] == "ready"

    def dlmd(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self.room.python), "-m", "dlmd", *words]
        return subprocess.run(command, env=self.room.env, capture_output=True)

    def stop_daemon(self) -> None:
        """As a person does, who means it."""
        assert self.dlmd("stop").returncode == 0
        self.end_daemon()

    def end_daemon(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            os.kill(self._daemon.pid, signal.SIGCONT)
            self._daemon.terminate()
            self._daemon.wait(30)
        self._daemon = None

    def kill_language_server(self) -> None:
        """The one of this window: the child of its extension host that runs our program."""
        program = str(self.room.folder / "program.py").encode()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = entry.read_bytes().split(b"\0")
                if program in words and b"lsp" in words:
                    os.kill(int(entry.parent.name), signal.SIGKILL)
                    return
        raise AssertionError("no language server runs")

    def freeze(self) -> None:
        assert self._daemon is not None
        os.kill(self._daemon.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._daemon is not None
        os.kill(self._daemon.pid, signal.SIGCONT)

    def forwards(self) -> int:
        return int(self.counter.read_text())

    def until_forwards_rest(self) -> int:
        """The count once the device has stopped: the same over twenty looks in a row."""
        seen = [-1]

        def rests() -> bool:
            seen.append(self.forwards())
            time.sleep(0.05)
            return len(seen) > 20 and len(set(seen[-20:])) == 1

        until(rests, "the device to rest")
        return seen[-1]
