"""Does the agreement of cached decoding with exact mode fall with the depth of the model?

    .venv/bin/python bench/depth.py FOLDER --models RUN/model RUN/model --out results

The same holes and plans as `fidelity.py`, for models that differ in depth only (short
trainings on the same data), one line for each model and plan. Results are kept, one file
for each model.
"""

import argparse
from pathlib import Path

from cut_holes import BUCKETS, cut_holes
from dlmd_finetune.evidence.ledger import open_ledger
from fidelity import (
    DOUBTFUL,
    EXACT,
    add_flags,
    agreements,
    open_subject,
    rows_of,
    share,
    split,
)

COLUMNS = (
    "layers", "plan", "agree %", "agree by length %", "agree where exact < 0.9 %",
    "exact match %", "full forwards, % of exact's", "tokens a forward",
)  # fmt: skip


def lines_of(model: Path, given: argparse.Namespace) -> list[str]:
    subject = open_subject(model, given.context, given.dtype)
    cuts = cut_holes(given.folder, subject.tokenizer, given.holes, given.seed)
    cuts = cuts[: given.first]
    depth = subject.model.config.num_hidden_layers
    lines = []
    with open_ledger(given.out / f"depth-{subject.digest}.jsonl", wait=False) as ledger:
        exact = list(rows_of(subject, cuts, EXACT, ledger))
        full = sum(row["full"] for row in exact)
        for plan in [EXACT, *given.plans]:
            rows = list(rows_of(subject, cuts, plan, ledger))
            by_length = [
                share(agreements(*split(exact, rows, b))) for b in range(len(BUCKETS))
            ]
            forwards = sum(row["full"] + row["cached"] for row in rows)
            cells = (
                str(depth),
                plan,
                f"{share(agreements(exact, rows)):.1f}",
                " / ".join(f"{value:.1f}" for value in by_length),
                f"{share(agreements(exact, rows, DOUBTFUL)):.1f}",
                f"{share([row['right'] for row in rows]):.1f}",
                f"{100 * sum(row['full'] for row in rows) / full:.1f}",
                f"{sum(len(row['tokens']) for row in rows) / forwards:.2f}",
            )
            lines.append(" | ".join(cells))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Agreement by depth.")
    add_flags(parser, holes=(100, 100, 50))
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    given = parser.parse_args()
    table = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    for model in given.models:
        table += lines_of(model, given)
    print("\n".join(f"| {line} |" for line in table))


if __name__ == "__main__":
    main()
