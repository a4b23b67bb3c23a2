"""Bring a model here: plan what it takes, then do it, file by file, until the record stands.

A file comes from what is here already, from the user's Hugging Face cache (as a link), from
a folder, or from the hub; whichever it was, its hash decides. Nothing is visible before
the last file is right. Must not know how progress is drawn, nor how a user is asked.
"""

import contextlib
import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from dlmd.profiles import Profile
from dlmd.store import cache, hub, shelf, verify
from dlmd.store.files import (
    INDEX,
    is_read,
    refuse_incomplete,
    refuse_missing_shards,
)
from dlmd.store.hub import Offer, Wanted

SPARE = 64 << 20  # left free on the disk
BLOCK = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a pull would do; nothing is done yet."""

    profile: Profile
    offer: Offer
    source: Path | None  # a folder of the user's, or None: the hub
    missing: int  # bytes still to come
    agreed: bool  # an earlier run was allowed to, and broke off
    offline: bool

    @property
    def size(self) -> int:
        return sum(wanted.size for wanted in self.offer.files)

    @property
    def folder(self) -> Path:
        return shelf.folder_of(self.profile.name, self.offer.revision)

    @property
    def licence(self) -> str:
        """The table's, and the hub's own word where it is another."""
        return shelf.licence(self.profile, self.offer.licence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    doing: str  # "download", "copy" or "check"
    file: str
    done: int  # bytes of the whole model, of this doing
    total: int


def plan(
    name: str,
    *,
    revision: str | None = None,
    source: Path | None = None,
    offline: bool = False,
) -> Plan:
    """What is to be done for `name`; refuses what cannot end well before it begins."""
    profile, offline = shelf.profile(name), offline or hub.is_offline()
    if profile.repository is None:
        raise ValueError(
            f"{profile.name} ships with dlmd; there is nothing to pull: use it"
        )
    offer = _offer(profile, revision, source, offline)
    folder = shelf.folder_of(profile.name, offer.revision)
    missing = sum(
        wanted.size - _held(folder, wanted, offer, source) for wanted in offer.files
    )
    begun = shelf.begun(profile.name)
    made = Plan(
        profile=profile,
        offer=offer,
        source=source,
        missing=missing,
        agreed=begun is not None and begun.revision == offer.revision,
        offline=offline,
    )
    if missing and source is None and offline:
        raise hub.offline(profile.repository)
    refuse_full_disk(missing)
    return made


def _offer(
    profile: Profile, revision: str | None, source: Path | None, offline: bool
) -> Offer:
    repository = profile.repository
    assert repository is not None
    if source is not None:
        return _offer_of(repository, source)
    record = shelf.read(profile.name)
    if record is not None and revision in (None, record.revision):
        return _offer_again(record)
    # A download that broke off goes on at its commit, wherever the branch is by now.
    begun = shelf.begun(profile.name)
    wanted = revision or (begun.revision if begun else "main")
    if not offline:
        return hub.offer(repository, "main" if wanted == shelf.LOCAL else wanted)
    found = cache.offer(repository, wanted)
    if found is None:
        raise hub.offline(repository)
    refuse_incomplete(
        f"the Hugging Face cache of {repository}", [f.name for f in found.files]
    )
    return found


def _offer_again(record: shelf.Record) -> Offer:
    """The pinned files: what is right stays, what is not is fetched at the same commit."""
    files = tuple(
        Wanted(name=name, size=file.size, sha256=file.sha256)
        for name, file in record.files.items()
    )
    return Offer(
        repository=record.repository,
        revision=record.revision,
        licence=record.licence,
        files=files,
    )


def _offer_of(repository: str, source: Path) -> Offer:
    try:
        names = sorted(path.name for path in source.iterdir() if path.is_file())
    except OSError as failure:
        raise ValueError(
            f"cannot read {source} ({failure.strerror}); give the folder that holds "
            "config.json and the weights"
        ) from failure
    refuse_incomplete(source, names)
    if INDEX in names:
        refuse_missing_shards(source / INDEX, names, source)
    files = tuple(
        Wanted(name=name, size=(source / name).stat().st_size)
        for name in names
        if is_read(name)
    )
    return Offer(repository=repository, revision=shelf.LOCAL, licence=None, files=files)


def _held(folder: Path, wanted: Wanted, offer: Offer, source: Path | None) -> int:
    """Bytes of a file that need not come any more, if they turn out right."""
    target = folder / wanted.name
    if target.is_file() and target.stat().st_size == wanted.size:
        return wanted.size if source is None else 0
    cached = cache.held(offer.repository, offer.revision, wanted.name)
    if cached is not None and cached.stat().st_size == wanted.size:
        return wanted.size
    with contextlib.suppress(OSError):
        return min(target.with_name(f"{target.name}.part").stat().st_size, wanted.size)
    return 0


def refuse_full_disk(missing: int) -> None:
    folder = shelf.models_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if missing and missing + SPARE > free:
        raise ValueError(
            f"{folder} has {free / 1e9:.1f} GB free, the model needs "
            f"{missing / 1e9:.1f} GB more; make room, or set DLMD_MODELS to a folder on "
            "another disk"
        )


def carry_out(plan: Plan) -> Generator[Progress, None, None]:
    """Do what was planned, going on where an earlier run broke off. Then the model is there."""
    name, offer = plan.profile.name, plan.offer
    with shelf.alone(name):
        shelf.begin(name, shelf.Begun(revision=offer.revision, total=plan.size))
        files: dict[str, shelf.File] = {}
        done = 0
        # Small ones first: what is wrong with a release shows before its weights come.
        for wanted in sorted(offer.files, key=lambda each: (each.size, each.name)):
            found = yield from _obtain(plan, wanted, done)
            files[wanted.name] = shelf.File(size=wanted.size, sha256=found)
            done += wanted.size
            if wanted.name == INDEX:
                names = {each.name for each in offer.files}
                refuse_missing_shards(plan.folder / INDEX, names, offer.repository)
        _remove_strangers(plan.folder, files)
        shelf.write(
            shelf.Record(
                name=name,
                repository=offer.repository,
                revision=offer.revision,
                licence=offer.licence or plan.profile.licence,
                files=files,
            )
        )
        shelf.ended(name, offer.revision)


def _obtain(plan: Plan, wanted: Wanted, done: int) -> Generator[Progress, None, str]:
    """The file in its place, and right; returns its sha256."""

    def say(doing: str, at: int) -> Progress:
        return Progress(doing=doing, file=wanted.name, done=done + at, total=plan.size)

    target = plan.folder / wanted.name
    for near in (target, *_nearby(plan, wanted)):
        yield say("check", 0)
        if found := digest_if_right(near, wanted):
            if near != target:
                _place(near, target)
            return found
        target.unlink(missing_ok=True)
    part = target.with_name(f"{target.name}.part")
    for at in _brought(plan, wanted, part):
        yield say("download" if plan.source is None else "copy", at)
    yield say("check", wanted.size)
    found = digest_if_right(part, wanted)
    if found is None:
        part.unlink()
        raise ValueError(
            f"{wanted.name} came with another hash than was stated for it, so it was "
            "deleted; type the same command again, and distrust what lies in between"
        )
    part.replace(target)
    return found


def _brought(plan: Plan, wanted: Wanted, part: Path) -> Iterator[int]:
    """Fill `part` from outside; yields the bytes it has."""
    offer = plan.offer
    if plan.source is not None:
        return _copied(plan.source / wanted.name, part)
    if offer.revision == shelf.LOCAL:
        raise ValueError(
            f"{wanted.name} is no more what was copied from a folder; give that folder "
            "again with --from DIR"
        )
    if plan.offline:
        raise hub.offline(offer.repository)
    return hub.fetch(offer.repository, offer.revision, wanted, part)


def _nearby(plan: Plan, wanted: Wanted) -> Iterator[Path]:
    """Where the same bytes may lie on this machine already."""
    offer = plan.offer
    if plan.source is not None:
        return
    if cached := cache.held(offer.repository, offer.revision, wanted.name):
        yield cached
    before = shelf.read(plan.profile.name)
    if before is not None and before.revision != offer.revision:
        yield shelf.folder_of(before.name, before.revision) / wanted.name


def _place(near: Path, target: Path) -> None:
    """Ours by a second name; the cache's by a link, so that it stays the one owner."""
    if shelf.models_dir() not in near.parents:
        target.symlink_to(near)
    elif near.is_symlink():
        target.symlink_to(os.readlink(near))
    else:
        os.link(near, target)


def digest_if_right(path: Path, wanted: Wanted) -> str | None:
    """The sha256 of a file that is the one meant; None for any other.

    A file of which nobody stated a hash is right only where it is just being brought.
    """
    try:
        if path.stat().st_size != wanted.size:
            return None
    except FileNotFoundError:
        return None
    stated = wanted.sha256 or wanted.git_sha1
    if not stated and not path.name.endswith(".part"):
        return None
    if wanted.sha256 is None and wanted.git_sha1 not in (None, verify.git_sha1(path)):
        return None
    found = verify.sha256(path)
    return found if wanted.sha256 in (None, found) else None


def _copied(source: Path, part: Path) -> Iterator[int]:
    done = 0
    with source.open("rb") as original, part.open("wb") as out:
        while block := original.read(BLOCK):
            out.write(block)
            done += len(block)
            yield done


def _remove_strangers(folder: Path, files: dict[str, shelf.File]) -> None:
    for path in folder.iterdir():
        if path.name not in files and path.name not in (".begun", ".lock"):
            path.unlink()
