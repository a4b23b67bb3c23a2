"""Holes of a repository: which are cut, how they are judged, and that nothing is written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from dlmd_finetune.repository import RepositoryConfig, listed, main, measure
from dlmd_finetune.tasks.task import Mined, Task, save

SOURCE = '''\
"""Sums."""


def total(numbers):
    # a comment
    found = 0
    for number in numbers:
        found += number
    return found
'''
TESTS = """\
from sums import total

def test_total():
    assert total([1, 2]) == 3
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    place = tmp_path / "repo"
    (place / ".hidden").mkdir(parents=True)
    (place / "sums.py").write_text(SOURCE)
    (place / "test_sums.py").write_text(TESTS)
    (place / "broken.py").write_text("def f(:\n")
    (place / ".hidden" / "other.py").write_text(SOURCE)
    return place


def config(repo: Path, **settings: Any) -> RepositoryConfig:
    return RepositoryConfig(repo=repo, **{"answers": "canonical", **settings})


def files(repo: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in repo.rglob("*") if p.is_file()}


def test_right_lines_are_all_exact_and_nothing_is_written(repo: Path) -> None:
    before = files(repo)
    found = measure(config(repo))
    assert found["holes"] == 6 + 3 and found["files"] == 2
    for name in ("exact_match", "similarity", "parse_rate"):
        assert found[name]["value"] == 1
    assert all(rate["value"] == 0 for rate in found["constants"].values())
    assert files(repo) == before


def test_results_are_kept_and_drawn_by_the_seed(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(config(repo, limit=4)) == 0
    assert "4 holes in" in capsys.readouterr().out
    assert main(config(repo, limit=4, json=True)) == 0
    again = capsys.readouterr()
    assert "4 of them answered before" in again.err
    assert json.loads(again.out)["holes"] == 4
    main(config(repo, limit=4, seed=5))
    assert " 4 of them" not in capsys.readouterr().err


def test_with_git_only_what_it_tracks(repo: Path) -> None:
    assert listed(repo) == ["broken.py", "sums.py", "test_sums.py"]
    git = ["git", "-C", str(repo)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "sums.py", ".hidden/other.py"], check=True)
    assert listed(repo) == [".hidden/other.py", "sums.py"]


@pytest.mark.slow
def test_a_name_that_is_no_text_is_a_name(repo: Path) -> None:
    subprocess.run(["git", "-C", str(repo), "init", "-q"], check=True)
    odd = os.fsencode(repo) + b"/odd\xff.py"
    with open(odd, "w") as file:
        file.write("value = other\n")
    subprocess.run(["git", "-C", str(repo), "add", "-A"], check=True)
    found = measure(RepositoryConfig(repo=repo, answers="canonical"))
    assert found["exact_match"]["value"] == 1 and found["files"] == 4


def test_a_model_is_measured_by_its_own_decoder(repo: Path, tmp_path: Path) -> None:
    from tests.fakes.tiny import tiny_model_folder

    folder = str(tiny_model_folder(tmp_path / "tiny"))
    found = measure(config(repo, answers="model", model=folder, device="cpu", limit=2))
    assert found["holes"] == 2 and 0 <= found["similarity"]["value"] < 1


@pytest.mark.slow
def test_mined_tasks_are_judged_by_their_tests(repo: Path, tmp_path: Path) -> None:
    start = SOURCE.index("found += number")
    about: dict[str, Any] = {
        "path": "sums.py", "function": "total", "level": "statement",
        "tests": ("test_sums.py::test_total",), "held_back": (), "timeout_s": 20.0,
        "weight": 1.0,
    }  # fmt: skip
    ends = start + len("found += number")
    original = SOURCE[start:ends]
    task = Task(
        id="one", start=start, end=ends, original=original, split="test", **about
    )
    seen = Task(
        id="two", start=start, end=ends, original=original, split="train", **about
    )
    mined = Mined(
        repo=str(repo),
        tree=str(repo),
        commit=None,
        python=sys.executable,
        pytest_args=(),
        tasks=(task, seen),
        funnel=(),
    )
    save(mined, tmp_path / "tasks.json")
    found = measure(config(repo, tasks=tmp_path, sandbox="subprocess"))
    assert found["holes"] == 1 and found["judged"] == "by tests"
    assert found["passed"]["value"] == 1

    from tests.fakes.tiny import tiny_model_folder

    folder = str(tiny_model_folder(tmp_path / "tiny"))
    settings = {"answers": "model", "model": folder, "device": "cpu", "length": "3"}
    wrong = measure(config(repo, tasks=tmp_path, sandbox="subprocess", **settings))
    assert wrong["passed"]["value"] == 0


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"limit": 0}, "--limit is 0"),
        ({"answers": "stub"}, "--answers is 'stub'"),
    ],
)
def test_bad_settings(repo: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(repo, **settings)


def test_no_repository_and_no_source(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        config(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no Python source"):
        measure(config(tmp_path))
