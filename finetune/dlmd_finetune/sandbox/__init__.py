"""Rooms in which code that a model wrote is run, behind one function shape.

A room that is asked for by name never stands in for another one. `open_room` is for
candidates in a repository, judged by its tests; `find` is for single programs, as `dlmd
eval` runs them. What each room keeps out, and what it does not, is in docs/sandbox.md. A
room knows nothing about models, tasks or scores.
"""

from collections.abc import Callable
from functools import partial

from dlmd_finetune.sandbox.bubblewrap import around_program, modes
from dlmd_finetune.sandbox.opening import open_room
from dlmd_finetune.sandbox.shipment import Shipment, question, shipment
from dlmd_finetune.sandbox.subprocess import Outcome, run_python

Room = Callable[..., Outcome]
ROOMS: dict[str, Room] = {
    "subprocess": run_python,
    "bubblewrap": partial(run_python, around=around_program),
}


def find(name: str) -> Room:
    if name not in ROOMS:
        known = ", ".join(["auto", *sorted(ROOMS)])
        raise ValueError(
            f"there is no sandbox named {name!r}; expected one of: {known}"
        )
    return ROOMS[name]


def strongest() -> tuple[str, str]:
    """The strongest room for single programs on this machine; why it is not a stronger one."""
    try:
        modes()
    except ValueError as refused:
        return "subprocess", str(refused)
    return "bubblewrap", ""


__all__ = [
    "ROOMS",
    "Outcome",
    "Room",
    "Shipment",
    "find",
    "open_room",
    "question",
    "run_python",
    "shipment",
    "strongest",
]
