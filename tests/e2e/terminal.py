"""A program in a real terminal, driven by keys and judged by what it draws.

For editors that have no interface but their screen (Helix, Vim). tmux is the terminal, on a
socket of its own; its control mode says when something was drawn, so nothing is polled. It
must not know which editor runs.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.e2e.editor import DEADLINE_S, SHOTS

COLUMNS, ROWS = 90, 24


class Terminal:
    """A running program. Use as a context manager."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path):
        self._tmux = [
            "tmux",
            "-S",
            str(folder.parent / "run" / "tmux"),
            "-f",
            os.devnull,
        ]
        self._argv, self._folder = list(argv), folder
        self._env = {**env, "TERM": "tmux-256color", "COLORTERM": "truecolor"}
        self._changed = threading.Condition()
        self._drawn = 0

    def __enter__(self) -> "Terminal":
        words = ["new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS)]
        variables = [f"{key}={value}" for key, value in self._env.items()]
        command = ["env", "-i", "-C", str(self._folder), *variables, *self._argv]
        self._ask(
            "start-server", ";", "set", "-g", "escape-time", "0", ";", *words, *command
        )
        self._control = subprocess.Popen(
            [*self._tmux, "-C", "attach"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)
        self._control.communicate(timeout=DEADLINE_S)
        self._thread.join(DEADLINE_S)

    def type(self, text: str) -> None:
        """Letters as they are; a line break is the Enter key."""
        self._ask("send-keys", "-l", text.replace("\n", "\r"))

    def press(self, *keys: str) -> None:
        """Keys by tmux's names, such as Enter, Escape, C-x."""
        self._ask("send-keys", *keys)

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._ask("capture-pane", "-p").split("\n")]

    def wait(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """Until the screen satisfies a condition; the screen is in the failure."""
        end = time.monotonic() + DEADLINE_S
        while True:
            with self._changed:
                seen = self._drawn
            lines = self.lines()
            if condition(lines):
                return lines
            with self._changed:
                left = end - time.monotonic()
                changed = self._changed.wait_for(lambda: self._drawn != seen, left)  # noqa: B023
            if not changed:
                shown = "\n".join(lines)
                raise AssertionError(f"waited in vain for {what}; screen:\n{shown}")

    def wait_for(self, *texts: str) -> list[str]:
        """Until each of the texts stands in some line."""
        return self.wait(
            lambda lines: all(any(text in line for line in lines) for text in texts),
            " and ".join(map(repr, texts)),
        )

    def keep_shot(self, name: str) -> None:
        """The screen, for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / f"{name}.txt").write_text("\n".join(self.lines()).rstrip() + "\n")

    def _listen(self) -> None:
        assert self._control.stdout is not None
        for line in self._control.stdout:
            if line.startswith(b"%output"):
                with self._changed:
                    self._drawn += 1
                    self._changed.notify_all()

    def _ask(self, *words: str) -> str:
        ran = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
