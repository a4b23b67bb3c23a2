"""Weights in parts: asked for alone it is refused; the rest is held in test_steps.py."""

from pathlib import Path

import pytest
from dlmd_finetune.rl import shards
from dlmd_finetune.rl.policy import open_policy

from tests.fakes.tiny import tiny_model_folder


@pytest.mark.slow
def test_one_process_has_nobody_to_share_with(tmp_path: Path) -> None:
    model = tiny_model_folder(tmp_path / "model")
    with pytest.raises(ValueError, match="start several with `torchrun"):
        open_policy(model, rank=4, shard=True)
    whole = open_policy(model, rank=4).trained
    assert shards.parts(whole) == [] and shards.even(whole, 3) == 3
