"""`dlmd tune` from tasks to a verdict and its page, on a tiny model; and what it refuses."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune import sandbox, tune
from dlmd_finetune.choices import TuneConfig, state_of
from dlmd_finetune.rl import everyday, general
from dlmd_finetune.tasks.task import save

from tests.fakes.tiny import tiny_model_folder
from tests.fakes.toy_tasks import ToyRoom, toy_mined


@contextmanager
def toy_room(*given: object, **more: object) -> Iterator[ToyRoom]:
    yield ToyRoom()


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A repository that was mined already, with little to do at each stage."""
    monkeypatch.setattr(sandbox, "open_room", toy_room)
    monkeypatch.setattr(general, "HOLES", 6)
    few: Sequence[everyday.Everyday] = everyday.TASKS[:2]
    monkeypatch.setattr(general, "TASKS", few)
    monkeypatch.setattr(general.foreign, "__defaults__", (6, 0))
    given: dict[str, Any] = {
        "repo": tmp_path / "repo",
        "out": tmp_path / "out",
        "model": str(tiny_model_folder(tmp_path / "model")),
        "device": "cpu",
        "steps": 1,
        "tasks": 2,
        "group": 2,
        "samples": 2,
        "context": 64,
    }
    mined = toy_mined(tmp_path / "repo")
    (tmp_path / "out").mkdir()
    save(mined, tmp_path / "out" / "tasks.json")
    (tmp_path / "out" / "tasks.key").write_text(state_of(TuneConfig(**given)))
    return given


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_from_tasks_to_a_verdict(
    ready: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = TuneConfig(**ready)
    assert tune.tune(config) == 0
    folder = config.run_folder
    found = json.loads((folder / "verdict.json").read_text())
    assert found["verdict"] == "not enough evidence"
    assert {"base", "warm start", "tuned"} == set(found["models"])
    assert len(found["tasks"]) == 2 and found["looks"] == 1
    assert "<svg" in (folder / "report.html").read_text()
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert "verdict: not enough evidence" in capsys.readouterr().out
    assert tune.tune(config) == 0
    assert "this run is finished" in capsys.readouterr().out
    with pytest.raises(ValueError, match="only what is better goes live"):
        tune.tune(TuneConfig(**ready, activate=True))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_on_a_base_in_eight_bits(
    ready: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = TuneConfig(**ready, base_bits=8, no_warm_start=True)
    assert tune.tune(config) == 0
    assert "weights in eight bits" in capsys.readouterr().out
    assert (config.run_folder / tune.BITS).read_text() == "8"
    assert (config.run_folder / "adapter" / "adapter_model.safetensors").exists()


def test_a_run_goes_on_with_the_bits_it_began_with(tmp_path: Path) -> None:
    config = TuneConfig(repo=tmp_path / "r", out=tmp_path / "o")
    assert tune.kept_bits(config) is None
    config.run_folder.mkdir(parents=True)
    (config.run_folder / tune.BITS).write_text("8")
    assert tune.kept_bits(config) == 8
    with pytest.raises(ValueError, match="--base-bits is 4; expected 8 or 16"):
        TuneConfig(repo=tmp_path, base_bits=4)


@pytest.mark.slow
def test_too_few_tasks_are_refused(ready: dict[str, Any], tmp_path: Path) -> None:
    mined = toy_mined(tmp_path / "repo", count=0)
    save(mined, tmp_path / "out" / "tasks.json")
    with pytest.raises(ValueError, match="are too few; tests that call more"):
        tune.tune(TuneConfig(**ready))


def test_nothing_to_activate(tmp_path: Path) -> None:
    config = TuneConfig(repo=tmp_path / "r", out=tmp_path / "o", activate=True)
    with pytest.raises(ValueError, match="there is no verdict on"):
        tune.tune(config)


def test_more_samples_take_longer_to_judge() -> None:
    look = tune.Look(level="block", tasks=2, rate=0.3, seconds=4.0)
    few, many = (tune.seconds_of("block", [look], count) for count in (2, 14))
    assert few == 4.0 and many == 16.0
