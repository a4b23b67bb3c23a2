"""Adapters made by PEFT, merged in place and taken out: the logits say what holds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.model import Dream, load, lora, quant
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.fakes.adapter import ALL, peft_model, saved_adapter
from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.slow  # importing peft takes seconds
TOKENS = torch.arange(20, dtype=torch.long)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("lora") / "base")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return saved_adapter(base, base.parent / "adapter")


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(TOKENS)


def put(model: Dream, base: Path, folder: Path | None, before: Any = ()) -> Any:
    after = {} if folder is None else lora.read(folder, model)
    lora.swap(model, base, before, after)
    return after


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_rslora": True},
        {"target_modules": ["q_proj", "down_proj"], "alpha_pattern": {"q_proj": 32}},
        {"rank_pattern": {"v_proj": 2}},
    ],
)
def test_merged_it_computes_what_peft_computes(
    base: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    theirs = peft_model(base, **config)
    theirs.save_pretrained(tmp_path)
    ours = load(base)
    put(ours, base, tmp_path)
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(ours), logits(load(base)), atol=0.1)


def test_taken_out_the_weights_are_the_base_bit_by_bit(
    base: Path, adapter: Path
) -> None:
    model = load(base)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    at = [weight.data_ptr() for weight in model.parameters()]
    held = put(model, base, adapter)
    put(model, base, None, before=held)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert at == [weight.data_ptr() for weight in model.parameters()]


def test_one_adapter_after_another_leaves_nothing_of_the_first(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    small = {"target_modules": ["q_proj", "up_proj"], "seed": 5}
    other = saved_adapter(base, tmp_path / "other", **small)
    changed, direct = load(base), load(base)
    put(changed, base, other, before=put(changed, base, adapter))
    put(direct, base, other)
    assert torch.equal(logits(changed), logits(direct))


def test_in_bfloat16_the_merge_is_rounded_once(base: Path, adapter: Path) -> None:
    model, exact = load(base, dtype=torch.bfloat16), load(base)
    held = put(model, base, adapter)
    put(exact, base, adapter)
    # From the base in bfloat16: what is merged is what the model computes with.
    name = "model.layers.0.mlp.up_proj.weight"
    bare = load(base, dtype=torch.bfloat16).state_dict()[name].float()
    wanted = (bare + held[name].of(torch.device("cpu"))).to(torch.bfloat16)
    assert torch.equal(model.state_dict()[name], wanted)
    assert torch.allclose(wanted.float(), exact.state_dict()[name], atol=0.05)


def test_quantised_weights_are_quantised_again(base: Path, adapter: Path) -> None:
    exact, model = load(base), load(base, quantise="int8")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    put(exact, base, adapter)
    held = put(model, base, adapter)
    name = "model.layers.1.self_attn.q_proj"
    merged = model.get_submodule(name)
    assert isinstance(merged, quant.QuantisedLinear)
    wanted = exact.get_submodule(name).weight
    assert torch.allclose(merged.plain_weight(torch.float32), wanted, atol=0.05)
    put(model, base, None, before=held)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def copied(adapter: Path, place: Path, **config: object) -> Path:
    place.mkdir()
    told = json.loads((adapter / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps(told | config))
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    (place / "adapter_model.safetensors").write_bytes(weights)
    return place


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "LOHA"}, "expected LORA without bias"),
        ({"bias": "all"}, "expected LORA without bias"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"init_lora_weights": "pissa"}, "'pissa', which changes the base"),
        ({"lora_alpha": "many"}, "no usable lora_alpha"),
        ({"lora_alpha": float("inf")}, "no usable lora_alpha"),
    ],
)
def test_other_kinds_are_refused_in_one_sentence(
    base: Path, adapter: Path, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    model = load(base)
    with pytest.raises(ValueError, match=said) as refusal:
        lora.read(copied(adapter, tmp_path / "a", **config), model)
    assert "\n" not in str(refusal.value)


def test_weights_that_do_not_fit_are_refused(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    changes: list[tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = [
        (lambda t: {"a.weight": next(iter(t.values()))}, "expected lora_A"),
        (lambda t: {}, "is empty"),
        (lambda t: dict(list(t.items())[:1]), "no pair of A and B"),
        (lambda t: {k: v[:, :3].clone() for k, v in t.items()}, "has shapes"),
        (lambda t: {k: v / 0 for k, v in t.items()}, "not finite"),
        (lambda t: {k.replace("0", "9"): v for k, v in t.items()}, "no pair"),
    ]
    model = load(base)
    for number, (change, said) in enumerate(changes):
        place = copied(adapter, tmp_path / str(number))
        file = place / "adapter_model.safetensors"
        save_file(change(load_file(file)), file)
        with pytest.raises(ValueError, match=said):
            lora.read(place, model)
    place = copied(adapter, tmp_path / "cut")
    file = place / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match="damaged or cut short"):
        lora.read(place, model)


def test_a_base_that_is_gone_is_no_fault_of_the_user(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    model = load(base)
    held = put(model, base, adapter)
    with pytest.raises(RuntimeError, match="base weights cannot be read"):
        lora.swap(model, tmp_path, set(held), None)


def test_every_projection_may_be_adapted(base: Path, adapter: Path) -> None:
    model = load(base)
    layers = model.config.num_hidden_layers
    assert len(lora.read(adapter, model)) == len(ALL) * layers
