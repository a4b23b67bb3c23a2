"""What a room is made of: a folder of its own, copies of the tree, the interpreter.

The user's tree is only read. Folders that a killed run left behind are removed when the
next room is opened. It must not know how code is confined.
"""

import fcntl
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dlmd_finetune.sandbox.room import Limits
from dlmd_finetune.sandbox.warden import NOBODY

# The answer lies in many of these: history, compiled files, copies that builds make.
SKIPPED = frozenset((".git", ".hg", ".svn", ".bzr", ".jj", "__pycache__", ".tox")) | {
    *(".nox", ".eggs", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    *("node_modules", "htmlcov", ".venv", ".direnv"),
}
SCRIPTS = ("worker.py", "runner.py", "ahead.py", "seal.py", "warden.py")
PREFIX = "dlmd-room-"
OLDEST = (3, 8)
FACTS = """
import json, sys, sysconfig
from importlib.util import find_spec
print(json.dumps(dict(
    version=sys.version_info[:3], executable=sys.executable, prefix=sys.prefix,
    base=sys.base_prefix, path=[p for p in sys.path if p], pytest=bool(find_spec("pytest")),
    site=sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    executable: Path
    version: tuple[int, ...]
    places: tuple[Path, ...]  # folders that it needs
    path: tuple[Path, ...]  # its sys.path
    site: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything that is the same for all candidates of a room."""

    tree: Path  # as it was handed to us
    at: Path  # where the repository seems to lie, seen from inside
    python: Interpreter
    folder: Path  # ours
    limits: Limits
    tests: tuple[str, ...]
    pytest_args: tuple[str, ...]
    command: tuple[str, ...]  # of the user's, in place of pytest


def interpreter(python: str | Path, *, pytest: bool = True) -> Interpreter:
    """Facts about the repository's Python, told by itself."""
    path = shutil.which(str(python))
    if path is None:
        raise ValueError(
            f"there is no interpreter {str(python)!r}; name the repository's own with "
            "--python, such as .venv/bin/python"
        )
    call = [os.path.abspath(path), "-B", "-c", FACTS]
    try:
        run = subprocess.run(call, cwd="/", capture_output=True, timeout=60, check=True)
        facts = json.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ValueError(
            f"{path} did not answer as a Python interpreter ({error}); name the "
            "repository's own with --python"
        ) from None
    old = tuple(facts["version"]) < OLDEST
    if old or (pytest and not facts["pytest"]):
        wrong = "is older than Python 3.8" if old else "has no pytest"
        raise ValueError(
            f"{path} {wrong}; name the interpreter that runs the repository's tests "
            "with --python, or install pytest for it"
        )
    binary = Path(os.path.realpath(facts["executable"]))
    places = [Path(facts["prefix"]), Path(facts["base"]), binary.parent.parent]
    return Interpreter(
        executable=Path(facts["executable"]),
        version=tuple(facts["version"]),
        places=tuple(dict.fromkeys(places)),
        path=tuple(Path(p) for p in facts["path"] if os.path.exists(p)),
        site=tuple(Path(p) for p in facts["site"] if p),
    )


@contextmanager
def own_folder() -> Iterator[Path]:
    """Locked while we live; others of ours that nobody holds any more are removed."""
    with suppress(OSError):
        clear_left_over(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / "lock.new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(folder / "lock.new", folder / "lock")  # never seen without its owner
        os.chmod(folder, 0o711)  # another uid must reach the copies that it runs in
        yield folder
    finally:
        remove(folder)
        os.close(lock)


def clear_left_over(parent: Path) -> None:
    for folder in parent.glob(PREFIX + "*"):
        with suppress(OSError):
            if folder.stat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / "lock", os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
            finally:
                os.close(lock)


def remove(folder: Path) -> None:
    open_folders(folder)
    shutil.rmtree(folder, ignore_errors=True)


def open_folders(top: Path) -> None:
    """Those that their owner closed to himself."""
    for parent, folders, _ in os.walk(top):
        for name in folders:
            place = os.path.join(parent, name)
            with suppress(OSError):
                mode = os.lstat(place).st_mode
                if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                    os.chmod(place, stat.S_IMODE(mode) | 0o700)


def lend_scripts(folder: Path) -> None:
    """Alone in a folder: beside the others they would hide parts of the standard library."""
    folder.mkdir(exist_ok=True)
    for name in SCRIPTS:
        copy = folder / name
        copy.write_bytes(Path(__file__).with_name(name).read_bytes())
        copy.chmod(0o644)
    folder.chmod(0o755)


def copy_tree(tree: Path, to: Path, mounts: Iterable[Path] = ()) -> None:
    """Files and folders, readable by everybody; links only where they stay inside."""
    _copy_folder(tree, to, os.path.realpath(tree))
    for mount in mounts:  # folders into which something else will be bound
        (to / mount).mkdir(parents=True, exist_ok=True)


def _copy_folder(source: Path, to: Path, root: str) -> None:
    to.mkdir(parents=True, exist_ok=True)
    to.chmod(0o755)
    with os.scandir(source) as entries:
        for entry in entries:
            target = to / entry.name
            if entry.is_symlink():
                if _inside(entry.path, root):
                    target.symlink_to(os.readlink(entry.path))
            elif entry.is_dir():
                if not skipped(entry):
                    _copy_folder(Path(entry.path), target, root)
            elif entry.is_file() and not entry.name.endswith((".pyc", ".pyo")):
                shutil.copyfile(entry.path, target)
                runs = entry.stat().st_mode & stat.S_IXUSR
                target.chmod(0o755 if runs else 0o644)


def skipped(entry: os.DirEntry[str]) -> bool:
    """A folder that no copy has: builds and environments are known by what lies in them."""
    built = os.path.basename(os.path.dirname(entry.path)) == "build" and (
        entry.name.startswith(("lib", "bdist.", "temp."))
    )
    return (
        built
        or entry.name in SKIPPED
        or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
        or os.path.isdir(os.path.join(entry.path, "conda-meta"))
    )


def _inside(link: str, root: str) -> bool:
    aim = os.readlink(link)
    return not os.path.isabs(aim) and os.path.realpath(link).startswith(root + os.sep)


def replace_file(path: Path, data: bytes) -> None:
    """At once: no reader sees half a file."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(0o644)
    os.replace(new, path)


def state_of(tree: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever somebody wrote in the tree."""
    found = []
    for parent, folders, files in os.walk(tree):
        for name in (*folders, *files):
            about = os.lstat(os.path.join(parent, name))
            found.append((os.path.join(parent, name), about.st_mtime_ns, about.st_size))
    return tuple(sorted(found))


def environment(python: Path | str, scratch: str) -> dict[str, str]:
    """All that a worker's processes get of one."""
    return {
        "PATH": f"{os.path.dirname(python)}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{scratch}/home",
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def strangers() -> tuple[int, ...]:
    """Users for root to become: one that no other process is, so that limits count this
    room alone, or one that exists everywhere."""
    return (10**9 + os.getpid(), NOBODY)


def source_roots(setting: Setting, root: Path) -> list[str]:
    """Where the repository's packages are imported from, before anything installed."""
    roots = [root]
    if (setting.tree / "src").is_dir():
        roots.append(root / "src")
    for path in setting.python.path:  # what an editable installation added
        if path.is_relative_to(setting.at) and not _of_environment(setting, path):
            roots.append(root / path.relative_to(setting.at))
    return list(dict.fromkeys(str(path) for path in roots))


def _of_environment(setting: Setting, path: Path) -> bool:
    return any(path.is_relative_to(place) for place in setting.python.places)
