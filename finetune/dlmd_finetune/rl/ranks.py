"""Several processes that learn together, as `torchrun` starts them; one alone is one of one.

Each takes its share of a step's tasks, and what they add up is the adapter's gradient
alone: a few million numbers, whatever the model's size. Must not know models or tasks.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from dlmd.model import cuda
from torch import Tensor

PATIENCE = timedelta(hours=6)  # the others wait while one mines
GOODBYE = timedelta(seconds=30)
Thing = TypeVar("Thing")


def join() -> None:
    """Meet the others, if `torchrun` started us."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if cuda.cards() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)


def leave() -> None:
    """Together: gloo ends a process whose peer hangs up while they still talk."""
    if dist.is_initialized():
        with suppress(
            RuntimeError, ValueError
        ):  # one failed, or cards, which do not ask
            dist.monitored_barrier(timeout=GOODBYE)
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def refuse_one_alone() -> None:
    if count() == 1:
        raise ValueError(
            "--shard splits the weights among processes, and this is one alone; start "
            "several with `torchrun --nproc-per-node 2 -m dlmd tune REPO --shard`"
        )


def mine(things: Sequence[Thing]) -> list[Thing]:
    """This process's share."""
    return list(things[rank() :: count()])


def gathered(thing: Thing) -> list[Thing]:
    """What each process has, in the order of their ranks."""
    if count() == 1:
        return [thing]
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, thing)
    return found


def any_of(here: bool) -> bool:
    """Whether it is so in any process."""
    return any(gathered(here))


def led(act: Callable[[], Thing]) -> Thing:
    """What the first process finds, for all of them; its fault is everybody's."""
    if count() == 1:
        return act()
    found: list[Any] = [None, None]
    if rank() == 0:
        try:
            found[0] = act()
        except (ValueError, OSError) as fault:
            found[1] = fault
    dist.broadcast_object_list(found, src=0)
    if found[1] is not None:
        raise found[1]
    return found[0]


def summed(value: float) -> float:
    return float(sum(gathered(value)))


def summed_all(values: Tensor) -> list[float]:
    if count() > 1:
        dist.all_reduce(values)
    return values.tolist()


def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """One message for all of them."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if count() == 1:
        return
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    for grad, part in zip(
        grads, flat.split([grad.numel() for grad in grads]), strict=True
    ):
        grad.copy_(part.view_as(grad))
