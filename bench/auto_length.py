"""How often a hole finds its own length: of the holes that exact mode fills as they were
when it is told how many tokens, how many does length `auto` fill as well?

    .venv/bin/python bench/auto_length.py FOLDER --out results.jsonl

Cuts holes of 1 to 32 tokens from files in FOLDER (source or wheels, which the model must
not have been trained on): ends of lines, lines and runs of lines, or with `--cut spans`
runs of tokens from anywhere to anywhere. Every hole is decoded with its true length, then
those that came out as they were, and some of the others, without it, by `dlmd.decode.infill`
as the daemon calls it. What was decoded is kept in the results file: started again, it goes
on where it was. Agreement needs no quiet machine; times do. Knows no clients and no daemon.
"""

import argparse
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import dlmd.decode.length
import numpy as np
import torch
from cut_holes import Cut, cut_one, files_of
from dlmd.decode import Hole, InfillSettings, Tokenizer, infill
from dlmd.decode.canvas import Pieces
from dlmd.decode.infill import Frame
from dlmd.decode.modes import MODES
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd_finetune.evidence.ledger import Ledger, Row, key_of, open_ledger
from fidelity import Subject, open_subject, share

MOST = 32  # tokens, and the masks that `auto` may use
GROUPS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, MOST))
ORACLE = "exact, told the length"
PADDING = "exact, padding rule alone"


# ---- holes ----


def draw(
    folder: Path, tokenizer: Tokenizer, wanted: int, kind: str, seed: int
) -> list[Cut]:
    files = files_of(folder)
    rng, cuts, seen = np.random.default_rng(seed), [], set()
    for _ in range(100 * wanted):
        if len(cuts) == wanted:
            break
        path, text = files[int(rng.integers(len(files)))]
        cut = {"lines": cut_one, "spans": cut_span}[kind](path, text, tokenizer, rng)
        place = (path, cut and len(cut.before), cut and cut.text)
        if cut is not None and 1 <= cut.tokens <= MOST and place not in seen:
            seen.add(place)
            cuts.append(cut)
    if len(cuts) < wanted:
        raise ValueError(
            f"{len(cuts)} holes of {wanted} in {folder}; name a folder with more files, "
            "or ask for fewer holes"
        )
    return cuts


def cut_span(
    path: str, text: str, tokenizer: Tokenizer, rng: np.random.Generator
) -> Cut | None:
    """A run of tokens, short ones as often as long ones, wherever it begins and ends."""
    lines = text.split("\n")
    first = int(rng.integers(len(lines)))
    before = "\n".join(lines[:first]) + ("\n" if first else "")
    ids = tokenizer.encode("\n".join(lines[first : first + 12]))
    count = round(MOST ** float(rng.random()))
    at = int(rng.integers(len(ids))) if ids else 0
    hidden = tokenizer.decode(ids[at : at + count])
    start = len(before) + len(tokenizer.decode(ids[:at]))
    end = start + len(hidden)
    if not hidden.strip() or text[start:end] != hidden:
        return None
    return Cut(
        path=path,
        before=text[:start],
        text=hidden,
        after=text[end:],
        tokens=len(tokenizer.encode(hidden)),
    )


# ---- decoding one hole ----


def told(subject: Subject, cut: Cut) -> Row:
    """Whether exact mode with the true length gives the text back. What it has committed
    never changes, so a run ends with the first piece that cannot belong to it."""
    parts = [cut.before, Hole(length=cut.tokens), cut.after]
    settings = InfillSettings(mode="exact")
    right = False
    for frame in infill(*subject_of(subject), parts, settings):
        if frame.texts is not None:
            right = frame.texts[0] == cut.text
        elif not fits(frame.holes[0], cut.text):
            break
    return {"right": right}


def fits(pieces: Pieces, text: str) -> bool:
    shape = "".join(re.escape(p) if isinstance(p, str) else ".*" for p in pieces)
    return re.fullmatch(shape, text, re.DOTALL) is not None


def untold(subject: Subject, cut: Cut, mode: str) -> Row:
    parts = [cut.before, Hole(length="auto", max_tokens=MOST), cut.after]
    began = perf_counter()
    first: Frame | None = None
    first_s = 0.0
    for frame in infill(*subject_of(subject), parts, InfillSettings(mode=mode)):
        if first is None:
            first, first_s = frame, perf_counter() - began
    assert frame.texts is not None
    return {
        "right": frame.texts[0] == cut.text,
        "text": frame.texts[0],
        "tokens": len(subject.tokenizer.encode(frame.texts[0])),
        "full": frame.forwards_full,
        "cached": frame.forwards_cached,
        "rows": frame.query_rows,
        "first_s": round(first_s, 4),
        "total_s": round(perf_counter() - began, 4),
    }


def subject_of(subject: Subject) -> tuple[Any, Any, Any]:
    return subject.model, subject.tokenizer, subject.profile


def padding_alone(subject: Subject, cut: Cut) -> Row:
    kept = dlmd.decode.length_padding.TRIED
    dlmd.decode.length_padding.TRIED = 0
    try:
        return untold(subject, cut, "exact")
    finally:
        dlmd.decode.length_padding.TRIED = kept


def rows_of(
    subject: Subject,
    cuts: Sequence[Cut],
    plan: str,
    ledger: Ledger,
    decode: Callable[[Subject, Cut], Row],
) -> Iterator[Row]:
    """One row for each hole, decoded now or on an earlier day by the same policy."""
    policy = "" if plan == ORACLE else policy_digest()
    for cut in cuts:
        hole = [cut.path, len(cut.before), cut.text]
        key = key_of(subject.digest, subject.profile.context, hole, plan, policy)
        if key not in ledger.rows:
            ledger.add({"key": key, "plan": plan, **decode(subject, cut)})
        yield ledger.rows[key]


def policy_digest() -> str:
    folder = Path(dlmd.decode.length.__file__).parent
    sources = hashlib.sha256()
    for file in sorted(folder.glob("length*.py")):
        sources.update(file.read_bytes())
    return sources.hexdigest()[:12]


# ---- figures ----


def by_length(cuts: Sequence[Cut], hits: Sequence[bool]) -> str:
    found = []
    for low, high in GROUPS:
        these = [
            hit
            for cut, hit in zip(cuts, hits, strict=True)
            if low <= cut.tokens <= high
        ]
        found.append(f"{sum(these)}/{len(these)}")
    return " | ".join(found)


def line(plan: str, cuts: Sequence[Cut], rows: Sequence[Row]) -> str:
    right = [bool(row["right"]) for row in rows]
    cells = [plan, f"{sum(right)}/{len(right)}", f"{share(right):.1f}"]
    cells.append(by_length(cuts, right))
    if "full" in rows[0]:
        for name in ("full", "cached", "rows"):
            cells.append(f"{mean(row[name] for row in rows):,.1f}")
        for name in ("first_s", "total_s"):
            cells.append(f"{1000 * median(row[name] for row in rows):.0f}")
    return "| " + " | ".join(cells) + " |"


def lengths(plan: str, cuts: Sequence[Cut], rows: Sequence[Row]) -> str:
    """Of holes that nobody solves: how long the text is that comes out."""
    ours = [row["tokens"] for row in rows]
    true = [cut.tokens for cut in cuts]
    short = share([mine < its / 2 for mine, its in zip(ours, true, strict=True)])
    long = share([mine > its * 2 for mine, its in zip(ours, true, strict=True)])
    return (
        f"| {plan} | {len(cuts)} | {mean(true):.1f} | {mean(ours):.1f} "
        f"| {short:.0f} | {long:.0f} | {share([row['right'] for row in rows]):.1f} |"
    )


HEAD = (
    "plan", "right", "%", *(f"{low}-{high}" for low, high in GROUPS),
    "full forwards", "cached", "query rows", "first state ms", "total ms"
)  # fmt: skip
OTHERS = ("plan", "holes", "tokens there", "tokens put", "less than half %", "more than twice %",
          "right %")  # fmt: skip


def head(columns: Sequence[str]) -> str:
    rule = "| " + " | ".join("---" for _ in columns) + " |"
    return "| " + " | ".join(columns) + " |\n" + rule


def main() -> None:
    parser = argparse.ArgumentParser(description="How often `auto` finds the length.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="results, kept")
    parser.add_argument("--model", type=Path, default=EMBEDDED_FOLDER)
    parser.add_argument("--context", type=int, default=512, help="tokens, holes too")
    parser.add_argument("--holes", type=int, default=2000)
    parser.add_argument("--cut", choices=("lines", "spans"), default="lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--others", type=int, default=200, help="holes not solved")
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    subject = open_subject(given.model, given.context)
    cuts = draw(given.folder, subject.tokenizer, given.holes, given.cut, given.seed)
    plans: dict[str, Callable[[Subject, Cut], Row]] = {
        f"{mode}, auto": lambda subject, cut, mode=mode: untold(subject, cut, mode)
        for mode in given.modes
    }
    plans[PADDING] = padding_alone
    with open_ledger(given.out, wait=False) as ledger:
        oracle = list(rows_of(subject, cuts, ORACLE, ledger, told))
        solved = [c for c, row in zip(cuts, oracle, strict=True) if row["right"]]
        others = [c for c, row in zip(cuts, oracle, strict=True) if not row["right"]]
        print(
            f"{len(cuts)} holes ({given.cut}) of 1 to {MOST} tokens from "
            f"{len({cut.path for cut in cuts})} files, seed {given.seed}; context "
            f"{given.context}, {given.threads} threads, {subject.digest}\n\n{head(HEAD)}"
        )
        print(line(ORACLE, cuts, oracle))
        for plan, decode in plans.items():
            rows = list(rows_of(subject, solved, plan, ledger, decode))
            print(line(plan, solved, rows), flush=True)
        others = others[: given.others]
        print(f"\nnot solved\n\n{head(OTHERS)}")
        for plan, decode in plans.items():
            rows = list(rows_of(subject, others, plan, ledger, decode))
            print(lengths(plan, others, rows), flush=True)


if __name__ == "__main__":
    main()
