"""Rooms in which code that a model wrote is run, behind one function shape.

A room is asked for by name and never stands in for another one. So far there is
one, `subprocess`: limits, but no isolation (what that leaves open is listed in
its file). A room knows nothing about models, tasks or scores.
"""

from collections.abc import Callable

from dlmd_finetune.sandbox.subprocess import Outcome, run_python

Room = Callable[..., Outcome]
ROOMS: dict[str, Room] = {"subprocess": run_python}


def find(name: str) -> Room:
    if name not in ROOMS:
        known = ", ".join(sorted(ROOMS))
        raise ValueError(
            f"there is no sandbox named {name!r}; expected one of: {known}"
        )
    return ROOMS[name]


__all__ = ["ROOMS", "Outcome", "Room", "find", "run_python"]
