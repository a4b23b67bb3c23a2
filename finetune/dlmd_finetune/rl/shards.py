"""Weights that lie in parts, one in each process, while a step is learnt (FSDP2).

What is split are the frozen weights: the adapter is small, stays whole in every process, and
its gradient is added up as without this. Between steps the weights lie whole again, because
processes that write rollouts take forwards of their own, and a split weight is only there
when all ask for it. So in the step itself all take the same forwards in the same order:
`even` says how many. Must not know losses or tasks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dlmd.model import Dream, adapting
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from dlmd_finetune.rl import ranks


def split(model: Dream) -> None:
    """Each layer by itself, and what is left. ValueError: there is nobody to share with."""
    ranks.refuse_one_alone()
    device = model.lm_head.weight.device.type
    mesh = init_device_mesh(device, (ranks.count(),))
    own: Any = set(adapting.learning(model))
    for part in (*model.model.layers, model):
        fully_shard(part, mesh=mesh, ignored_params=own)
    gather(model)


def parts(model: Any) -> list[FSDPModule]:
    return [part for part in model.modules() if isinstance(part, FSDPModule)]


def gather(model: Any) -> None:
    """Whole in every process, until `apart`."""
    for part in parts(model):
        part.set_reshard_after_forward(False, recurse=False)
        part.set_reshard_after_backward(False, recurse=False)
        part.unshard()


@contextmanager
def apart(model: Any) -> Iterator[None]:
    """In parts for as long as this lasts; all processes enter and leave together."""
    for part in parts(model):
        part.set_reshard_after_forward(part is not model, recurse=False)
        part.set_reshard_after_backward(True, recurse=False)
        part.reshard()
    try:
        yield
    finally:
        gather(model)


def even(model: Any, count: int) -> int:
    """How many forwards each process takes where this one has `count` of its own."""
    return max(ranks.gathered(count)) if parts(model) else count
