"""What a run needs: close to what a 7B takes, and a refusal that says what to try."""

import json
from pathlib import Path

import pytest
from dlmd_finetune.rl.memory import GIB, Budget, fitting, planned, refuse_too_large

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


def test_eight_bits_bring_a_7b_onto_a_small_card(folder: Path) -> None:
    def plan(bits: int) -> Budget:
        return planned(
            folder, "cuda:0", rank=16, batch_tokens=4096, free=16 * GIB, bits=bits
        )

    assert not plan(16).fits and plan(8).fits
    assert plan(8).weights < 10 * GIB
    assert fitting(None, plan).bits == 8
    assert "weights in eight bits" in fitting(None, plan).text("cuda:0")
    with pytest.raises(ValueError, match="try --base-bits 8, or a smaller model"):
        refuse_too_large(fitting(16, plan), "cuda:0")


def test_whole_weights_are_kept_where_they_fit_or_nothing_does(folder: Path) -> None:
    for free, fits in ((60 * GIB, True), (4 * GIB, False)):
        plans = {
            bits: planned(
                folder, "cuda:0", rank=16, batch_tokens=4096, free=free, bits=bits
            )
            for bits in (8, 16)
        }
        found = fitting(None, plans.__getitem__)
        assert found.bits == 16 and found.fits == fits
