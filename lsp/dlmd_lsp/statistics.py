"""Asked, shown, taken: counted on this machine, for `dlmd stats`, and told to nobody.

Counts only, by day and language: no text, no names of files. Several servers add to one file
under a lock. Must not know what a suggestion is.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

EVERY_S = 30.0
DAYS = 400
Counts = dict[str, dict[str, dict[str, int]]]  # day -> language -> what -> how often


def file() -> Path:
    if folder := os.environ.get("DLMD_STATE_DIR"):
        return Path(folder) / "stats.json"
    return Path(platformdirs.user_state_dir("dlmd")) / "stats.json"


class Statistics:
    def __init__(self) -> None:
        self.wanted = True
        self.reused = 0  # offers from memory, of this server
        self._new: Counter[tuple[str, str, str]] = Counter()
        self._saved = time.monotonic()
        # Language and length of what was offered lately, by id.
        self._offers: dict[str, tuple[str, int]] = {}
        self._told: set[tuple[str, str]] = set()

    def count(self, what: str, language: str, number: int = 1) -> None:
        if self.wanted and number:
            self._new[time.strftime("%Y-%m-%d"), language or "-", what] += number
            if time.monotonic() - self._saved > EVERY_S:
                self.save()

    def reason(self, code: str) -> None:
        self.count(f"not:{code}", "-")

    def offered(self, id: str, language: str, letters: int, *, again: bool) -> None:
        self._offers[id] = (language, letters)
        if len(self._offers) > 256:
            gone = next(iter(self._offers))
            del self._offers[gone]
            self._told = {told for told in self._told if told[1] != gone}
        self.reused += again
        self.count("reused" if again else "offered", language)

    def event(self, what: str, id: str, letters: int | None = None) -> None:
        """Of an id the first `shown`, `accepted` and `rejected` count, and all letters."""
        known = self._offers.get(id)
        if known is None:
            return
        language, whole = known
        if what == "accepted":
            taken = whole if letters is None else min(letters, whole)
            self.count("letters", language, taken)
            self._offers[id] = (language, whole - taken)
        if (what, id) not in self._told:
            self._told.add((what, id))
            self.count(what, language)

    def save(self) -> None:
        """Add what is new to the file; a disk that does not take it is no reason to fail."""
        new, self._new, self._saved = self._new, Counter(), time.monotonic()
        if new:
            with suppress(OSError, ValueError):
                _add(new)


def _add(new: Counter[tuple[str, str, str]]) -> None:
    place = file()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        days = read(place)
        for (day, language, what), number in new.items():
            counts = days.setdefault(day, {}).setdefault(language, {})
            counts[what] = counts.get(what, 0) + number
        kept = dict(sorted(days.items())[-DAYS:])
        fresh = place.with_suffix(".new")
        fresh.write_text(json.dumps({"days": kept}), encoding="utf-8")
        fresh.replace(place)


def read(place: Path) -> Counts:
    try:
        found: Any = json.loads(place.read_text(encoding="utf-8"))["days"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{place} is not what dlmd wrote there; delete it to count from now on"
        ) from None
    return found if isinstance(found, dict) else {}


def table(days: Counts, last: int) -> list[dict[str, Any]]:
    """One row a language over the last days, the busiest first, and the reasons apart."""
    rows: dict[str, Counter[str]] = {}
    for day in sorted(days)[-last:]:
        for language, counts in days[day].items():
            rows.setdefault(language, Counter()).update(counts)
    return [
        {"language": language, **counts}
        for language, counts in sorted(
            rows.items(), key=lambda row: -row[1].get("offered", 0)
        )
    ]
