"""Which adapter a document is asked with: that of the repository it stands in.

`dlmd tune` names an adapter after its repository, so two workspaces get their own from one
daemon. One that the daemon does not take is left out for a while: a suggestion without it is
better than none. Must not know documents, nor how an adapter is made.
"""

from __future__ import annotations

from pathlib import Path

RESTS_S = 60.0


def prepare() -> None:
    """Load what a request will need while nobody waits for one."""
    from dlmd.store import adapters  # noqa: F401


class Tuned:
    def __init__(self) -> None:
        self._not_before: dict[str, float] = {}  # of adapters that were refused

    def adapter_of(self, file: Path, model: str | None, now: float) -> str | None:
        from dlmd.store import adapters

        name = adapters.of_file(file, model)
        if name is None or now < self._not_before.get(name, now):
            return None
        return name

    def refused(self, name: str, now: float) -> None:
        self._not_before[name] = now + RESTS_S
