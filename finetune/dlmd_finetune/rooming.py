"""The room that a run judges candidates in, as it was chosen on the command line.

Where files would leave this machine a person is asked first, with their names and bytes
counted, and after likely secrets were kept back. Must not know models or rewards.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlmd_finetune.choices import TuneConfig
from dlmd_finetune.sandbox.room import Room
from dlmd_finetune.sandbox.shipment import Shipment, question, shipment
from dlmd_finetune.tasks.task import Mined

THERE = "python3"  # on a rented machine


def refuse_without_key(config: TuneConfig) -> None:
    """Before minutes are spent on mining."""
    if config.sandbox == "e2b" and not os.environ.get("E2B_API_KEY"):
        raise ValueError(
            "the sandbox `e2b` needs a key, and E2B_API_KEY is not set; type: export "
            "E2B_API_KEY=… with the key of your E2B account"
        )


@contextmanager
def room_of(config: TuneConfig, mined: Mined) -> Iterator[Room]:
    from dlmd_finetune.rl import ranks
    from dlmd_finetune.sandbox import open_room

    tree, away = Path(mined.tree), config.sandbox == "e2b"
    agreed = ranks.led(lambda: agreement(tree, config.send)) if away else None
    with open_room(
        config.sandbox,
        tree,
        THERE if away else mined.python,
        at=Path(mined.repo),
        tests=sorted({n for t in mined.tasks for n in (*t.tests, *t.held_back)}),
        pytest_args=mined.pytest_args,
        test_command=config.test_command,
        shipment=agreed,
        template=config.template,
    ) as room:
        yield room


def agreement(tree: Path, given: bool) -> Shipment:
    """What may be sent; ValueError unless somebody said so, now or by the flag."""
    found = shipment(tree)
    asked = question(found)
    if given:
        print(f"dlmd: {asked.removesuffix(' Send them?')}", file=sys.stderr)
        return found
    if sys.stdin is not None and sys.stdin.isatty():
        print(f"{asked} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().casefold() in ("y", "yes"):
            return found
    raise ValueError(
        f"nothing was sent, because nobody has agreed to it: {asked} Say so with --send"
    )
