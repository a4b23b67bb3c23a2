"""A real adapter, made by PEFT on a tiny model, with updates large enough to be seen.

Must not know where adapters are kept, nor how they are merged.
"""

from pathlib import Path
from typing import Any

import torch
from dlmd.model import load

ALL = [f"{part}_proj" for part in ("q", "k", "v", "o", "gate", "up", "down")]


def peft_model(base: Path, *, seed: int = 0, size: float = 0.3, **config: Any) -> Any:
    """The model in `base` with an adapter that changes what it says."""
    from peft import LoraConfig, get_peft_model  # seconds

    chosen: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ALL}
    model = get_peft_model(load(base), LoraConfig(**(chosen | config)))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * size
    return model


def saved_adapter(base: Path, folder: Path, **config: Any) -> Path:
    peft_model(base, **config).save_pretrained(folder)
    return folder
