"""`dlmd tune --dry-run` on real repositories: what it finds, says, and leaves alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dlmd_finetune.tasks import task as tasks
from dlmd_finetune.tasks.folder import folder_of
from dlmd_finetune.tasks.mine import MineConfig, mine
from dlmd_finetune.tasks.task import Mined

from tests.fakes.repositories import CALC, bytes_of, git, repository

KIND = "bubblewrap" if shutil.which("bwrap") else "subprocess"
TESTS = """\
import os

import pytest

from calc import add, clamp, weak


@pytest.mark.parametrize("a,b,c", [(1, 2, 3), (2, 3, 5), (0, 1, 1), (5, 5, 10)])
def test_add(a, b, c):
    assert add(a, b) == c


def test_clamp():
    assert clamp(1, 2, 3) == 2
    assert clamp(5, 2, 3) == 3
    assert clamp(2.5, 2, 3) == 2.5


def test_weak():
    weak(1)


def test_removes():
    os.remove("calc.py")
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def dry_run(repo: Path, *more: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "dlmd", "tune", str(repo), "--dry-run"]
    line += ["--python", sys.executable, "--sandbox", KIND, *more]
    return subprocess.run(
        line, capture_output=True, text=True, env=os.environ | {"COLUMNS": "100"}
    )


def mined(repo: Path) -> Mined:
    return tasks.load(folder_of(repo, None) / "tasks.json")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_repository_becomes_tasks_and_stays_as_it_was(tmp_path: Path) -> None:
    files = {"calc.py": CALC.replace("\n", "\r\n"), "test_calc.py": TESTS}
    repo = repository(tmp_path / "repo", files)
    (repo / "calc.py").write_bytes((repo / "calc.py").read_bytes() + b"# new\n")
    before = bytes_of(repo)
    done = dry_run(repo, "--trust")
    assert done.returncode == 0, done.stderr
    assert bytes_of(repo) == before
    told = " ".join(done.stdout.split())
    for sentence in (
        "tests found 7",
        "-1 changes files of the repository (test_calc.py::test_removes)",
        "functions found 5",
        "-2 no test runs it",
        "-1 its tests pass on the stub `pass`",
        "functions valid 2",
        "1 files have uncommitted changes; they are taken as they are.",
        "2 functions can be learnt from or judged by",
        "What would help: tests for the 2 functions that no test runs",
    ):
        assert sentence in told
    found = mined(repo)
    assert found.commit == git(repo, "rev-parse", "HEAD").strip()
    assert {t.function for t in found.tasks} == {"add", "clamp"}
    assert {t.level for t in found.tasks} == {"statement", "block", "body"}
    for each in found.tasks:
        text = tasks.text_of(found.tree, each.path)
        assert tasks.filled(text, each, each.original) == text
        assert each.tests and each.held_back and each.timeout_s >= 5
        assert not {*each.tests} & {*each.held_back}
    audits = {t.function for t in found.tasks if "test_dlmd_audit" in t.held_back[0]}
    assert audits == {"clamp"}  # add has four tests, and one of them is held back


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_killed_run_leaves_the_repository_alone_and_nothing_running(
    tmp_path: Path,
) -> None:
    slow = "import time\nfrom calc import add\ndef test_add():\n    time.sleep(60)\n"
    repo = repository(tmp_path / "repo", {"calc.py": CALC, "test_calc.py": slow})
    before = bytes_of(repo)
    line = [sys.executable, "-m", "dlmd", "tune", str(repo), "--dry-run", "--trust"]
    line += ["--python", sys.executable, "--sandbox", KIND]
    run = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    events = folder_of(repo, None) / "work/events.json"
    deadline = time.monotonic() + 120
    while not (events.exists() and b'"begin"' in events.read_bytes()):
        assert run.poll() is None and time.monotonic() < deadline
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert bytes_of(repo) == before
    while running := processes_at(events.parent):
        assert time.monotonic() < deadline, running


def processes_at(folder: Path) -> list[str]:
    """Those whose environment names it, as that of every process of a run does."""
    found = []
    for name in os.listdir("/proc"):
        try:
            told = Path(f"/proc/{name}/environ").read_bytes() if name.isdigit() else b""
        except OSError:
            continue
        if f"DLMD_PROBE={folder}".encode() in told:
            found.append(name)
    return found


@pytest.mark.slow
def test_what_cannot_be_mined_is_one_sentence(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"calc.py": CALC}, history=False)
    done = dry_run(repo, "--trust")
    assert done.returncode == 1 and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dlmd: pytest finds no tests here; tests are what")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"repo": Path("/no/such")},
            "/no/such is no folder; name that of a repository",
        ),
        ({"functions": 0}, "--functions is 0; expected 1 or more"),
        ({"trust": False}, "nobody has said that they may be; say so with --trust"),
        ({"python": "/no/python"}, "--python /no/python: there is no such interpreter"),
        ({"files": {"x.txt": ""}}, "holds no Python functions outside of its tests"),
        ({"files": {"n.ipynb": "{}"}}, "Notebooks are left out (1)"),
        ({"files": {"b.py": "def f(:"}}, "b.py does not parse"),
        ({"out": "inside"}, "lies in the repository, which is never written to"),
        ({"sandbox": "none"}, "there is no sandbox named 'none'"),
    ],
)
@pytest.mark.slow
def test_what_was_asked_wrongly_is_said(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    files = change.pop("files", {"calc.py": CALC, "test_calc.py": TESTS})
    assert isinstance(files, dict)
    repo = repository(tmp_path / "repo", files, history=False)
    if change.get("out"):
        change["out"] = repo / "inside"
    given = {"repo": repo, "python": sys.executable, "trust": True, "sandbox": KIND}
    before = bytes_of(repo)
    with pytest.raises(ValueError) as told:
        mine(MineConfig(**given | change))  # type: ignore[arg-type]
    assert sentence in str(told.value)
    assert bytes_of(repo) == before


def test_nothing_of_it_runs_before_somebody_agreed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment is part of what is cloned, and its interpreter a program like another."""
    monkeypatch.setattr(sys, "stdin", None)
    program = tmp_path / "repo/.venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\ntouch "{tmp_path}/ran"\n')
    program.chmod(0o755)
    with pytest.raises(ValueError, match="nobody has said that they may be"):
        mine(MineConfig(repo=tmp_path / "repo", sandbox="subprocess"))
    assert not (tmp_path / "ran").exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    import fcntl

    repo = repository(tmp_path / "repo", {"calc.py": CALC}, history=False)
    out = folder_of(repo, tmp_path / "out")
    out.mkdir()
    with (out / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        config = MineConfig(
            repo=repo, python=sys.executable, trust=True, out=out, sandbox=KIND
        )
        with pytest.raises(ValueError, match="another run works in"):
            mine(config)
