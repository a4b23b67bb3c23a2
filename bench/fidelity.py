"""What each shortcut of decoding costs in fidelity, against exact mode at one token a step.

    .venv/bin/python bench/fidelity.py FOLDER --out results.jsonl

Cuts holes from files in FOLDER (source or wheels, which the model must not have been trained
on), gives each hole its true length, and decodes it by exact mode and by every plan. A plan
is a mode (`quality`, `fast`), settings of the cached decoder, as `settings_of` reads them,
or `exact-bfloat16`: exact mode in numbers of fewer bits. What was decoded is kept in the
results file: started again, it goes on where it was. Agreement needs no quiet machine.
Knows no clients and no daemon.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import torch
from cut_holes import BUCKETS, Cut, bucket_of, cut_holes
from dlmd.decode import (
    Canvas,
    DecodeSettings,
    Hole,
    InfillSettings,
    Tokenizer,
    denoise,
    denoise_cached,
)
from dlmd.decode.canvas import lay_out
from dlmd.decode.modes import MODES
from dlmd.decode.places import Places
from dlmd.model import Dream, load
from dlmd.profiles import EMBEDDED_FOLDER, Profile, for_folder
from dlmd_finetune.evidence.ledger import Ledger, Row, key_of, open_ledger
from dlmd_finetune.evidence.statistics import paired_difference
from torch import Tensor

EXACT = "exact"
HALVES = "exact-bfloat16"  # exact mode too, by weights and sums of fewer bits
DOUBTFUL = 0.9  # tokens that exact mode committed with less confidence than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model under test and what its results depend on besides the plan."""

    folder: Path
    model: Dream
    tokenizer: Tokenizer
    profile: Profile
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPadding:
    """An `Ending` for holes of known length: padding is no choice in them. Left in, it
    would fill most of a long hole and agree with itself."""

    pad_ids: tuple[int, ...]

    def bar(self, tokens_BT: Tensor, places: Places, logits_BMV: Tensor) -> Tensor:
        logits_BMV[..., list(self.pad_ids)] = torch.finfo(logits_BMV.dtype).min
        return logits_BMV

    def settle(self, tokens_BT: Tensor, places: Places, x0_BM: Tensor) -> Tensor:
        return tokens_BT

    def end(self, tokens_BT: Tensor) -> Tensor:
        return tokens_BT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    tokens: list[int]
    sure: list[float]
    full: int
    cached: int
    rows: int  # positions that went through the layers, over all forwards


# ---- decoding one hole ----


def open_subject(folder: Path, context: int, dtype: str = "float32") -> Subject:
    weights = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        weights.update(file.read_bytes())
    profile = replace(for_folder(folder), context=context)
    return Subject(
        folder=folder,
        model=load(folder, dtype=getattr(torch, dtype)),
        tokenizer=Tokenizer.load(folder),
        profile=profile,
        digest=f"{weights.hexdigest()[:12]}-{dtype}",
    )


def lay(subject: Subject, cut: Cut) -> tuple[Canvas, range]:
    parts = [cut.before, Hole(length=cut.tokens), cut.after]
    layout = lay_out(parts, subject.tokenizer, subject.profile)
    tokens_BT = torch.tensor([layout.tokens])
    return Canvas(tokens_BT, mask_id=subject.profile.mask_id), layout.holes[0]


@lru_cache(maxsize=1)
def in_halves(folder: Path) -> Dream:
    return load(folder, dtype=torch.bfloat16)


def decode(subject: Subject, cut: Cut, plan: str) -> Outcome:
    canvas, hole = lay(subject, cut)
    decoder = denoise if plan in (EXACT, HALVES) else denoise_cached
    states = decoder(
        in_halves(subject.folder) if plan == HALVES else subject.model,
        canvas,
        settings_of(plan, cut.tokens),
        ending=NoPadding(pad_ids=subject.profile.pad_ids),
    )
    *_, last = states
    assert last.confidence_BT is not None
    return Outcome(
        tokens=last.tokens_BT[0, hole.start : hole.stop].tolist(),
        sure=last.confidence_BT[0, hole.start : hole.stop].exp().tolist(),
        full=last.forwards_full,
        cached=last.forwards_cached,
        rows=last.query_rows,
    )


def settings_of(plan: str, masks: int) -> DecodeSettings:
    """A mode's own settings, or `field=value,field=value` of `DecodeSettings`;
    `per_step=2` stands for the number of steps that commit two tokens each."""
    if plan in (EXACT, HALVES):
        return DecodeSettings(schedule="even")
    if plan in MODES:
        return InfillSettings(mode=plan).decoding(masks=masks)
    known = {field.name for field in fields(DecodeSettings)}
    values: dict[str, Any] = {"schedule": "even"}
    for part in plan.split(","):
        name, _, value = part.partition("=")
        if name == "per_step":
            name, value = "steps", str(ceil(masks / int(value)))
        if name not in known or not value:
            raise ValueError(
                f"{part!r} is no plan; give {' or '.join(MODES)}, or settings such as "
                "rule=threshold,threshold=0.9,reach=16,refresh_tokens=8"
            )
        number = float(value) if "." in value else value
        values[name] = int(value) if value.isdecimal() else number
    return DecodeSettings(**values)


def row_of(subject: Subject, cut: Cut, plan: str, key: str) -> Row:
    outcome = decode(subject, cut, plan)
    return {
        "key": key,
        "plan": plan,
        "path": cut.path,
        "bucket": bucket_of(cut.tokens),
        "right": subject.tokenizer.decode(outcome.tokens) == cut.text,
        "tokens": outcome.tokens,
        "sure": [round(value, 4) for value in outcome.sure],
        "full": outcome.full,
        "cached": outcome.cached,
        "rows": outcome.rows,
    }


def rows_of(
    subject: Subject, cuts: Sequence[Cut], plan: str, ledger: Ledger
) -> Iterator[Row]:
    """One row for each hole, decoded now or on an earlier day."""
    for cut in cuts:
        # By what a mode means today: its name alone would find what it meant earlier.
        how = plan
        if plan not in (EXACT, HALVES):
            how = str(settings_of(plan, cut.tokens))
        place = [cut.path, len(cut.before), cut.text]
        key = key_of(subject.digest, subject.profile.context, place, how)
        if key not in ledger.rows:
            ledger.add(row_of(subject, cut, plan, key))
        yield ledger.rows[key]


# ---- figures ----


def share(hits: Sequence[bool]) -> float:
    return 100 * sum(hits) / len(hits) if hits else float("nan")


def agreements(
    exact: Sequence[Row], plan: Sequence[Row], below: float = 2.0
) -> list[bool]:
    """Token by token, where exact mode was less sure than `below`."""
    return [
        ours == theirs
        for oracle, row in zip(exact, plan, strict=True)
        for ours, theirs, sure in zip(
            row["tokens"], oracle["tokens"], oracle["sure"], strict=True
        )
        if sure < below
    ]


def figures(name: str, exact: Sequence[Row], plan: Sequence[Row]) -> list[str]:
    """One line of the table: agreement, exact match, price."""
    right = [row["right"] for row in plan]
    gap = paired_difference(
        right,
        [row["right"] for row in exact],
        [row["path"] for row in exact],
        seed=0,
    )
    full = sum(row["full"] for row in plan)
    cached = sum(row["cached"] for row in plan)
    same = [
        agreements(*both)
        for b in range(len(BUCKETS))
        for both in [split(exact, plan, b)]
    ]
    matches = [
        share([row["right"] for row in plan if row["bucket"] == b])
        for b in range(len(BUCKETS))
    ]
    return [
        name,
        f"{share(agreements(exact, plan)):.1f}",
        " / ".join(f"{share(hits):.1f}" for hits in same),
        f"{share(agreements(exact, plan, DOUBTFUL)):.1f}",
        " / ".join(f"{match:.1f}" for match in matches),
        f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]",
        f"{100 * full / sum(row['full'] for row in exact):.1f}",
        f"{full / len(plan):.1f}",
        f"{cached / len(plan):.1f}",
        f"{sum(len(row['tokens']) for row in plan) / (full + cached):.2f}",
        f"{sum(row['rows'] for row in plan) / len(plan):,.0f}",
    ]


def split(
    exact: Sequence[Row], plan: Sequence[Row], bucket: int
) -> tuple[list[Row], list[Row]]:
    pairs = [(a, b) for a, b in zip(exact, plan, strict=True) if a["bucket"] == bucket]
    return [a for a, _ in pairs], [b for _, b in pairs]


COLUMNS = (
    "plan", "agree %", "agree by length %", "agree where exact < 0.9 %",
    "exact match by length %", "exact match - exact's [95 %]", "full forwards, % of exact's",
    "full", "cached", "tokens a forward", "query rows",
)  # fmt: skip


def table(exact: Sequence[Row], plans: dict[str, list[Row]]) -> str:
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    for name, rows in {EXACT: list(exact), **plans}.items():
        lines.append(" | ".join(figures(name, exact, rows)))
    return "\n".join(f"| {line} |" for line in lines)


def add_flags(parser: argparse.ArgumentParser, holes: Sequence[int]) -> None:
    """Which holes, and how each is decoded."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--context", type=int, default=512, help="tokens, holes too")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--holes", type=int, nargs=3, default=holes, metavar="N",
        help="of 1-8, 9-32 and 33-128 tokens",
    )  # fmt: skip
    parser.add_argument("--first", type=int, help="only so many of these holes")
    parser.add_argument("--plans", nargs="*", default=["quality", "fast"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Fidelity of decoding plans.")
    add_flags(parser, holes=(520, 440, 44))
    parser.add_argument("--out", type=Path, required=True, help="results, kept")
    parser.add_argument("--model", type=Path, default=EMBEDDED_FOLDER)
    given = parser.parse_args()
    subject = open_subject(given.model, given.context, given.dtype)
    cuts = cut_holes(given.folder, subject.tokenizer, given.holes, given.seed)
    cuts = cuts[: given.first]
    lengths = ", ".join(f"{low}-{high}" for low, high in BUCKETS)
    print(
        f"{len(cuts)} holes of {lengths} tokens from {len({cut.path for cut in cuts})} files, "
        f"{sum(cut.lines > 1 for cut in cuts)} of several lines, seed {given.seed}; "
        f"context {given.context}, model {given.model} ({subject.digest})"
    )
    with open_ledger(given.out, wait=False) as ledger:
        exact = list(rows_of(subject, cuts, EXACT, ledger))
        plans = {
            plan: list(rows_of(subject, cuts, plan, ledger)) for plan in given.plans
        }
    tokens = sum(len(row["tokens"]) for row in exact)
    doubtful = len(agreements(exact, exact, DOUBTFUL))
    print(f"{tokens} tokens, {doubtful} with a confidence below {DOUBTFUL}\n")
    print(table(exact, plans))


if __name__ == "__main__":
    main()
