"""The flags of `dlmd bench`. Must not know how anything is measured."""

from dataclasses import dataclass, field
from pathlib import Path

from dlmd.settings import Mode

SHAPES = ("embedded", "100m", "1b", "7b")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    files: list[Path] | None = field(
        default=None,
        metadata={
            "help": "Source files to take holes from, not the standard library's."
        },
    )
    infills: int = field(
        default=40, metadata={"help": "Infills measured, after 3 that are not."}
    )
    context: int | None = field(
        default=None,
        metadata={
            "help": "Tokens around a hole, at least; without it, what the daemon sees."
        },
    )
    tokens: int | None = field(
        default=None,
        metadata={"help": "Length of a hole; without it the model finds its own."},
    )
    mode: Mode | None = field(
        default=None, metadata={"help": "How to decode; without it, as is set."}
    )
    tokens_per_step: float | None = field(
        default=None, metadata={"help": "Tokens committed at a step."}
    )
    steps: int | None = field(default=None, metadata={"help": "Denoising steps."})
    grid: bool = field(
        default=False,
        metadata={"help": "Context, hole and prefix:suffix varied, instead."},
    )
    busy: bool = field(
        default=False,
        metadata={
            "help": "Idle cores against cores that other processes load, instead."
        },
    )
    agreement: bool = field(
        default=False,
        metadata={"help": "What quality and fast cost in fidelity, on FILES, instead."},
    )
    shape: str | None = field(
        default=None,
        metadata={
            "help": f"Random weights of a shape, in this process: {', '.join(SHAPES)}."
        },
    )
    device: str = field(
        default="auto", metadata={"help": "With --shape: where it runs."}
    )
    json: bool = field(
        default=False, metadata={"help": "One JSON object, for scripts."}
    )

    def __post_init__(self) -> None:
        least = 2 if self.context is None else self.context
        if self.infills < 1 or least < 2:
            raise ValueError(
                f"--infills is {self.infills} and --context {self.context}; "
                "expected at least 1 and at least 2"
            )
        if self.shape not in (None, *SHAPES):
            raise ValueError(
                f"--shape is {self.shape!r}; known are {', '.join(SHAPES)}"
            )
        chosen = [name for name in ("grid", "busy", "agreement") if getattr(self, name)]
        if len(chosen) > 1 or (self.shape and set(chosen) - {"grid"}):
            flags = " and ".join(f"--{name}" for name in chosen)
            raise ValueError(
                f"{flags} {'with --shape ' if self.shape else ''}cannot be measured in one "
                "run; ask for one at a time"
            )
