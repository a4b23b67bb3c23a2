"""An adapter that learns: changes nothing at first, can be left out, shown and saved."""

from pathlib import Path

import pytest
import torch
from dlmd.model import Dream, adapting, load, lora
from torch import Tensor

from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.slow  # importing peft takes seconds
TOKENS = torch.arange(20, dtype=torch.long)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("adapting") / "base")


def logits(model: Dream) -> Tensor:
    with torch.no_grad():
        return model(TOKENS)


def learnt(base: Path, seed: int = 0) -> Dream:
    model = load(base)
    adapting.attach(model, rank=4, alpha=8, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for half in adapting.learning(model):
            half.add_(0.3 * torch.randn(half.shape, generator=generator))
    return model


def test_at_first_it_changes_nothing_and_only_the_adapter_learns(base: Path) -> None:
    model = load(base)
    adapting.attach(model, rank=4, alpha=8, seed=0)
    assert torch.equal(logits(model), logits(load(base)))
    model(TOKENS).sum().backward()
    changed = {name for name, p in model.named_parameters() if p.grad is not None}
    assert changed and all("lora_" in name for name in changed)
    assert len(adapting.learning(model)) == 2 * 7 * model.config.num_hidden_layers


def test_left_out_the_model_is_the_base_bit_by_bit(base: Path) -> None:
    model = learnt(base)
    with adapting.without(model):
        assert torch.equal(logits(model), logits(load(base)))
    assert not torch.allclose(logits(model), logits(load(base)), atol=0.1)


def test_shown_to_a_copy_and_saved_it_says_the_same(base: Path, tmp_path: Path) -> None:
    model, copy, served = learnt(base), load(base), load(base)
    adapting.show(model, copy)
    torch.testing.assert_close(logits(copy), logits(model), rtol=1e-4, atol=1e-4)
    adapting.save(model, tmp_path)
    lora.swap(served, base, frozenset(), lora.read(tmp_path, served))
    assert torch.equal(logits(served), logits(copy))


def test_what_is_saved_is_what_peft_loads(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    model = learnt(base)
    adapting.save(model, tmp_path)
    theirs = PeftModel.from_pretrained(load(base), str(tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(theirs(TOKENS), logits(model), rtol=1e-4, atol=1e-4)


def test_it_comes_back_as_it_was(base: Path, tmp_path: Path) -> None:
    model, other = learnt(base), learnt(base, seed=1)
    adapting.save(model, tmp_path)
    adapting.load_into(other, tmp_path)
    assert torch.equal(logits(model), logits(other))
