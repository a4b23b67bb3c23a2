"""An adapter on a base in eight bits: what it says, what it learns through, what is held."""

from pathlib import Path

import pytest
import torch
from dlmd.model import Dream, adapting, load, lora, quant
from torch import Tensor

from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.slow  # importing peft takes seconds
TOKENS = torch.arange(20, dtype=torch.long)[None]


def logits(model: Dream) -> Tensor:
    with torch.no_grad():
        return model(TOKENS)


@pytest.fixture(scope="module", params=[False, True], ids=["own head", "tied head"])
def eight(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Dream]:
    place = tmp_path_factory.mktemp("eight") / "base"
    folder = tiny_model_folder(place, tied=request.param)
    return folder, load(folder, quantise="int8")


def test_in_eight_bits_it_says_nearly_the_same(eight: tuple[Path, Dream]) -> None:
    folder, model = eight
    plain = load(folder)
    adapting.attach(model, rank=4, alpha=8, seed=0)
    one, other = logits(model), logits(plain)
    away = (one - other).norm() / other.norm()
    assert 0 < away < 0.02


def test_through_eight_bits_the_adapter_learns_what_it_would_learn(
    eight: tuple[Path, Dream],
) -> None:
    """The same gradients as through the weights that the eight bits stand for."""
    folder, _ = eight
    model, plain = load(folder, quantise="int8"), load(folder)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, quant.QuantisedLinear):
                weight_NK = module.plain_weight(torch.float32)
                plain.get_submodule(name).weight.copy_(weight_NK)
    found = []
    for each in (model, plain):
        adapting.attach(each, rank=4, alpha=8, seed=0)
        with torch.no_grad():
            for half in adapting.learning(each):
                half.add_(0.1)
        each(TOKENS).logsumexp(-1).sum().backward()
        changed = [n for n, p in each.named_parameters() if p.grad is not None]
        assert changed and all("lora_" in name for name in changed)
        found.append([half.grad for half in adapting.learning(each)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_between_the_passes_only_eight_bits_are_held(
    eight: tuple[Path, Dream],
) -> None:
    folder, _ = eight
    model = load(folder, quantise="int8")
    adapting.attach(model, rank=4, alpha=8, seed=0)
    held: list[tuple[int, ...]] = []

    def keep(tensor: Tensor) -> Tensor:
        held.append(tuple(tensor.shape))
        return tensor

    inner, wide = model.config.intermediate_size, model.config.hidden_size
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(TOKENS)
    assert held and (inner, wide) not in held and (wide, inner) not in held


def test_what_was_learnt_on_eight_bits_is_saved_as_any_other(
    eight: tuple[Path, Dream], tmp_path: Path
) -> None:
    folder, _ = eight
    model = load(folder, quantise="int8")
    adapting.attach(model, rank=4, alpha=8, seed=0)
    with torch.no_grad():
        for half in adapting.learning(model):
            half.add_(0.2)
    adapting.save(model, tmp_path)
    served = load(folder)
    lora.swap(served, folder, frozenset(), lora.read(tmp_path, served))
    away = (logits(model) - logits(served)).norm() / logits(served).norm()
    assert away < 0.02
    with adapting.without(model):
        assert (logits(model) - logits(served)).norm() > logits(served).norm() / 10
