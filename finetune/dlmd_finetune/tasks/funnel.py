"""The funnel, drawn: what was found, what was lost at each stage and why, what is left.

Must not know how the figures came about.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dlmd_finetune.tasks.task import LEVELS, SPLITS, Loss, Mined, Stage

WIDTH = 24
REASONS, EXAMPLES = 8, 2
ENOUGH = 80  # functions, of which a quarter and more judges
ENOUGH_TEST = 20
ENOUGH_FILES = 6  # to judge by: chance turns the signs of five alike too often
SAY_EVERY_S = 10.0


def losses(reasons: Mapping[str, str]) -> tuple[Loss, ...]:
    """Things lost, by reason, the most frequent first."""
    counts = Counter(reasons.values())
    return tuple(
        Loss(
            reason=reason,
            count=count,
            examples=tuple(k for k, r in reasons.items() if r == reason)[:EXAMPLES],
        )
        for reason, count in counts.most_common()
    )


def draw(mined: Mined, console: Console) -> None:
    for unit in dict.fromkeys(stage.unit for stage in mined.funnel):
        stages = [stage for stage in mined.funnel if stage.unit == unit]
        console.print(_table(unit, stages))
    console.print(_sides(mined))
    for sentence in mined.notes:
        console.print(Text(sentence))
    for sentence in advice(mined):
        console.print(Text(sentence, style="bold"))


def _table(unit: str, stages: Sequence[Stage]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify)
    most = max([1, *(stage.left for stage in stages)])
    for stage in stages:
        bar = "█" * round(WIDTH * stage.left / most) or "▏"
        table.add_row(f"{unit} {stage.name}", f"{stage.left:,}", Text(bar, "cyan"))
        for loss in stage.losses[:REASONS]:
            table.add_row("", Text(f"-{loss.count:,}", "dim"), Text(_told(loss), "dim"))
        if rest := sum(loss.count for loss in stage.losses[REASONS:]):
            table.add_row("", Text(f"-{rest:,}", "dim"), Text("other reasons", "dim"))
    return table


def _told(loss: Loss) -> str:
    return (
        f"{loss.reason}  ({', '.join(loss.examples)})" if loss.examples else loss.reason
    )


def _sides(mined: Mined) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("tasks")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for level in LEVELS:
        counts = [f"{len(mined.of(split, level)):,}" for split in SPLITS]
        table.add_row(level, *counts)
    files = [f"{len({t.path for t in mined.of(split)}):,}" for split in SPLITS]
    table.add_row("files", *files)
    return table


def advice(mined: Mined) -> list[str]:
    """What would help, where there is too little; nothing where there is enough."""
    functions = len(mined.of("train", "body"))
    test = len(mined.of("test", "body"))
    total = sum(len(mined.of(split, "body")) for split in SPLITS)
    files = len({task.path for task in mined.of("test")})
    told = []
    if total < ENOUGH or test < ENOUGH_TEST:
        told.append(
            f"{total} functions can be learnt from or judged by ({functions} to learn, "
            f"{test} to judge at the end); about {ENOUGH} are needed for a verdict."
        )
    if files < ENOUGH_FILES:
        told.append(
            f"Those to judge by stand in {files} file{'s' * (files != 1)}; of fewer than "
            f"{ENOUGH_FILES} the verdict can only be `not enough evidence`, so tests for "
            "functions in more files are needed."
        )
    if not told:
        return []
    lost = [loss for stage in mined.funnel for loss in stage.losses]
    helps = [
        HELP[key].format(loss.count)
        for loss in lost
        for key in HELP
        if key in loss.reason
    ]
    if helps:
        told.append(f"What would help: {'; '.join(dict.fromkeys(helps[:3]))}.")
    return told


HELP = {
    "no test runs it": "tests for the {} functions that no test runs",
    "of its statements run": "tests for more cases of {} functions",
    "pass on the stub": "tests that look at results, for {} functions whose tests pass on a stub",
    "notice fewer": "sharper tests for {} functions",
    "cannot be imported": "test files that can be imported in this environment ({} cannot)",
    "fails on the unchanged code": "mending {} tests that fail today",
    "needs the network": "{} tests without the network",
    "needs a service": "{} tests without a service",
    "passes only sometimes": "mending {} tests that pass only sometimes",
    "one test": "a second test for {} functions",
}


class Telling:
    """How far mining is, on stderr: one line that changes, or a line now and then."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.status = self.console.status("") if self.console.is_terminal else None
        self.begun = time.monotonic()
        self.told = 0.0

    def __enter__(self) -> Self:
        if self.status:
            self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.status:
            self.status.stop()

    def say(self, text: str) -> None:
        if self.status:
            self.status.update(text)
        else:
            print(f"dlmd: {text}", file=sys.stderr, flush=True)

    def count(self, text: str, done: int, of: int) -> None:
        now = time.monotonic()
        if done == of or self.status or now - self.told > SAY_EVERY_S:
            self.told = now
            self.say(f"{text}: {done:,} of {of:,} functions")
