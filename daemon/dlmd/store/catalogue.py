"""What `dlmd ls` and `dlmd show` tell: the table of models beside what lies on this machine.

Rows and facts, no drawing. Must not know the network.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlmd.profiles import EMBEDDED_FOLDER, PROFILES, Profile
from dlmd.store import shelf
from dlmd.store.adapters import Adapter

HERE, PARTIAL, ABSENT = "here", "partial", "not pulled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    state: str  # HERE, PARTIAL or ABSENT
    size: int | None  # bytes of the whole model
    have: int  # bytes that lie in the folder of dlmd
    licence: str
    revision: str | None
    folder: str | None
    doubt: str = ""  # what its check found wrong


def rows(*, everything: bool = False) -> list[Row]:
    """The models that are here, wholly or in part; with `everything`, all of the table."""
    found = [row(profile) for profile in PROFILES.values()]
    return [each for each in found if everything or each.state != ABSENT]


def row(profile: Profile) -> Row:
    if profile.repository is None:
        size = shelf.on_disk(EMBEDDED_FOLDER)
        return _row(profile, HERE, size, size, folder=EMBEDDED_FOLDER)
    record = shelf.read(profile.name)
    if record is not None:
        folder = shelf.folder_of(record.name, record.revision)
        return _row(
            profile,
            HERE,
            record.size,
            shelf.on_disk(folder),
            licence=record.licence,
            revision=record.revision,
            folder=folder,
            doubt=shelf.doubted(record.name),
        )
    begun = shelf.begun(profile.name)
    if begun is not None:
        folder = shelf.folder_of(profile.name, begun.revision)
        have = shelf.on_disk(folder)
        return _row(
            profile, PARTIAL, begun.total, have, revision=begun.revision, folder=folder
        )
    return _row(profile, ABSENT, profile.size, 0)


def _row(
    profile: Profile,
    state: str,
    size: int | None,
    have: int,
    *,
    licence: str | None = None,
    revision: str | None = None,
    folder: Path | None = None,
    doubt: str = "",
) -> Row:
    return Row(
        name=profile.name,
        state=state,
        size=size,
        have=have,
        licence=shelf.licence(profile, licence),
        revision=revision,
        folder=None if folder is None else str(folder),
        doubt=doubt,
    )


def facts(name: str) -> dict[str, Any]:
    """Everything known of one model: the profile, what of it is unverified, what is here."""
    profile = shelf.profile(name)
    record = shelf.read(profile.name)
    files = {} if record is None else record.files
    return (
        asdict(profile)
        | asdict(row(profile))
        | {"files": {name: asdict(file) for name, file in files.items()}}
    )


def sized(count: int | None) -> str:
    """Bytes for people."""
    if count is None:
        return "?"
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{count / unit:.1f} {name}"


def table(found: list[Row]) -> str:
    lines = [("NAME", "SIZE", "LICENCE", "REVISION", "STATE")]
    for each in found:
        share = f"{each.have / max(each.size or 1, 1):.0%}"
        state = f"{share} pulled" if each.state == PARTIAL else each.state
        state += ", has not passed its check" if each.doubt else ""
        revision = (each.revision or "-")[:12]
        lines.append((each.name, sized(each.size), each.licence, revision, state))
    return _aligned(lines)


def adapter_table(found: list[Adapter]) -> str:
    lines = [("NAME", "SIZE", "BASE", "MADE")]
    for each in found:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.created))
        lines.append((each.name, sized(each.size), each.base_model, made))
    return _aligned(lines)


def _aligned(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (map(str.ljust, line, widths) for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def sheet(told: dict[str, Any]) -> str:
    """The facts of one model as lines, what nobody verified marked with a question mark."""
    unsure = set(told["unverified"])
    lines = []
    for key, value in told.items():
        if key in ("unverified", "files", "notes", "have", "shape") or value in (
            None,
            "",
        ):
            continue
        text = sized(value) if key == "size" else _plain(value)
        lines.append(
            f"{key.replace('_', ' '):<14}{text}{' ?' if key in unsure else ''}"
        )
    lines += [f"{'files':<14}{len(told['files'])}"] if told["files"] else []
    lines.append(f"{'notes':<14}{told['notes']}")
    if unsure:
        lines.append("? was not verified against the published checkpoint.")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
