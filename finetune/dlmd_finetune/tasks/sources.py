"""Which files of a repository hold functions to learn, and which are set aside, and why.

Also how its suite is called: pytest's arguments follow from its plugins and layout.
Must not run anything.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlmd_finetune.sandbox import prepare
from dlmd_finetune.tasks import tree
from dlmd_finetune.tasks.interpreter import Interpreter
from dlmd_finetune.tasks.inventory import Function, Refusal, inventory
from dlmd_finetune.tasks.task import text_of

TEST_FILE = re.compile(r"(^|/)(tests?/.*|test_[^/]*|[^/]*_test|tests?|conftest)\.py$")
TEST_FOLDER = re.compile(r"(^|/)tests?/")
SETUP = {"setup.py", "noxfile.py", "docs/conf.py", "doc/conf.py"}
LARGE_BYTES = 1_000_000
PYTHONPATH = re.compile(r"^\s*pythonpath\s*=\s*(.+?)\s*$", re.MULTILINE)


@dataclass(slots=True, kw_only=True)
class Sources:
    texts: dict[str, str] = field(default_factory=dict)  # by path
    functions: list[Function] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(copy: Path, inner: list[str]) -> Sources:
    """`inner`: folders of other repositories inside this one."""
    found = Sources()
    notebooks = 0
    for path, facts in tree.walk(copy):
        notebooks += path.endswith(".ipynb")
        if not path.endswith(".py") or os.path.islink(copy / path):
            continue
        if _aside(path) or any(path.startswith(f"{each}/") for each in inner):
            continue
        if not _is_text(path):
            found.notes.append(f"{path!r} is a name that is not UTF-8; left out.")
            continue
        try:
            if facts.st_size > LARGE_BYTES:
                raise ValueError(f"{path} is larger than 1 MB")
            text = text_of(copy, path)
            functions, refused = inventory(path, text)
        except UnicodeDecodeError:
            found.notes.append(f"{path} is not UTF-8; left out.")
        except ValueError as error:
            found.notes.append(f"{' '.join(str(error).split())}; left out.")
        else:
            found.texts[path] = text
            found.functions += functions
            found.refused += refused
    if notebooks:
        found.notes.append(
            f"Notebooks are left out ({notebooks}): pytest does not test what is in them."
        )
    for folder in inner:
        found.notes.append(f"{folder} is a repository of its own; left out.")
    return found


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _aside(path: str) -> bool:
    """Tests are never learnt from; neither is what only builds."""
    return bool(TEST_FILE.search(path) or TEST_FOLDER.search(path)) or path in SETUP


def inner_repositories(repo: Path) -> list[str]:
    """Folders below with version control of their own: submodules, vendored checkouts."""
    found = []
    stack = [""]
    while stack:
        folder = stack.pop()
        with os.scandir(repo / folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
        if folder and any(entry.name == ".git" for entry in inside):
            found.append(folder.rstrip("/"))
            continue
        stack += [
            f"{folder}{entry.name}/"
            for entry in inside
            if entry.is_dir(follow_symlinks=False) and not prepare.skipped(entry)
        ]
    return sorted(found)


def pytest_args(copy: Path, python: Interpreter) -> tuple[str, ...]:
    """So that one process runs the tests, on the copy and not on what is installed."""
    args: list[str] = []
    if "xdist" in python.plugins:
        args.append("-n0")
    if "pytest_cov" in python.plugins:
        args.append("--no-cov")
    if python.pytest_version >= (7, 0):
        roots = " ".join(dict.fromkeys([*_configured(copy), *_roots(copy)]))
        args += ["-o", f"pythonpath={roots}"]
    return tuple(args)


def _roots(copy: Path) -> Iterator[str]:
    """Where its packages begin: `src` and the folder itself, also of projects inside."""
    projects = {""} | {
        os.path.dirname(path)
        for path, _ in tree.walk(copy)
        if os.path.basename(path) in ("pyproject.toml", "setup.py")
        and not TEST_FOLDER.search(path)
    }
    for project in sorted(projects):
        for folder in (os.path.join(project, "src"), project or "."):
            if (copy / folder).is_dir():
                yield folder


def _configured(copy: Path) -> Iterator[str]:
    for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
        try:
            text = (copy / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in PYTHONPATH.findall(text):
            yield from re.findall(r"[^\s\"'\[\],]+", line)
