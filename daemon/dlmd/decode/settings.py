"""How to denoise: what a caller may choose, and the bounds of each number.

The first nine fields are the published decoder's. The others choose a rule for what is
committed at a step, and steer the decoder that keeps keys and values between steps. Must
not know tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dlmd.decode.commit import SCHEDULES

ALGORITHMS = ("origin", "maskgit_plus", "topk_margin", "entropy")
RULES = ("schedule", "threshold", "factor", "entropy_bound")


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """How to denoise. `steps` None: as many as a row has masks. No hidden filters:
    the published defaults truncate at top_k=50 unless told otherwise, ours do not.
    """

    algorithm: str = "entropy"
    steps: int | None = None
    eps: float = 1e-3
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    alg_temp: float | None = None
    schedule: str = "published"
    seed: int | None = None
    # What a step commits: as many as the schedule says, or by how sure the model is.
    rule: str = "schedule"
    threshold: float = 0.9  # rule threshold: every token at least so probable
    factor: float = (
        1.0  # rule factor: n tokens while (n + 1) * (1 - least of them) < this
    )
    entropy_bound: float = (
        0.1  # rule entropy_bound: nats, summed over all but the least sure
    )
    block: int | None = (
        None  # left to right, in blocks of so many places; None: anywhere
    )
    finish: float | None = (
        None  # mean lead in logits that ends a hole at once; None: never
    )
    # The cached decoder only.
    reach: int = 16  # neighbours on each side of a hole whose keys stay fresh
    refresh_share: float | None = None  # a full forward after this share of the masks
    refresh_tokens: int | None = None  # and after so many tokens
    doubt: float | None = None  # a step that chose by less of a lead is made again, so
    verify: bool = (
        False  # one more state, with what a full forward would now say otherwise
    )

    def __post_init__(self) -> None:
        expect("algorithm", self.algorithm, " or ".join(ALGORITHMS), ALGORITHMS)
        expect("schedule", self.schedule, " or ".join(SCHEDULES), SCHEDULES)
        expect("rule", self.rule, " or ".join(RULES), RULES)
        bounds = (
            ("steps", "at least 1", self.steps is None or self.steps >= 1),
            ("eps", "between 0 and 1", 0.0 < self.eps < 1.0),
            ("temperature", "at least 0", 0.0 <= self.temperature < float("inf")),
            ("top_p", "above 0, up to 1", self.top_p is None or 0 < self.top_p <= 1),
            ("top_k", "at least 1", self.top_k is None or self.top_k >= 1),
            ("seed", "0 to 2**63-1", self.seed is None or 0 <= self.seed < 2**63),
            ("alg_temp", "at least 0", self.alg_temp is None or self.alg_temp >= 0),
            ("threshold", "above 0, up to 1", 0 < self.threshold <= 1),
            ("factor", "above 0", self.factor > 0),
            ("entropy_bound", "at least 0", self.entropy_bound >= 0),
            ("block", "at least 1", self.block is None or self.block >= 1),
            ("finish", "above 0", self.finish is None or self.finish > 0),
            ("reach", "at least 0", self.reach >= 0),
            (
                "refresh_share",
                "above 0, up to 1",
                self.refresh_share is None or 0 < self.refresh_share <= 1,
            ),
            (
                "refresh_tokens",
                "at least 1",
                self.refresh_tokens is None or self.refresh_tokens >= 1,
            ),
            ("doubt", "above 0", self.doubt is None or self.doubt > 0),
        )
        for name, wanted, holds in bounds:
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)}; give {wanted}")
        if self.rule != "schedule" and self.steps is not None:
            raise ValueError(
                f"steps is {self.steps} and rule {self.rule!r}, which sets its own pace; "
                "give one of the two"
            )
        sure = self.rule != "schedule" or self.block or self.finish
        if sure and self.by_chance:
            raise ValueError(
                "a rule, block or finish goes by how sure the model is; leave temperature, "
                "alg_temp and origin out with them"
            )

    @property
    def by_lead(self) -> bool:
        """Whether something depends on how far the likeliest token leads the next."""
        return self.finish is not None or self.doubt is not None

    @property
    def by_chance(self) -> bool:
        """Whether anything is drawn: then a run follows the published order of draws."""
        shaken = bool(self.alg_temp)
        return self.temperature > 0 or shaken or self.algorithm == "origin"


def expect(name: str, value: str, wanted: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; give {wanted}")
