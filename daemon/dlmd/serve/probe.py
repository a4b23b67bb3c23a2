"""A loaded model's masked-diffusion loss on a text, as it is and with one thing changed.

Every setting sees the same masks, so that two losses differ by the setting alone. No
chance in it: masks lie at fixed distances. What is changed is put back. Must not know
files, nor what loss is good enough.

Shapes: R rows, T positions, N masked ones, V vocabulary.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dlmd.profiles import Profile

LENGTH = 256
EVERY = 6  # one token in so many is masked
ROWS, FEW_ROWS = 6, 1  # all of them, each token masked once; few where that takes long
LARGE = 1_000_000_000  # parameters, on a CPU
RIVALS = 4  # other ids tried as the mask
BIASED = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    model: Any
    profile: Profile
    names: dict[int, str]  # of control tokens
    tokens_T: Tensor
    masked_RT: Tensor

    @classmethod
    def of(cls, model: Any, tokenizer: Any, profile: Profile, text: str) -> "Probe":
        begin = [] if profile.bos_id is None else [profile.bos_id]
        ids = (begin + tokenizer.encode(text))[:LENGTH]
        device = next(model.parameters()).device
        at_T = torch.arange(len(ids), device=device)
        size = sum(weight.numel() for weight in model.parameters())
        rows = FEW_ROWS if device.type == "cpu" and size > LARGE else ROWS
        apart = [
            (at_T % EVERY == row * EVERY // rows) & (at_T > 1) for row in range(rows)
        ]
        return cls(
            model=model,
            profile=profile,
            names=dict(tokenizer.names),
            tokens_T=torch.tensor(ids, device=device),
            masked_RT=torch.stack(apart),
        )

    @property
    def count(self) -> int:
        return int(self.masked_RT.sum())

    @property
    def chance(self) -> float:
        return math.log(self.model.config.vocab_size)

    @property
    def theta(self) -> float:
        return float(self.model.config.rope_theta)

    def loss(
        self,
        *,
        shifted: bool = True,
        mask_id: int | None = None,
        theta: float | None = None,
        biases: bool = True,
    ) -> float:
        """Nats a masked token, on average."""
        mask = self.profile.mask_id if mask_id is None else mask_id
        rows = self.tokens_T.expand_as(self.masked_RT)
        seen_RT = rows.masked_fill(self.masked_RT, mask)
        at_N = self.masked_RT.flatten().nonzero()[:, 0]
        with contextlib.ExitStack() as changed:
            changed.enter_context(torch.inference_mode())
            if theta is not None:
                changed.enter_context(turned(self.model, theta))
            if not biases:
                changed.enter_context(unbiased(self.model))
            logits_NV = self.model(seen_RT, rows_N=at_N - 1 if shifted else at_N)
        return F.cross_entropy(logits_NV.float(), rows[self.masked_RT]).item()

    def rivals(self) -> list[int]:
        """Control tokens that could be the mask: by their name, then by how near they are."""
        mask, size = self.profile.mask_id, self.model.config.vocab_size
        others = [each for each in self.names if each != mask and each < size]

        def nearness(each: int) -> tuple[bool, int]:
            return "mask" not in self.names[each].casefold(), abs(each - mask)

        return sorted(others, key=nearness)[:RIVALS]

    def dead_biases(self) -> list[str]:
        return [name for name, bias in biases_of(self.model) if not bias.any()]


def biases_of(model: Any) -> Iterator[tuple[str, Tensor]]:
    for number, layer in enumerate(model.model.layers):
        for name in BIASED:
            yield f"layers.{number}.{name}.bias", getattr(layer.self_attn, name).bias


@contextlib.contextmanager
def turned(model: Any, theta: float) -> Iterator[None]:
    before = model.config
    model.config = replace(before, rope_theta=theta)
    try:
        yield
    finally:
        model.config = before


@contextlib.contextmanager
def unbiased(model: Any) -> Iterator[None]:
    kept = [(bias, bias.detach().clone()) for _, bias in biases_of(model)]
    for bias, _ in kept:
        bias.data.zero_()
    try:
        yield
    finally:
        for bias, before in kept:
            bias.data.copy_(before)
