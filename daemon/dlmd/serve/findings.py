"""What a check found, for people, for scripts and for editors.

Must not know what is checked.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Grade = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report; `fix` is empty where nothing is to be done."""

    name: str
    grade: Grade
    seen: str
    fix: str = ""


def worst(findings: Sequence[Finding]) -> Grade:
    grades: tuple[Grade, ...] = ("ok", "warning", "fault")
    return max((found.grade for found in findings), key=grades.index, default="ok")


def as_json(findings: Sequence[Finding]) -> str:
    found = [asdict(each) for each in findings]
    return json.dumps({"grade": worst(findings), "findings": found})


def text(found: Finding) -> str:
    """A line, and below it what to do."""
    marks = {"ok": "ok", "warning": "??", "fault": "!!"}
    fix = f"\n      {found.fix}" if found.fix else ""
    return f"{marks[found.grade]}  {found.name}: {found.seen}{fix}"
