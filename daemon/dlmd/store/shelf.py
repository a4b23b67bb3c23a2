"""Which models lie on this machine: one record each, in one folder.

A record says which files a pulled model has and what each must hash to. It is written last
and by one rename, so that a download that broke off is no model. Names come from the table
of profiles and are never paths: of a record nothing but its own folder is reached. Must not
know the network, torch, or who asks.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from dlmd.profiles import PROFILES, Profile

LOCAL = "local"  # the revision of files that came from a folder, not from a hub
_REVISION = re.compile(r"[0-9a-f]{40}|local")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A model that is wholly here."""

    name: str
    repository: str
    revision: str
    licence: str
    files: Mapping[str, File]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A download that its user agreed to; it lies in its folder until the record is written."""

    revision: str
    total: int


def models_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Where pulled models lie. Not made here: who only looks leaves no trace."""
    if chosen := env.get("DLMD_MODELS"):
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path("dlmd") / "models"


def profile(name: str) -> Profile:
    """The profile of a name from the table or of its repository id; nothing else is a model."""
    wanted = name.casefold()
    for known in PROFILES.values():
        if wanted in (known.name, (known.repository or known.name).casefold()):
            return known
    raise ValueError(
        f"unknown model {name!r}; `dlmd ls --all` lists the names there are"
    )


def licence(known: Profile, stated: str | None) -> str:
    """The table's licence, and the hub's own word where it is another."""
    if stated is None or stated.casefold() == known.licence.casefold():
        return known.licence
    return f"{known.licence} (the hub says {stated})"


def folder_of(name: str, revision: str) -> Path:
    assert name in PROFILES and _REVISION.fullmatch(revision)
    return models_dir() / name / revision


def is_file_name(name: object) -> bool:
    """Whether a hub's, a record's or an index's name stays inside its folder."""
    return isinstance(name, str) and _FILE.fullmatch(name) is not None


def find(name: str) -> Path | None:
    """The folder of a pulled model; None when it was never pulled, or not to its end."""
    record = read(profile(name).name)
    return None if record is None else folder_of(record.name, record.revision)


def of_folder(folder: Path) -> Record | None:
    """The record that a model's folder belongs to; None for folders of the user's own."""
    here = folder.absolute()
    if here.parent.parent != models_dir() or here.parent.name not in PROFILES:
        return None
    record = read(here.parent.name)
    return record if record is not None and record.revision == here.name else None


def read(name: str) -> Record | None:
    assert name in PROFILES
    path = _record_path(name)
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise ValueError(f"cannot read {path}: {failure.strerror}") from failure
    except (ValueError, RecursionError) as broken:
        raise _damaged(path, name) from broken
    return _checked(raw, path, name)


def records() -> Iterator[Record]:
    for name in PROFILES:
        if (record := read(name)) is not None:
            yield record


def _checked(raw: Any, path: Path, name: str) -> Record:
    """Believed only as far as it goes: no name in it may lead out of the model's folder."""
    try:
        files = {
            file: File(size=int(entry["size"]), sha256=str(entry["sha256"]))
            for file, entry in raw["files"].items()
        }
        record = Record(
            name=str(raw["name"]),
            repository=str(raw["repository"]),
            revision=str(raw["revision"]),
            licence=str(raw["licence"]),
            files=files,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as broken:
        raise _damaged(path, name) from broken
    sound = (
        record.name == name
        and _REVISION.fullmatch(record.revision)
        and files
        and all(map(is_file_name, files))
        and all(_SHA256.fullmatch(file.sha256) for file in files.values())
    )
    if not sound:
        raise _damaged(path, name)
    return record


def _damaged(path: Path, name: str) -> ValueError:
    return ValueError(
        f"{path} is not the record of {name} that dlmd wrote; delete it and type "
        f"`dlmd pull {name}`"
    )


def again(record: Record) -> str:
    """What a user types to have the files of a model put right."""
    source = " --from DIR" if record.revision == LOCAL else ""
    return f"dlmd pull {record.name}{source}"


def write(record: Record) -> None:
    """Make the model visible. A reader sees the old record or the new one, never half of one."""
    path = _record_path(record.name)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as out:
        json.dump(asdict(record), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)


def begin(name: str, begun: Begun) -> None:
    """Remember that this download was agreed to, and how large it is in all."""
    folder = folder_of(name, begun.revision)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".begun").write_text(json.dumps(asdict(begun)))


def begun(name: str) -> Begun | None:
    """The download of this model that has not come to its end, the newest if there are more."""
    marks = sorted(
        (models_dir() / name).glob("*/.begun"), key=lambda mark: mark.stat().st_mtime
    )
    for mark in reversed(marks):
        try:
            raw = json.loads(mark.read_bytes())
            found = Begun(revision=str(raw["revision"]), total=int(raw["total"]))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue  # cut short by a full disk: asked again, that is all
        if found.revision == mark.parent.name and _REVISION.fullmatch(found.revision):
            return found
    return None


def ended(name: str, revision: str) -> None:
    """The record is written: no mark of the download stays, nor any other revision."""
    (folder_of(name, revision) / ".begun").unlink(missing_ok=True)
    for other in (models_dir() / name).iterdir():
        if other.is_dir() and not other.is_symlink() and other.name != revision:
            shutil.rmtree(other)


def doubt(name: str, why: str) -> None:
    """A pulled model that `auto` must not take: not tried yet, or tried and found wrong."""
    if (folder := find(name)) is not None:
        (folder / ".doubted").write_text(why, encoding="utf-8")


def trust(name: str) -> None:
    if (folder := find(name)) is not None:
        (folder / ".doubted").unlink(missing_ok=True)


def doubted(name: str) -> str:
    """Why, or nothing where nobody doubts it."""
    folder = find(name)
    with contextlib.suppress(FileNotFoundError):
        if folder is not None:
            return (folder / ".doubted").read_text("utf-8", "replace") or "doubted"
    return ""


def remove(name: str) -> int | None:
    """Forget a model and delete its files; how many bytes that freed, None if there was none.

    Links into a Hugging Face cache are deleted, what they lead to is not.
    """
    assert name in PROFILES
    folder = models_dir() / name
    if not folder.is_dir() and not _record_path(name).exists():
        return None
    with alone(name):
        _record_path(name).unlink(missing_ok=True)  # first: from here on it is no model
        freed = on_disk(folder)
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    return freed


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Held while a model is brought or removed; the kernel lets go of it on any death."""
    folder = models_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise ValueError(
                f"another `dlmd pull {name}` is at work; wait until it is done"
            ) from held
        yield


def on_disk(folder: Path) -> int:
    """Bytes that the files of a folder take, links not counted."""
    return sum(
        path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def _record_path(name: str) -> Path:
    return models_dir() / f"{name}.json"
