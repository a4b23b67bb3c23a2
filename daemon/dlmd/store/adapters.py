"""Adapters on this machine: one folder each, with the hash of the model it belongs to.

PEFT's two files and dlmd.json beside them. Names are never paths; a folder appears by one
rename, whole or not at all. Must not know torch, nor what an adapter holds.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from dlmd.store import shelf, verify

NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
CONFIG, WEIGHTS, NOTE = "adapter_config.json", "adapter_model.safetensors", "dlmd.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    name: str
    base_sha256: str  # of the model's weights, as base_digest() says
    base_model: str  # its name, for people
    created: float  # seconds since the epoch
    size: int  # bytes


def adapters_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Where adapters lie. Not made here: who only looks leaves no trace."""
    if chosen := env.get("DLMD_ADAPTERS"):
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path("dlmd") / "adapters"


def name_for(repository: Path) -> str:
    """The name of the adapter that is tuned on a repository."""
    digest = hashlib.sha256(os.fsencode(repository.resolve())).hexdigest()
    return f"repo-{digest[:12]}"


def find(name: str) -> Path:
    """The folder of an adapter. ValueError: there is none, or the name is not one."""
    folder = _place(name)
    for file in (CONFIG, WEIGHTS, NOTE):
        if (folder / file).is_symlink() or not (folder / file).is_file():
            raise ValueError(f"the adapter {name} lacks {file}; tune it again")
    return folder


def of_file(path: Path, model: str | None) -> str | None:
    """The adapter that was tuned on the repository which a file stands in, if it was tuned
    on the model of that name: who asks about the file names it. Of a repository inside
    another one the inner counts."""
    if not (home := adapters_dir()).is_dir():
        return None
    for folder in path.resolve().parents:
        name = name_for(folder)
        if (home / name).is_dir():
            return name if _of_model(name, model) else None
    return None


def _of_model(name: str, model: str | None) -> bool:
    try:
        known = read(name).base_model
    except ValueError:
        return False
    if model is None or known == model:
        return known == model
    return "/" in model and Path(known) == Path(model).expanduser().resolve()


def read(name: str) -> Adapter:
    folder = find(name)
    try:
        note = json.loads((folder / NOTE).read_bytes())
        return Adapter(
            name=name,
            base_sha256=str(note["base_sha256"]),
            base_model=str(note["base_model"]),
            created=float(note["created"]),
            size=sum(file.stat().st_size for file in folder.iterdir()),
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as broken:
        raise ValueError(
            f"{NOTE} of the adapter {name} is damaged; tune it again"
        ) from broken


def listed() -> list[Adapter]:
    """Every adapter that is whole, by name."""
    found = []
    folder = adapters_dir()
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        try:
            found.append(read(name))
        except ValueError:
            continue
    return found


def check(name: str, base: Path) -> Path:
    """The folder of an adapter that belongs to the model in `base`."""
    adapter = read(name)
    if adapter.base_sha256 != base_digest(base):
        raise ValueError(
            f"the adapter {name} was trained on {adapter.base_model}, whose weights are "
            "not those in use; use that model, or tune again on this one"
        )
    return find(name)


def install(source: Path, name: str, *, base: Path, base_model: str) -> Adapter:
    """Take an adapter, as PEFT saved it, into the store; it replaces one of that name."""
    _refuse_name(name)
    for file in (CONFIG, WEIGHTS):
        if not (source / file).is_file():
            raise ValueError(f"{source} is no adapter: it has no {file}")
    note = {
        "base_sha256": base_digest(base),
        "base_model": base_model,
        "created": time.time(),
    }
    home = adapters_dir()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(prefix=".fresh-", dir=home))
    try:
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(source / file, fresh / file)
        (fresh / NOTE).write_text(json.dumps(note))
        _replace(fresh, home / name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return read(name)


def is_there(name: str) -> bool:
    return NAME.fullmatch(name) is not None and (adapters_dir() / name).is_dir()


def remove(name: str) -> None:
    """Also one that lacks a file."""
    shutil.rmtree(_place(name))


def base_digest(folder: Path) -> str:
    """One hash for the weights of a model, whatever the folder is called."""
    record = shelf.of_folder(folder)
    if record is not None:  # hashed against this at every load
        hashes = {name: file.sha256 for name, file in record.files.items()}
    else:
        names = [file.name for file in folder.glob("*.safetensors")]
        hashes = verify.hashes(folder, dict.fromkeys(names))
    lines = [
        f"{name} {hashes[name]}\n"
        for name in sorted(hashes)
        if name.endswith(".safetensors")
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _place(name: str) -> Path:
    _refuse_name(name)
    folder = adapters_dir() / name
    # A link could lead anywhere; what was installed here is none.
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError(
            f"there is no adapter {name}; `dlmd ls --adapters` lists those there are"
        )
    return folder


def _refuse_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is no name of an adapter; names have 1 to 64 of a-z, 0-9 and -"
        )


def _replace(fresh: Path, place: Path) -> None:
    """A folder cannot be renamed onto one that holds something: the old one steps aside."""
    old = fresh.with_name(f".old-{fresh.name}")
    if place.exists() or place.is_symlink():
        place.rename(old)
    fresh.rename(place)
    if old.is_symlink():
        old.unlink()
    shutil.rmtree(old, ignore_errors=True)
