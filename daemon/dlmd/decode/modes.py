"""What a request may choose, and what its mode means for the decoder.

`exact` runs the published decoder; `quality` and `fast` keep keys and values between
steps, and differ in how often they look at everything again and in how much a step
commits. Must not know tensors, documents or clients.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

from dlmd.decode.settings import DecodeSettings

MODES = ("exact", "quality", "fast")
# With 32 neighbours a stale key moves a logit by some hundredths, so that only near ties
# need a full forward: one step in twenty. Figures in docs/experiments.md.
PRESETS: dict[str, dict[str, Any]] = {
    "exact": {},
    "quality": {"reach": 32, "doubt": 0.05},
    "fast": {"rule": "entropy_bound", "entropy_bound": 0.1, "refresh_tokens": 32},
}
# A draw has no near ties: full forwards come by what was committed.
DRAWN: dict[str, dict[str, Any]] = {"quality": {"reach": 32, "refresh_share": 0.25}}
# What goes by the model's certainty, and so neither with a given pace nor with chance.
OWN_PACE = ("rule", "entropy_bound", "threshold", "factor", "finish", "block")


@dataclass(frozen=True, slots=True, kw_only=True)
class InfillSettings:
    """`tokens_per_step` sets the number of steps, as DiffuCoder's users know it; given it
    or `steps`, or a temperature, every mode commits by that schedule. Candidate c of `n`
    draws from `seed` + c."""

    mode: str = "exact"
    steps: int | None = None
    tokens_per_step: float | None = None
    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    n: int = 1
    by_token: bool = False  # states tell of each token by itself

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; give {' or '.join(MODES)}")
        if self.n < 1:
            raise ValueError(f"n is {self.n}; give at least 1 candidate")
        if self.steps is not None and self.tokens_per_step is not None:
            raise ValueError(
                "both steps and tokens_per_step are given; give one of the two"
            )
        if self.tokens_per_step is not None and not self.tokens_per_step > 0:
            raise ValueError(
                f"tokens_per_step is {self.tokens_per_step}; give a number above 0"
            )
        self.decoding(masks=1)  # the bounds of the other numbers are the decoder's

    @property
    def cached(self) -> bool:
        return self.mode != "exact"

    def decoding(self, masks: int) -> DecodeSettings:
        steps = self.steps
        if self.tokens_per_step is not None:
            steps = max(1, ceil(masks / self.tokens_per_step))
        preset = PRESETS[self.mode]
        if self.temperature > 0:
            preset = DRAWN.get(self.mode, preset)
        if steps is not None or self.temperature > 0:
            preset = {name: preset[name] for name in preset if name not in OWN_PACE}
        return DecodeSettings(
            steps=steps,
            temperature=self.temperature,
            top_p=self.top_p,
            schedule="even",
            seed=self.seed,
            **preset,
        )
