"""Repositories with everything in them that goes wrong: each loss has its name, and the user's
tree is the same to the byte. One dry run for what costs single tests, one for each refusal.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from dlmd_finetune.tasks import suite
from dlmd_finetune.tasks.mine import MineConfig, mine
from dlmd_finetune.tasks.task import Mined, Stage

from tests.fakes.repositories import CALC, HANGING, TESTS, bytes_of, repository

KIND = "bubblewrap" if shutil.which("bwrap") else "subprocess"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(suite, "GRACE_S", 2.0)


def mined(repo: Path) -> Mined:
    """And the tree as it was, whatever came of it."""
    before = bytes_of(repo)
    config = MineConfig(repo=repo, python=sys.executable, sandbox=KIND, trust=True)
    try:
        return mine(config)
    finally:
        assert bytes_of(repo) == before


def lost(stage: Stage) -> dict[str, int]:
    return {loss.reason: loss.count for loss in stage.losses}


@pytest.mark.timeout(600)
def test_everything_that_can_go_wrong_at_once(tmp_path: Path) -> None:
    files = {
        "calc.py": CALC.replace("\n", "\r\n"),
        "test_calc.py": TESTS.replace("\n", "\r\n"),
        "test_bad.py": HANGING,
        "test_broken.py": "import no_such_thing\n",
        "notes.ipynb": '{"cells": []}',
        "odd.py": "def f(:\n",
        "latin.py": "x = 1\n",
    }
    repo = repository(tmp_path / "repo", files)
    (repo / "latin.py").write_bytes(b"name = '\xe9'\n")
    Path(os.fsdecode(bytes(repo) + b"/caf\xe9.py")).write_text("x = 1\n")
    (repo / "calc.py").write_bytes((repo / "calc.py").read_bytes() + b"# dirty\r\n")
    repository(repo / "vendored", {"other.py": CALC})
    found = mined(repo)
    tests, used = found.funnel[:2]
    assert (tests.name, tests.unit) == ("found", "tests")
    reasons = lost(used)
    for reason, count in {
        "cannot be imported": 1,
        "changes files of the repository": 1,
        "changes the clock": 1,
        "fails on the unchanged code": 1,
        "hangs, or ends the whole run": 2,
        "is skipped": 1,
        "needs a service": 1,
        "needs the network": 1,
        "passes only sometimes": 1,
        "prints without end": 1,
        "writes into the repository": 1,
    }.items():
        assert reasons[reason] == count, (reason, reasons)
    assert any("longer than" in reason for reason in reasons)
    told = " ".join(found.notes)
    for sentence in (
        "uncommitted changes; they are taken as they are",
        "Notebooks are left out (1): pytest does not test what is in them.",
        "odd.py does not parse",
        "latin.py is not UTF-8; left out.",
        r"'caf\udce9.py' is a name that is not UTF-8; left out.",
        "vendored is a repository of its own; left out.",
    ):
        assert sentence in told, told
    assert {task.function for task in found.tasks} == {"add", "clamp"}
    assert {task.path for task in found.tasks} == {"calc.py"}


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        ({}, "pytest finds no tests here"),
        (
            {"test_a.py": "def test_a():\n    assert 1 == 2\n"},
            "no test can be used: of 1, 1 fails on the unchanged code",
        ),
        (
            {"test_a.py": "import no_such_thing\n"},
            "none of 1 test files can be imported: test_a.py: ModuleNotFoundError",
        ),
        (
            {"test_a.py": "import os\ndef test_a():\n    os.remove('calc.py')\n"},
            "no test can be used: of 1, 1 changes files of the repository",
        ),
    ],
)
def test_what_leaves_nothing_to_learn_from_is_one_sentence(
    tmp_path: Path, tests: dict[str, str], sentence: str
) -> None:
    repo = repository(tmp_path / "repo", {"calc.py": CALC, **tests}, history=False)
    with pytest.raises(ValueError) as told:
        mined(repo)
    assert sentence in str(told.value) and "\n" not in str(told.value)


@pytest.mark.timeout(600)
def test_ten_thousand_tests_are_mined_by_a_few_of_them(tmp_path: Path) -> None:
    tests = (
        "import pytest\nfrom calc import add, clamp\n"
        "@pytest.mark.parametrize('x', range(9_990))\n"
        "def test_clamp(x):\n    assert clamp(x, 10, 20) == min(max(x, 10), 20)\n"
        "@pytest.mark.parametrize('x', range(10))\n"
        "def test_add(x):\n    assert add(x, 1) == 1 + x\n"
    )
    files = {"calc.py": CALC, "test_calc.py": tests}
    found = mined(repository(tmp_path / "repo", files, history=False))
    assert found.funnel[0].left == 10_000
    assert {task.function for task in found.tasks} == {"add", "clamp"}
    assert max(len(t.tests) + len(t.held_back) for t in found.tasks) <= 20
    assert os.path.exists(found.tree)
