"""Which Python runs a repository's tests: named, or found where tools put environments.

An interpreter counts when it starts and has pytest. It is only asked; nothing is written
to its environment. Must not know tests or tasks.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ASK_S = 60.0
FACTS = """
import importlib.util, json, sys
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
def version(name):
    try:
        import importlib.metadata as m
        return m.version(name)
    except Exception:
        return None
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "executable": sys.executable,
    "places": [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path],
    "pytest": version("pytest") if has("pytest") else None,
    "plugins": [n for n in ("xdist", "pytest_cov", "randomly", "pytest_randomly") if has(n)],
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    python: str
    version: tuple[int, ...]
    pytest: str | None
    plugins: tuple[str, ...]
    places: tuple[str, ...]  # folders that must be readable for it to work

    @property
    def pytest_version(self) -> tuple[int, ...]:
        parts = (self.pytest or "0").split(".")[:2]
        return tuple(int(each) for each in parts if each.isdigit())


def find(
    repo: Path, named: str | None, env: Mapping[str, str] = os.environ
) -> Interpreter:
    """ValueError with every place looked at, and what was wrong there."""
    if named is not None:
        path = shutil.which(os.path.expanduser(named))
        if path is None:
            raise ValueError(f"--python {named}: there is no such interpreter")
        found = ask(os.path.abspath(path))
        if isinstance(found, str):
            raise ValueError(f"--python {named} {found}")
        return found
    looked = []
    for path in _candidates(repo, env):
        found = ask(path)
        if isinstance(found, Interpreter):
            return found
        looked.append(f"{path} {found}")
    raise ValueError(
        f"no interpreter with pytest was found for {repo}: "
        f"{'; '.join(looked) or 'there is no environment'}; install pytest there "
        "(python -m pip install pytest), or name another with --python"
    )


def ask(python: str) -> Interpreter | str:
    """What it is, or what is wrong with it."""
    try:
        run = subprocess.run(
            [python, "-B", "-c", FACTS],
            capture_output=True,
            text=True,
            timeout=ASK_S,
            cwd="/",
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        )
        facts = json.loads(run.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return "does not start"
    if facts["pytest"] is None:
        return "has no pytest"
    if tuple(facts["version"]) < (3, 8):
        return "is older than Python 3.8"
    return Interpreter(
        # The shim of a version manager is a script of a home that no room shows.
        python=facts["executable"] or python,
        version=tuple(facts["version"]),
        pytest=facts["pytest"],
        plugins=tuple(facts["plugins"]),
        places=tuple(_folders(facts["places"])),
    )


def _folders(places: list[str]) -> Iterator[str]:
    """The outermost of them that exist; the whole disk is none."""
    real = sorted({os.path.abspath(p) for p in places if p and os.path.isdir(p)})
    kept: list[str] = []
    for path in real:
        if path != "/" and not any(path.startswith(k + os.sep) for k in kept):
            kept.append(path)
    yield from kept


def _candidates(repo: Path, env: Mapping[str, str]) -> Iterator[str]:
    folders = [repo / ".venv", repo / "venv", repo / "env"]
    if named := env.get("UV_PROJECT_ENVIRONMENT"):
        folders.insert(0, repo / named)
    if poetry := _poetry(repo, env):
        folders.append(poetry)
    for tool in (".tox", ".nox"):
        folders += sorted((repo / tool).glob("*"), reverse=True)
    folders += [Path(env[n]) for n in ("VIRTUAL_ENV", "CONDA_PREFIX") if env.get(n)]
    seen = set()
    for folder in folders:
        python = folder / "bin" / "python"
        if python.exists() and python not in seen:
            seen.add(python)
            yield str(python)
    if python3 := shutil.which("python3", path=env.get("PATH")):
        yield python3


def _poetry(repo: Path, env: Mapping[str, str]) -> Path | None:
    project = repo / "pyproject.toml"
    try:
        uses = "[tool.poetry" in project.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    program = shutil.which("poetry", path=env.get("PATH"))
    if not uses or program is None:
        return None
    try:
        run = subprocess.run(
            [program, "env", "info", "--path"],
            cwd=repo,
            capture_output=True,
            text=True,
            timeout=ASK_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(run.stdout.strip()) if run.returncode == 0 and run.stdout else None
