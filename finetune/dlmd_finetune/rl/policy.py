"""The policy: a model with an adapter that learns, and the same model as it writes.

On a processor, and for small models, what writes is a second copy with the adapter merged,
as the daemon will have it; a model too large for two copies, or one in eight bits, writes
as it learns. Must not
know tasks, rewards or files of a repository.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from dlmd import profiles
from dlmd.decode import Tokenizer
from dlmd.model import Dream, adapting, load

from dlmd_finetune.rl import shards
from dlmd_finetune.rl.rollout import Writer

TWICE_BYTES = 4 * 2**30  # weights up to this size may be there twice
LARGE = 10**9  # parameters; of this size the published rates are
# Below that size, and from it on. Adam makes steps of rewards dealt by chance as long as of
# earned ones: at 1e-3 twenty of them carried the small model to what the gate calls better.
RATES = (3e-4, 2e-5)
BETAS = (0.9, 0.99)


@dataclass(slots=True, kw_only=True)
class Policy:
    folder: Path  # of the base
    trained: Dream
    writing: Dream
    writer: Writer
    optimiser: torch.optim.Optimizer

    def refresh(self) -> None:
        """From now on it writes with what it has learnt."""
        if self.writing is not self.trained:
            adapting.show(self.trained, self.writing)

    def state(self) -> dict[str, Any]:
        return {
            "adapter": adapting.state(self.trained),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        adapting.restore(self.trained, state["adapter"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.refresh()

    def wear(self, adapter: dict[str, torch.Tensor] | None) -> None:
        """Write with these weights; None: as the base does. Forgets what was learnt."""
        tensors = adapter or {
            name: torch.zeros_like(half)
            for name, half in adapting.state(self.trained).items()
        }
        adapting.restore(self.trained, tensors)
        self.refresh()


def open_policy(
    folder: Path,
    *,
    device: str = "cpu",
    rank: int = 16,
    rate: float | None = None,
    seed: int = 0,
    context: int | None = None,
    mode: str = "fast",
    bits: int = 16,
    shard: bool = False,
) -> Policy:
    """The model in `folder` with a fresh adapter. bfloat16 where the device is made for
    it; float32 on a CPU, where a run that was killed goes on bit by bit. `bits` 8: the base in
    int8, turned back for each product; the adapter stays as it is. `shard`: the base in parts, one in
    each process, while a step is learnt."""
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    profile = profiles.for_folder(folder)
    quantise = "int8" if bits == 8 else "none"
    trained = load(folder, device=device, dtype=dtype, quantise=quantise)
    size = sum(p.numel() for p in trained.parameters())
    twice = bits != 8 and not shard and size * dtype.itemsize <= TWICE_BYTES
    writing = copy.deepcopy(trained) if twice else trained
    adapting.attach(trained, rank=rank, alpha=2 * rank, seed=seed)
    trained.recompute = size >= LARGE
    if shard:
        shards.split(trained)
    if rate is None:
        rate = RATES[size >= LARGE]
    return Policy(
        folder=folder,
        trained=trained,
        writing=writing,
        writer=Writer(
            network=writing,
            tokenizer=Tokenizer.load(folder),
            profile=profile,
            context=min(context or profile.context, profile.context),
            mode=mode,
        ),
        optimiser=torch.optim.AdamW(
            adapting.learning(trained), lr=rate, betas=BETAS, weight_decay=0.0
        ),
    )
