"""The folder of a repository's copy, tasks and runs: never where anything of the user's lies.

What is in it is made anew without asking, so it has to be new, or one of ours. Must not
know what is put into it.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

LOCK = "lock"  # stands in every folder of ours, and is empty


def folder_of(repo: Path, out: Path | None) -> Path:
    """ValueError where it and the repository would lie in each other."""
    if out is None:
        mark = hashlib.sha256(str(repo).encode(errors="surrogateescape")).hexdigest()
        own = platformdirs.user_data_path("dlmd").resolve()
        folder, what = own / "tune" / f"{repo.name}-{mark[:12]}", "dlmd's folder"
    else:
        folder, what = out.expanduser().resolve(), "--out"
    if folder == repo or repo in folder.parents:
        raise ValueError(
            f"{what} {folder} lies in the repository, which is never written to; name a "
            "folder outside of it with --out"
        )
    if folder in repo.parents:
        raise ValueError(
            f"the repository lies in {what} {folder}, where things are made anew without "
            "asking; name another folder with --out"
        )
    return folder


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The only run in it. ValueError where another works, or where others keep things."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"--out {folder} is a file; name a folder, which may be new, with --out"
        )
    lock = folder / LOCK
    ours = lock.is_file() and lock.stat().st_size == 0
    if not ours and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"--out {folder} holds files that are not of a run; name a new folder with "
            "--out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise ValueError(
            f"--out {folder} cannot be made ({error.strerror}); name a folder that you "
            "may write to with --out"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another run works in {folder}; wait for it, or name another folder with "
                "--out"
            ) from error
        yield
