"""An adapter goes live only with the evidence, and the one before it comes back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dlmd.store import adapters
from dlmd_finetune.activation import activate, roll_back
from dlmd_finetune.tune import TuneConfig, tune

from tests.fakes.adapter import saved_adapter
from tests.fakes.running import ROOT, daemon, environment
from tests.fakes.tiny import tiny_model_folder


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tiny_model_folder(tmp_path / "base")


def finished(folder: Path, verdict: str, mark: str) -> Path:
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / adapters.CONFIG).write_text(json.dumps({"mark": mark}))
    (folder / "adapter" / adapters.WEIGHTS).write_bytes(mark.encode())
    (folder / "verdict.json").write_text(json.dumps({"verdict": verdict}))
    return folder


def active(repo: Path) -> str:
    text = (adapters.find(adapters.name_for(repo)) / adapters.CONFIG).read_text()
    return str(json.loads(text)["mark"])


def test_only_what_is_better_goes_live(base: Path, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", "not better", "a")
    with pytest.raises(ValueError, match="'not better', and only what is better"):
        activate(run, tmp_path, base, "tiny")
    with pytest.raises(ValueError, match="there is no verdict"):
        activate(tmp_path / "nowhere", tmp_path, base, "tiny")
    assert adapters.listed() == []


def test_the_one_before_comes_back_and_then_none(base: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    for mark in "ab":
        run = finished(tmp_path / mark, "better", mark)
        assert "no daemon runs" in activate(run, repo, base, "tiny")
    assert active(repo) == "b"
    assert "of before is in place" in roll_back(repo)
    assert active(repo) == "a"
    assert "taken out" in roll_back(repo)
    assert adapters.listed() == []
    with pytest.raises(ValueError, match="there is nothing to take back"):
        roll_back(repo)


def test_twice_the_same_keeps_the_one_before(base: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    for mark in "abb":
        run = tmp_path / mark
        activate(
            run if run.exists() else finished(run, "better", mark), repo, base, "tiny"
        )
    roll_back(repo)
    assert active(repo) == "a"


def test_it_goes_live_on_the_model_that_it_was_learnt_on(
    base: Path, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    run = finished(tmp_path / "out/run-1", "better", "a")
    said = {"verdict": "better", "run": {"model": str(base)}}
    (run / "verdict.json").write_text(json.dumps(said))
    config = TuneConfig(repo=repo, out=tmp_path / "out", activate=True)
    assert config.model == "embedded" and tune(config) == 0
    [found] = adapters.listed()
    assert found.base_model == str(base)
    assert found.base_sha256 == adapters.base_digest(base)


def infilled(file: Path, runtime: Path) -> str:
    """What a user sees who asks by the command line, in a process of its own."""
    line = [sys.executable, "-m", "dlmd", "infill", f"{file}:1", "--tokens", "12"]
    told = subprocess.run(
        [*line, "--json", "--mode", "exact"],
        cwd=ROOT,
        env=environment(runtime),
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    return str(json.loads(told.stdout)["candidates"][0]["holes"][0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_running_daemon_answers_by_it_for_files_of_its_repository_alone(
    base: Path, tmp_path: Path
) -> None:
    runtime, repo = tmp_path / "runtime", tmp_path / "repo"
    inside, outside = repo / "deep" / "a.py", tmp_path / "other" / "a.py"
    for file in (inside, outside):
        file.parent.mkdir(parents=True)
        file.write_text("def f(x):")
    runs = []
    for seed, mark in enumerate("ab"):
        run = finished(tmp_path / mark, "better", mark)
        saved_adapter(base, run / "adapter", seed=seed, size=1.0)
        runs.append(run)
    options = ("--model", str(base), "--device", "cpu")
    command = (sys.executable, "-m", "dlmd", "serve", *options)
    with daemon(runtime, argv=command):
        bare = infilled(outside, runtime)
        assert infilled(inside, runtime) == bare
        seen = [bare]
        for run in runs:  # the second takes the place of the first under its name
            told = activate(run, repo, base, str(base))
            assert "answers with it from now on" in told
            seen.append(infilled(inside, runtime))
            assert infilled(outside, runtime) == bare
        assert len(set(seen)) == 3
        assert "in place again" in roll_back(repo)
        assert infilled(inside, runtime) == seen[1]
        assert "taken out" in roll_back(repo)
        assert infilled(inside, runtime) == bare


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_daemon_with_another_model_is_not_asked_for_it(
    base: Path, tmp_path: Path
) -> None:
    runtime, repo = tmp_path / "runtime", tmp_path / "repo"
    repo.mkdir()
    (repo / "a.py").write_text("def f(x):")
    other = tiny_model_folder(tmp_path / "other model", seed=1)
    run = finished(tmp_path / "run", "better", "a")
    saved_adapter(base, run / "adapter", size=1.0)
    options = ("--model", str(other), "--device", "cpu")
    command = (sys.executable, "-m", "dlmd", "serve", *options)
    with daemon(runtime, argv=command):
        bare = infilled(repo / "a.py", runtime)
        told = activate(run, repo, base, str(base))
        assert "does not compute with it" in told and "use that model" in told
        assert infilled(repo / "a.py", runtime) == bare
