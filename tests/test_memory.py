"""What a run needs: close to what a 7B takes, and a refusal that says what to try."""

import json
from pathlib import Path

import pytest
from dlmd_finetune.rl.memory import GIB, planned, refuse_too_large

SEVEN = {
    "model_type": "Dream",
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "mask_token_id": 151_666,
    "tie_word_embeddings": False,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(SEVEN))
    return tmp_path


def test_a_7b_takes_what_its_weights_say_and_is_there_once(folder: Path) -> None:
    need = planned(folder, "cuda:0", rank=32, batch_tokens=2048, free=40 * GIB)
    assert need.weights == pytest.approx(15.23e9, rel=0.01)
    assert need.writing == 0
    assert need.adapter == pytest.approx(80.7e6 * 16, rel=0.02)
    assert need.fits and "14.1" in need.text("cuda:0")
    refuse_too_large(need, "cuda:0")


def test_what_does_not_fit_is_refused_with_advice(folder: Path) -> None:
    need = planned(folder, "cuda:0", rank=32, batch_tokens=4096, free=16 * GIB)
    with pytest.raises(ValueError, match=r"tuning needs .* 16\.0 are free; try"):
        refuse_too_large(need, "cuda:0")


def test_the_free_memory_of_this_machine_is_known_or_said_not_to_be(
    folder: Path,
) -> None:
    need = planned(folder, "cpu", rank=4, batch_tokens=16)
    assert need.free is None or need.free > 0
