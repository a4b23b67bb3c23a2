"""How a tuning run looks while it runs: one live table in a terminal, plain lines elsewhere.

Also hears Ctrl-C: the first lets the step at hand end and keeps everything, the second
ends at once. Must not know how anything is computed.
"""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dlmd_finetune.rl import ranks

PLAIN_EVERY_S = 15.0
SMOOTH = 0.8


class Watch:
    """Figures as they come, and how much of the budget is left."""

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.interrupted = False
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.shows = self.console.is_terminal and ranks.rank() == 0
        self.means: dict[str, float] = {}
        self.said = 0.0
        self.before: Any = None

    def __enter__(self) -> Self:
        if self.shows:
            self.live.start()
        self.before = signal.signal(signal.SIGINT, self.interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self.before)
        if self.shows:
            self.live.stop()

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        print("stopping after this step; again to stop at once", file=sys.stderr)

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.ends - time.monotonic()

    def say(self, text: str) -> None:
        if ranks.rank() == 0:
            self.console.print(f"{text} ({clock(self.left)} of the budget left)")

    def warm(self, row: dict[str, Any]) -> None:
        self.means["loss"] = smooth(self.means.get("loss"), row["loss"])
        rows = [
            ("warm start", f"{row['step']} of {row['of']}"),
            ("loss", f"{self.means['loss']:.3f}"),
        ]
        self.show(rows, last=row["step"] == row["of"])

    def step(self, row: dict[str, Any]) -> None:
        for name in ("reward", "passed", "distance", "seconds", "rollout_s", "learn_s"):
            self.means[name] = smooth(self.means.get(name), row[name])
        if "dev" in row:
            self.means["dev"] = row["dev"]
        seen = self.means
        to_come = (row["of"] - row["step"]) * seen["seconds"]
        rows = [
            ("step", f"{row['step']} of {row['of']}"),
            ("reward", f"{seen['reward']:.3f}"),
            ("pass rate", f"{100 * seen['passed']:.0f} %"),
            ("dev", f"{100 * seen['dev']:.0f} %" if "dev" in seen else "-"),
            ("KL (k2)", f"{seen['distance']:.4f}"),
            ("rollout, learn", f"{seen['rollout_s']:.1f} s, {seen['learn_s']:.1f} s"),
            ("to go", clock(min(to_come, max(0.0, self.left)))),
        ]
        self.show(rows, last=row["step"] == row["of"])

    def show(self, rows: list[tuple[str, str]], *, last: bool) -> None:
        if ranks.rank():
            return
        if self.shows:
            table = Table.grid(padding=(0, 2))
            for name, value in rows:
                table.add_row(name, value)
            self.live.update(table, refresh=True)
        elif last or time.monotonic() - self.said > PLAIN_EVERY_S:
            self.said = time.monotonic()
            print("  ".join(f"{n} {v}" for n, v in rows), file=sys.stderr, flush=True)


def smooth(mean: float | None, value: float) -> float:
    return value if mean is None else SMOOTH * mean + (1 - SMOOTH) * value


def clock(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    return (
        f"{minutes // 60} h {minutes % 60:02d} min"
        if minutes >= 60
        else f"{minutes} min"
    )
