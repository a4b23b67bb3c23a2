"""An adapter goes live only with the evidence, and the one before it comes back."""

import json
from pathlib import Path

import pytest
from dlmd.store import adapters
from dlmd_finetune.activation import activate, roll_back

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
    (folder / "adapter" / adapters.WEIGHTS).write_bytes(b"weights")
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
