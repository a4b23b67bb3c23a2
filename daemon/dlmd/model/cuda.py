"""Every `torch.cuda` call of the daemon: cards, memory, streams, graphs, the way to the host.

Each function has an answer without CUDA too: what runs on a card runs the same code on a
CPU, only without a graph and without a second stream. So the callers have no branches, and
the tests need no card. Must not know models, decoding or requests.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

Device: TypeAlias = str | torch.device
WARM_RUNS = 2  # before a capture: libraries pick kernels and allocate workspaces


# ---- cards ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    name: str
    device: str  # "cuda:0"
    capability: tuple[int, int]  # (8, 6) is Ampere, an RTX 30; (9, 0) is Hopper
    free: int  # bytes
    total: int


def cards() -> list[Card]:
    """The CUDA cards of this machine; none where there is no driver."""
    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(
            Card(
                name=torch.cuda.get_device_name(index),
                device=f"cuda:{index}",
                capability=torch.cuda.get_device_capability(index),
                free=free,
                total=total,
            )
        )
    return found


def choose(wanted: str) -> str:
    """The device that `wanted` stands for: "auto" and "cuda" take the emptier card."""
    if wanted == "cpu" or wanted == "mps":
        return wanted
    found = cards()
    if wanted.startswith("cuda:"):
        if wanted not in [card.device for card in found]:
            raise ValueError(
                f"device is {wanted}, but PyTorch finds {counted(found)} here; use auto, "
                "cpu or one of those cards"
            )
        return wanted
    if wanted == "cuda" and not found:
        raise ValueError(
            "device is cuda, but PyTorch finds no CUDA GPU here; use auto or cpu, or "
            "mend the driver"
        )
    if found:
        return emptier(found).device
    if wanted != "auto":
        raise ValueError(
            f"device is {wanted!r}; give auto, cpu, cuda, mps or a card such as cuda:1"
        )
    return "mps" if torch.backends.mps.is_available() else "cpu"


def emptier(found: list[Card]) -> Card:
    """The card with the most free memory; of equals the first."""
    return max(found, key=lambda card: card.free)


def counted(found: list[Card]) -> str:
    names = ", ".join(f"{card.device} ({card.name})" for card in found)
    return names or "no CUDA GPU"


def capability(device: Device) -> tuple[int, int] | None:
    """(major, minor) of a CUDA device, None of any other."""
    if torch.device(device).type != "cuda":
        return None
    return torch.cuda.get_device_capability(device)


# ---- memory and time ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    free: int  # bytes, of the card
    total: int
    taken: int  # by the tensors of this process
    most: int  # taken at any time since `forget_most`


def memory(device: Device) -> Memory | None:
    if torch.device(device).type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return Memory(
        free=free,
        total=total,
        taken=torch.cuda.memory_allocated(device),
        most=torch.cuda.max_memory_allocated(device),
    )


def forget_most(device: Device) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def give_back() -> None:
    """Free memory that no tensor holds returns to the card, for other programs."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def wait(device: Device) -> None:
    """Until everything asked of the device is done."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def take(device: Device) -> None:
    """Make `device` the calling thread's own: kernels and graphs go where it says."""
    if torch.device(device).type == "cuda":
        torch.cuda.set_device(device)


def milliseconds(
    step: Callable[[], object], device: Device, repeats: int
) -> list[float]:
    """How long each of `repeats` calls takes, by the device's own clock if it has one."""
    if torch.device(device).type != "cuda":
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            step()
            times.append((time.perf_counter() - began) * 1000)
        return times
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    marks[0].record()
    for mark in marks[1:]:
        step()
        mark.record()
    torch.cuda.synchronize(device)
    return [a.elapsed_time(b) for a, b in pairwise(marks)]


# ---- graphs ----


class Graphs:
    """Captures functions over static buffers, all from one pool of memory.

    A captured function replays the very kernels of its capture: same shapes, same
    addresses, and no Python. Elsewhere than on CUDA the function itself is called.
    """

    def __init__(self, device: Device) -> None:
        self.device = torch.device(device)
        self.captured = 0
        self._pool: Any = None
        self._stream: Any = None
        if self.device.type == "cuda":
            take(self.device)
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = torch.cuda.Stream(self.device)

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """What runs `step` again. `step` runs a few times first, for real."""
        self.captured += 1
        if self.device.type != "cuda":
            return step
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_RUNS):
                step()
        torch.cuda.current_stream().wait_stream(self._stream)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        # A collection in the middle may free what a capture must not; other threads of
        # the process may go on using the device.
        collecting = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._stream,
                capture_error_mode="thread_local",
            ):
                step()
        finally:
            if collecting:
                gc.enable()
        replay: Callable[[], None] = graph.replay
        return replay


# ---- the way to the host ----


class Outbox:
    """A ring of records that leave the device while it goes on working.

    The device writes record n into `ring[n % slots]`; `send(n)` copies that slot on a
    stream of its own into pinned memory; `read(n)` waits for this copy alone. Who sends
    `slots` records without reading one would overwrite it: that is our own fault.
    """

    def __init__(
        self, slots: int, width: int, dtype: torch.dtype, device: Device
    ) -> None:
        self.device = torch.device(device)
        self.slots = slots
        self.ring_RX = torch.zeros(slots, width, dtype=dtype, device=self.device)
        on_card = self.device.type == "cuda"
        self.host_RX = torch.zeros(
            slots, width, dtype=dtype, device="cpu", pin_memory=on_card
        )
        self._copied: list[Any] = [None] * slots
        self._stream: Any = torch.cuda.Stream(self.device) if on_card else None
        self._sent = self._read = 0

    def send(self, n: int) -> None:
        assert n == self._sent, f"record {n} is sent, {self._sent} was due"
        assert n - self._read < self.slots, "the ring is full: read before you send"
        self._sent += 1
        at = n % self.slots
        if self._stream is None:
            self.host_RX[at].copy_(self.ring_RX[at])
            return
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            self.host_RX[at].copy_(self.ring_RX[at], non_blocking=True)
            event = torch.cuda.Event()
            event.record(self._stream)
        self._copied[at] = event

    def read(self, n: int) -> Tensor:
        """Record n, on the host: a copy, so that its slot is free again."""
        assert n == self._read < self._sent, f"record {n} is read before it was sent"
        at = n % self.slots
        if self._copied[at] is not None:
            self._copied[at].synchronize()
        self._read += 1
        return self.host_RX[at].clone()

    @property
    def taken(self) -> int:
        """The next record to read."""
        return self._read

    def restart(self) -> None:
        """Begin at record 0 again; what was sent and not read is dropped."""
        for n in range(self._read, self._sent):
            if self._copied[n % self.slots] is not None:
                self._copied[n % self.slots].synchronize()
        self._sent = self._read = 0
