"""Every folder that is a model loads; every folder that is not gets one sentence."""

import json
import os
import time
from pathlib import Path

import pytest
import torch
from dlmd.model import load
from safetensors.torch import load_file, save_file

from tests.fakes.tiny import tiny_model_folder

TOKENS_BT = torch.arange(40, 60)[None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model_folder(tmp_path / "a model")


def shard(folder: Path) -> None:
    """The single file as two shards with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    table: dict[str, str] = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file({n: tensors[n] for n in names}, folder / name)
        table |= dict.fromkeys(names, name)
    index = {"metadata": {}, "weight_map": table}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def resave(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / "model.safetensors") | changes
    kept = {name: value for name, value in tensors.items() if value is not None}
    save_file(kept, folder / "model.safetensors")


def test_loads_in_eval_mode_and_trainable(folder: Path) -> None:
    model = load(folder)
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model(TOKENS_BT).isfinite().all()


def test_changing_weights_leaves_the_file_alone(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model = load(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert (folder / "model.safetensors").read_bytes() == before


def test_shards_give_the_same_model(folder: Path) -> None:
    whole = load(folder)(TOKENS_BT)
    shard(folder)
    assert torch.equal(load(folder)(TOKENS_BT), whole)


def test_tied_head_is_one_parameter(tmp_path: Path) -> None:
    model = load(tiny_model_folder(tmp_path, tied=True))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model(TOKENS_BT).isfinite().all()


def test_tied_model_ignores_a_head_of_its_own(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path, tied=True)
    wanted = load(folder)(TOKENS_BT)
    resave(folder, **{"lm_head.weight": torch.zeros(291, 32)})
    assert torch.equal(load(folder)(TOKENS_BT), wanted)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16, torch.float16])
def test_any_stored_type_loads_as_any(
    folder: Path, stored: torch.dtype, wanted: torch.dtype
) -> None:
    tensors = load_file(folder / "model.safetensors")
    resave(folder, **{name: value.to(stored) for name, value in tensors.items()})
    model = load(folder, dtype=wanted)
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}


def test_progress_ends_at_the_total(folder: Path) -> None:
    heard: list[tuple[int, int]] = []
    load(folder, progress=lambda done, total: heard.append((done, total)))
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1][0] == heard[-1][1] > 100_000


def test_loading_does_not_draw_random_numbers(folder: Path) -> None:
    load(folder)  # whatever is imported late is imported now
    state = torch.get_rng_state()
    started = time.perf_counter()
    load(folder)
    assert time.perf_counter() - started < 1.0
    assert torch.equal(torch.get_rng_state(), state)


def test_remote_code_is_not_even_looked_at(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_dream.DreamModel"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_dream.py").write_text("raise SystemExit('remote code ran')")
    load(folder)


def test_links_of_a_download_cache_are_followed(folder: Path, tmp_path: Path) -> None:
    shard(folder)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for file in folder.glob("*.safetensors"):
        file.rename(blobs / file.name)
        file.symlink_to(blobs / file.name)
    load(folder)


# ---- refusals ----


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message
    assert "; " in message or ": " in message
    return message


def test_missing_folder(tmp_path: Path) -> None:
    assert "no folder at" in refusal(tmp_path / "nowhere")


def test_a_file_for_a_folder(folder: Path) -> None:
    assert "is a file" in refusal(folder / "config.json")


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json in" in refusal(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '"Dream"', "\udcff"])
def test_config_that_is_no_json_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, errors="surrogateescape")
    assert "JSON" in refusal(folder)


def test_config_that_cannot_be_read(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    assert "cannot read" in refusal(folder)


def test_weights_that_cannot_be_read_say_why(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    said = refusal(folder)
    assert "cannot read" in said and "None" not in said


def test_folder_without_permission(folder: Path) -> None:
    folder.chmod(0)
    try:
        if os.access(folder, os.R_OK):
            pytest.skip("this user may read everything")
        assert "cannot read" in refusal(folder)
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "llama"}, "type 'llama'"),
        ({"model_type": "x", "auto_map": {"AutoModel": "x.X"}}, "never run"),
        ({"model_type": None}, "type None"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope scaling"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"use_sliding_window": True}, "sliding"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"head_dim": 64}, "head_dim"),
        ({"num_attention_heads": 5}, "do not divide"),
        ({"num_key_value_heads": 3}, "do not divide"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"mask_token_id": None}, "no mask token"),
        ({"mask_token_id": 100000}, "no mask token"),
    ],
)
def test_other_networks(folder: Path, change: dict[str, object], said: str) -> None:
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    assert said in refusal(folder)


def test_mask_id_from_the_tokenizer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "qwen2", "mask_token_id": None}
    (folder / "config.json").write_text(json.dumps(config))
    tokens = {
        "mask_token": "[MASK]",
        "added_tokens_decoder": {"290": {"content": "[MASK]"}},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    assert load(folder).config.mask_token_id == 290


def test_only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pickles can run code" in refusal(folder)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no weights in" in refusal(folder)


def test_shards_without_index(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").unlink()
    assert "no model.safetensors.index.json" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 4, 100, 5000, -1])
def test_truncated_weights(folder: Path, kept: int) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:kept])
    assert "damaged or cut short" in refusal(folder)


def test_missing_tensor(folder: Path) -> None:
    resave(folder, **{"model.norm.weight": None})
    assert "first model.norm.weight" in refusal(folder)


def test_unexpected_tensor(folder: Path) -> None:
    resave(folder, **{"model.layers.9.extra": torch.ones(3)})
    assert "model.layers.9.extra" in refusal(folder)


def test_wrong_shape(folder: Path) -> None:
    resave(folder, **{"model.norm.weight": torch.ones(31)})
    assert "shape [31]" in refusal(folder)


def test_integer_weights(folder: Path) -> None:
    resave(folder, **{"model.norm.weight": torch.ones(32, dtype=torch.int8)})
    assert "torch.int8" in refusal(folder)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/x.safetensors", ""])
def test_index_that_points_out_of_the_folder(folder: Path, name: str) -> None:
    index = {"weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "same folder" in refusal(folder)


def test_index_with_a_missing_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "lacks model-00002" in refusal(folder)


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": [1]}'])
def test_index_without_map(folder: Path, index: str) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    assert "no weight_map" in refusal(folder)


def test_a_dtype_we_do_not_compute_in(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot compute in torch\.float64"):
        load(folder, dtype=torch.float64)
