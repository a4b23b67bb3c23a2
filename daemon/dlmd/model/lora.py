"""Low-rank adapters in PEFT's format: read, merged into a model in place, taken out again.

What is taken out comes from disk, the one place that holds the base weights exactly: no
second copy of a large model in memory, and no rounding left behind by subtracting. Weights
keep their storage, so that whoever recorded its address (a CUDA graph) computes with the
new ones. Must not know names of adapters, where they lie, or requests.

Shapes: N outputs, K inputs of a linear, R rank.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dlmd.model import quant
from dlmd.model.config import read_json, readable
from dlmd.model.dream import Dream
from dlmd.model.weights import weight_files

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(
    r"base_model\.model\.(model\.layers\.\d+\.(?:self_attn|mlp)\.[a-z]+_proj)"
    r"\.lora_([AB])\.weight"
)
_REFUSED = {
    "use_dora": "DoRA",
    "modules_to_save": "whole modules of its own",
    "lora_bias": "biases",
    "fan_in_fan_out": "transposed weights",
    "layer_replication": "layers that are copies",
    "trainable_token_indices": "embeddings",
    "target_parameters": "parameters outside linears",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What one linear's weight gains: scale * B @ A."""

    a_RK: Tensor
    b_NR: Tensor
    scale: float

    def of(self, device: torch.device) -> Tensor:
        b_NR, a_RK = self.b_NR.to(device).float(), self.a_RK.to(device).float()
        return (b_NR @ a_RK).mul_(self.scale)


Adapter = Mapping[str, Update]  # by the name of the weight


def read(folder: Path, model: Dream) -> Adapter:
    """The adapter in `folder`, checked against the model it is meant for. ValueError: no."""
    config = read_json(folder / CONFIG)
    _refuse_kinds(folder, config)
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in _tensors(folder / WEIGHTS):
        if (found := _KEY.fullmatch(key)) is None:
            raise ValueError(
                f"{folder / WEIGHTS} holds {key[:120]}, expected lora_A and lora_B of "
                "projections only; train an adapter of these"
            )
        pairs.setdefault(found[1], {})[found[2]] = tensor
    if not pairs:
        raise ValueError(f"{folder / WEIGHTS} is empty; train the adapter again")
    return {
        f"{name}.weight": _update(folder, config, model, name, pair)
        for name, pair in pairs.items()
    }


def _refuse_kinds(folder: Path, config: dict[str, Any]) -> None:
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none":
        kind = f"{config.get('peft_type')} with bias {config.get('bias', 'none')}"
        raise ValueError(
            f"{folder / CONFIG} is {kind[:80]}, expected LORA without bias"
        )
    for field, what in _REFUSED.items():
        if config.get(field):
            raise ValueError(
                f"{folder / CONFIG} asks for {what} ({field}), which dlmd does not merge; "
                "train without that"
            )
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start != "gaussian":
        raise ValueError(
            f"{folder / CONFIG} started from {start[:40]!r}, which changes the base; "
            "save it converted to plain LoRA"
        )


def _tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    with readable(file):
        try:
            with safe_open(file, framework="pt", device="cpu") as tensors:
                for key in tensors.keys():  # noqa: SIM118 (not a dict)
                    yield key, tensors.get_tensor(key)
        except SafetensorError as error:
            raise ValueError(
                f"{file} is damaged or cut short ({error}); train the adapter again"
            ) from None


def _update(
    folder: Path,
    config: dict[str, Any],
    model: Dream,
    name: str,
    pair: dict[str, Tensor],
) -> Update:
    a_RK, b_NR = pair.get("A"), pair.get("B")
    linear = dict(model.named_modules()).get(name)
    if a_RK is None or b_NR is None or not isinstance(linear, _LINEARS):
        raise ValueError(
            f"{folder / WEIGHTS} has no pair of A and B for a {name} of this model; "
            "use it with the model it was trained on"
        )
    N, K = linear.out_features, linear.in_features
    if a_RK.dim() != 2 or b_NR.shape != (N, a_RK.shape[0]) or a_RK.shape[1] != K:
        raise ValueError(
            f"{name} in {folder / WEIGHTS} has shapes {list(a_RK.shape)} and "
            f"{list(b_NR.shape)} for a weight of {[N, K]}; use it with the model it was "
            "trained on"
        )
    if not (a_RK.isfinite().all() and b_NR.isfinite().all()):
        raise ValueError(
            f"{name} in {folder / WEIGHTS} holds numbers that are not finite; train the "
            "adapter again"
        )
    scale = _scale(config, name, a_RK.shape[0])
    if not math.isfinite(scale):
        raise ValueError(f"{folder / CONFIG} has no usable lora_alpha; train it again")
    return Update(a_RK=a_RK, b_NR=b_NR, scale=scale)


def _scale(config: dict[str, Any], name: str, rank: int) -> float:
    alpha: object = config.get("lora_alpha")
    for pattern, other in (config.get("alpha_pattern") or {}).items():
        if name == pattern or name.endswith(f".{pattern}"):
            alpha = other
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or rank < 1:
        return math.nan
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


# ---- a model's weights


_LINEARS = (nn.Linear, quant.QuantisedLinear)


def swap(
    model: Dream, base: Path, touched: Collection[str], adapter: Adapter | None
) -> None:
    """Put `adapter` (None: the bare model) where the weights named in `touched` were
    changed before. RuntimeError: the weights are lost, load the model again."""
    adapter, touched = adapter or {}, set(touched)
    fresh = {name for name in adapter if name not in touched}
    try:
        with torch.no_grad():
            for name, weight_NK in _held(model, fresh):
                _write(model, name, weight_NK, adapter)
            from_disk = (touched | adapter.keys()) - (fresh - _quantised(model))
            for name, weight_NK in _stored(base, from_disk):
                _write(model, name, weight_NK, adapter)
    except (ValueError, OSError) as error:
        raise RuntimeError(f"the base weights cannot be read: {error}") from error


def _quantised(model: Dream) -> set[str]:
    modules = model.named_modules()
    return {f"{n}.weight" for n, m in modules if isinstance(m, quant.QuantisedLinear)}


def _held(model: Dream, names: set[str]) -> Iterator[tuple[str, Tensor]]:
    """Weights that are still the base's, where the model holds them in full."""
    for name in sorted(names - _quantised(model)):
        yield name, _linear(model, name).weight


def _stored(base: Path, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Weights of the base from its files; nothing else of them is read."""
    left = set(names)
    for file in weight_files(base):
        with safe_open(file, framework="pt", device="cpu") as tensors:
            for name in sorted(left & set(tensors.keys())):
                left.discard(name)
                yield name, tensors.get_tensor(name)
    if left:
        raise ValueError(f"{base} lacks {min(left)}")


def _write(model: Dream, name: str, weight_NK: Tensor, adapter: Adapter) -> None:
    linear = _linear(model, name)
    device = linear.weight.device
    weight_NK = weight_NK.to(device)
    if (update := adapter.get(name)) is not None:
        weight_NK = weight_NK.float() + update.of(device)
    if isinstance(linear, quant.QuantisedLinear):
        small_NK, scale_N = quant.packed(weight_NK, linear.weight.dtype)
        linear.weight.copy_(small_NK)
        linear.scale.copy_(scale_N)
    else:
        linear.weight.copy_(weight_NK)


def _linear(model: Dream, name: str) -> Any:
    return model.get_submodule(name.removesuffix(".weight"))
