"""A low-rank adapter that learns: put into a model by PEFT, shown to a second one, saved.

The model keeps its class and its one entry point; PEFT's layers stand in place of its
linears, and layers of our own in place of those in eight bits. Must not know losses, optimisers or where adapters are kept.

Shapes: N outputs, K inputs of a linear, R rank.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor

from dlmd.model.dream import Dream
from dlmd.model.lora import CONFIG, WEIGHTS
from dlmd.model.lowrank import LowRank, Turning
from dlmd.model.quant import QuantisedLinear

NAME = "default"
PROJECTIONS = [f"{part}_proj" for part in ("q", "k", "v", "o", "gate", "up", "down")]


def attach(model: Dream, *, rank: int, alpha: int, seed: int) -> None:
    """An adapter on every projection that changes nothing yet; all else is frozen. It is
    held in float32, whatever the model computes in."""
    model.requires_grad_(False)
    eight = [n for n, m in model.named_modules() if isinstance(m, QuantisedLinear)]
    for name in eight:
        parent, _, last = name.rpartition(".")
        base: Any = model.get_submodule(name)
        layer = (
            LowRank(base, name=NAME, rank=rank, alpha=alpha)
            if last in PROJECTIONS
            else Turning(base)
        )
        setattr(model.get_submodule(parent), last, layer)
    if not eight:
        from peft import LoraConfig, inject_adapter_in_model  # seconds

        config = LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=PROJECTIONS, lora_dropout=0.0
        )
        inject_adapter_in_model(config, model, adapter_name=NAME)
    generator = Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in layers(model):
            for part in (layer.lora_A, layer.lora_B):
                part[NAME].to(torch.float32)
            a_RK, b_NR = halves(layer)
            bound = 1 / math.sqrt(a_RK.shape[1])  # PEFT's own start, from our seed
            a_RK.copy_(
                torch.empty(a_RK.shape).uniform_(-bound, bound, generator=generator)
            )
            b_NR.zero_()


def layers(model: Dream) -> Iterator[tuple[str, Any]]:
    """Low-rank layers by the names of the linears that they stand for."""
    for name, module in model.named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            yield name, module


def halves(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.lora_A[NAME].weight, layer.lora_B[NAME].weight


def learning(model: Dream) -> list[Tensor]:
    """What an optimiser is to change, in an order that stays."""
    return [half for _, layer in layers(model) for half in halves(layer)]


@contextmanager
def without(model: Dream) -> Iterator[None]:
    """The model as it was before the adapter. For forwards without gradients."""
    scales = [(layer, layer.scaling[NAME]) for _, layer in layers(model)]
    try:
        for layer, _ in scales:
            layer.scaling[NAME] = 0.0
        yield
    finally:
        for layer, scale in scales:
            layer.scaling[NAME] = scale


def show(model: Dream, other: Dream) -> None:
    """Merge what `model` has learnt into `other`, a copy of it from before the adapter:
    as the daemon does, so that it says what the daemon would say."""
    with torch.no_grad():
        for name, layer in layers(model):
            a_RK, b_NR = halves(layer)
            update_NK = (b_NR.float() @ a_RK.float()).mul_(layer.scaling[NAME])
            merged_NK = layer.base_layer.weight.float() + update_NK
            other.get_submodule(name).weight.copy_(merged_NK)


def state(model: Dream) -> dict[str, Tensor]:
    """The adapter under the names of PEFT's files."""
    found = {}
    for name, layer in layers(model):
        for letter, half in zip("AB", halves(layer), strict=True):
            key = f"base_model.model.{name}.lora_{letter}.weight"
            found[key] = half.detach().cpu().clone().contiguous()
    return found


def restore(model: Dream, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, layer in layers(model):
            for letter, half in zip("AB", halves(layer), strict=True):
                half.copy_(tensors[f"base_model.model.{name}.lora_{letter}.weight"])


def save(model: Dream, folder: Path) -> Path:
    """PEFT's two files, which `lora.read` and PEFT itself load."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state(model), folder / WEIGHTS, metadata={"format": "pt"})
    _, layer = next(layers(model))
    rank = layer.r[NAME]
    settings = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": layer.lora_alpha[NAME],
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(PROJECTIONS),
        "inference_mode": True,
    }
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text)
    return folder


def load_into(model: Dream, folder: Path) -> None:
    """An adapter of the same shape, saved by `save`."""
    restore(model, load_file(folder / WEIGHTS))
