"""`dlmd eval order`: how temperature changes the order of commits, and what comes of it.

The curves of DiffuCoder (arXiv 2506.20639, section 4): AR-ness, diversity of orders and of
texts, and pass@k, against temperature; and heat maps of when each part of a hole is filled.
Each temperature is one run of the ruler, kept and resumed as such. The samples of a task are
rows of one batch, and programs that are alike run once: that is what makes thousands of
samples affordable on a CPU. Must not decode.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dlmd_finetune.evidence.calibration import calibration_error, reliability
from dlmd_finetune.evidence.evaluate import EvalConfig, Found, run
from dlmd_finetune.evidence.ledger import Row
from dlmd_finetune.evidence.tasks import Task, counted

LOCAL, GLOBAL = (1, 2, 3, 4), (1, 2, 3, 4)
CELLS = 12  # of a heat map, each way
Rates = dict[str, Any]  # of intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfig(EvalConfig):
    temperature: float = field(default=1.0, metadata={"no_flag": True})
    temperatures: str = field(
        default="0.2,0.5,0.8,1.0,1.2,1.5", metadata={"help": "The temperatures to try."}
    )
    # One full forward for all samples of a task, then steps over a window of the hole.
    mode: str = field(
        default="quality", metadata={"help": "exact, quality or fast decoding."}
    )
    # A length found beforehand is one for all samples, and short: no order to speak of.
    length: str = field(
        default="24",
        metadata={
            "help": "Masks of a hole, which padding labels may leave empty; or auto, oracle."
        },
    )
    samples: int = field(default=32, metadata={"help": "Answers to each task."})
    k: str = field(default="1,5,10", metadata={"help": "pass@k for these k."})
    limit: int | None = field(
        default=100, metadata={"help": "Only so many tasks, drawn by --seed."}
    )
    pictures: Path | None = field(
        default=None, metadata={"help": "A folder for SVG pictures."}
    )

    def __post_init__(self) -> None:
        EvalConfig.__post_init__(self)
        if self.answers != "model":
            raise ValueError(
                f"--answers is {self.answers!r}, which commits no tokens; only a model has "
                "an order, so leave --answers out"
            )

    @property
    def heats(self) -> list[float]:
        try:
            found = [float(part) for part in self.temperatures.split(",")]
        except ValueError:
            found = []
        if not found or not all(0 < heat < 10 for heat in found):
            raise ValueError(
                f"--temperatures is {self.temperatures!r}; expected numbers above 0 such "
                "as 0.2,1.0"
            )
        return found


def main(config: OrderConfig) -> int:
    figures = sweep(config)
    print(json.dumps(figures, indent=2) if config.json else table(figures))
    return 0


def sweep(config: OrderConfig) -> dict[str, Any]:
    if config.pictures is not None:
        make(config.pictures)
    found = {heat: run(_at(config, heat), "infilling") for heat in config.heats}
    figures = {
        heat: analysed(each.tasks, each.rows, config.ks, config.seed)
        for heat, each in found.items()
    }
    if config.pictures is not None:
        _draw(config.pictures, figures, found)
    return {
        "tasks": len(next(iter(found.values())).tasks),
        "samples": config.samples,
        "temperatures": {f"{heat:g}": _plain(each) for heat, each in figures.items()},
        "results": [str(each.results) for each in found.values()],
    }


def make(folder: Path) -> None:
    """Before hours of answers that could not be drawn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write pictures to {folder}: {error.strerror}; name another folder "
            "with --pictures"
        ) from error


def _at(config: OrderConfig, heat: float) -> EvalConfig:
    """The same run as by `dlmd eval infilling --temperature`."""
    shared = {each.name: getattr(config, each.name) for each in fields(EvalConfig)}
    return replace(EvalConfig(**shared), temperature=heat)


def analysed(
    tasks: Sequence[Task], rows: Sequence[Row], ks: Sequence[int], seed: int
) -> Rates:
    """Figures of one temperature; intervals by bootstrap over problems."""
    from dlmd_finetune.evidence.order import arness, diversity
    from dlmd_finetune.evidence.statistics import (
        mean_interval,
        pass_at_k,
        share_interval,
    )

    known = {task.task_id: task for task in tasks}
    # Not in the order in which programs happened to end: bootstrap draws by position.
    rows = sorted(rows, key=lambda row: (row["task"], row.get("sample", 0)))
    of_task: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_task[row["task"]].append(row)
    problems = [known[task].problem for task in of_task]
    orders = [tuple(row["order"]) for row in rows]
    owners = [known[row["task"]].problem for row in rows]

    def mean_of(values: Sequence[float]) -> Any:
        return mean_interval(values, problems, seed=seed)

    passed = {task: [r["kind"] == "passed" for r in of] for task, of in of_task.items()}
    sure = [(r["certainty"], r["kind"] == "passed") for r in rows if r["certainty"]]
    bins = reliability([sum(c) / len(c) for c, _ in sure], [hit for _, hit in sure])
    return {
        **{f"local@{k}": arness(orders, owners, k, scope="local", seed=seed) for k in LOCAL},
        **{f"global@{k}": arness(orders, owners, k, scope="global", seed=seed) for k in GLOBAL},
        "orders": mean_of([diversity([tuple(r["order"]) for r in of]) for of in of_task.values()]),
        "bodies": mean_of([
            diversity([counted(known[task], r["text"]) for r in of])
            for task, of in of_task.items()
        ]),
        **{
            f"pass@{k}": share_interval(
                [pass_at_k(len(p), sum(p), k) for p in passed.values()], problems, seed=seed
            )
            for k in ks
        },
        "calibration error": calibration_error(bins) if bins else None,
        "reliability": [asdict(each) for each in bins],
        "tokens a forward": sum(r["tokens"] for r in rows)
        / max(1, sum(r["forwards"] for r in rows)),
    }  # fmt: skip


def _plain(figures: Rates) -> dict[str, Any]:
    from dlmd_finetune.evidence.statistics import Interval

    return {
        name: asdict(each) if isinstance(each, Interval) else each
        for name, each in figures.items()
    }


def table(figures: Mapping[str, Any]) -> str:
    """A row for each temperature, in Markdown; intervals of 95 % in brackets."""
    heats = figures["temperatures"]
    names = [name for name in next(iter(heats.values())) if name != "reliability"]
    lines = [
        f"{figures['tasks']} tasks, {figures['samples']} samples each",
        "",
        f"| T | {' | '.join(names)} |",
        f"| --- | {' | '.join('---' for _ in names)} |",
    ]
    for heat, each in heats.items():
        lines.append(f"| {heat} | {' | '.join(_cell(each[name]) for name in names)} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _draw(
    folder: Path, figures: Mapping[float, Rates], found: Mapping[float, Found]
) -> None:
    from dlmd_finetune.evidence.order import heat_map
    from dlmd_finetune.evidence.pictures import curves, heat

    def lines(*names: str) -> dict[str, Any]:
        return {
            name: {
                t: each[name] for t, each in figures.items() if each[name] is not None
            }
            for name in names
        }

    passes = [name for name in next(iter(figures.values())) if name.startswith("pass@")]
    pictures = {
        "arness": curves("AR-ness", "temperature", lines("local@1", "local@2", "global@1", "global@2")),
        "diversity": curves("distinct among the samples", "temperature", lines("orders", "bodies")),
        "pass": curves("pass@k", "temperature", lines(*passes)),
    }  # fmt: skip
    for t in (min(found), max(found)):
        orders = [row["order"] for row in found[t].rows if len(row["order"]) >= CELLS]
        shares = heat_map(orders, CELLS)
        pictures[f"order-{t:g}"] = heat(
            f"when each part is filled, T = {t:g}",
            "left to right",
            "first to last",
            shares,
        )
    for name, picture in pictures.items():
        (folder / f"{name}.svg").write_text(picture)
