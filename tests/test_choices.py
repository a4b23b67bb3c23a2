"""What `dlmd tune` may be told, and that a run is known by what was chosen."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune.choices import TuneConfig, state_of
from dlmd_finetune.tune import plan_of

from tests.fakes.toy_tasks import toy_repository


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"level": "line"},
            "--level is 'line'; expected statement, block, body or auto",
        ),
        ({"group": 1}, "--group is 1; expected at least 2"),
        ({"budget": 0.0}, r"--budget is 0\.0; expected at least 0\.1"),
        ({"kl": -1.0}, r"--kl is -1\.0; expected at least 0"),
        ({"stay": math.nan}, "--stay is nan; expected at least 0"),
        ({"budget": math.nan}, "--budget is nan"),
        ({"budget": math.inf}, r"--budget is inf; expected at least 0\.1, and finite"),
        ({"context": 1}, "--context is 1; expected at least 32"),
        ({"learning_rate": -1.0}, r"--learning-rate is -1\.0; expected more than 0"),
        ({"learning_rate": math.nan}, "--learning-rate is nan"),
        ({"activate": True, "rollback": True}, "--activate and --rollback do not go"),
        ({"dry_run": True, "activate": True}, "--dry-run and --activate do not go"),
        ({"estimator": "best"}, "--estimator is 'best'; expected coupled"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TuneConfig(repo=Path("repo"), **given)


def test_the_same_choices_are_the_same_run(tmp_path: Path) -> None:
    one = TuneConfig(repo=tmp_path / "repo", out=tmp_path / "out")
    assert one.run_folder == replace(one, budget=5.0, trust=True).run_folder
    for other in ({"seed": 1}, {"kl": 0.0}, {"shuffle_rewards": True}):
        assert one.run_folder != replace(one, **other).run_folder
    before = one.run_folder
    one.folder.mkdir(parents=True)
    (one.folder / "tasks.key").write_text("of an edited repository")
    assert one.run_folder != before, "old verdicts would be believed for new tests"


def test_tasks_are_mined_anew_when_a_file_changes(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "a.py").write_text("a = 1\n")
    config = TuneConfig(repo=repo)
    before = state_of(config)
    assert state_of(config) == before == state_of(replace(config, budget=5.0))
    assert state_of(replace(config, seed=1)) != before
    (repo / "a.py").write_text("a = 22\n")
    assert state_of(config) != before


def test_weights_in_parts_are_never_in_eight_bits_and_make_no_other_run(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ValueError, match="--shard and --base-bits 8 do not go together"
    ):
        TuneConfig(repo=tmp_path, shard=True, base_bits=8)
    alone, shared = (TuneConfig(repo=tmp_path, shard=shard) for shard in (False, True))
    assert alone.run_folder == shared.run_folder


def test_no_pass_of_a_dev_task_reaches_the_control(tmp_path: Path) -> None:
    task = toy_repository(tmp_path / "repo", 1)[0]
    real, control = (
        plan_of(TuneConfig(repo=Path("repo"), shuffle_rewards=dealt), (task,), (task,))
        for dealt in (False, True)
    )
    assert real.dev == (task,) and control.dev == ()
    assert control.shuffle and not real.shuffle
