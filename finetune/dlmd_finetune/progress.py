"""How a training run looks in a terminal: loss, tokens a second, time left; plain lines when piped."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

PLAIN_EVERY_S = 30.0


class Progress:
    """A bar that knows how many tokens are to come."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            disable=not sys.stdout.isatty(),
        )
        self.task = self.bar.add_task("starting", total=total)
        self.mean = 0.0
        self.last: tuple[float, float] | None = None
        self.printed = 0.0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def show(self, figures: dict[str, float]) -> None:
        """One step's figures: `loss` in nats, `tokens` and `seconds` since the run began."""
        self.mean = (
            figures["loss"]
            if not self.mean
            else 0.98 * self.mean + 0.02 * figures["loss"]
        )
        before = self.last or (0.0, 0.0)
        speed = (figures["tokens"] - before[0]) / max(
            1e-9, figures["seconds"] - before[1]
        )
        self.last = (figures["tokens"], figures["seconds"])
        text = f"loss {self.mean:.3f}  {speed:,.0f} tokens/s"
        self.bar.update(self.task, completed=figures["tokens"], description=text)
        if self.bar.disable and time.monotonic() - self.printed > PLAIN_EVERY_S:
            self.printed = time.monotonic()
            left = (self.total - figures["tokens"]) / max(1.0, speed)
            print(
                f"step {figures['step']:.0f}  {text}  {left / 60:.0f} min left",
                flush=True,
            )
