"""A pin against a cold start: what typing into a running hole changes, what it saves.

    .venv/bin/python bench/pins.py FOLDER --holes 200

Fills holes cut from real files; after a quarter of the steps the first tokens of what was
really there are pinned, and the run goes on. Against it: a cold run of the same plan from
the longer text before the hole. Padding is no choice in either.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

from cut_holes import Cut, cut_holes
from dlmd.decode import Canvas, denoise_cached
from dlmd.decode.pins import written
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd_finetune.evidence.statistics import mean_interval
from fidelity import NoPadding, Subject, lay, open_subject, settings_of

PINNED = 3


def both(subject: Subject, cut: Cut, plan: str) -> tuple[float, float, bool, int, int]:
    """Share of equal tokens after the pin, and of equal first tokens alone; whether the pin
    contradicted what stood there; forwards over everything after it, pinned and cold."""
    canvas, hole = lay(subject, cut)
    ids = subject.tokenizer.encode(cut.text)[:PINNED]
    ending = NoPadding(pad_ids=subject.profile.pad_ids)
    how = settings_of(plan, cut.tokens)
    states = denoise_cached(subject.model, canvas, how, ending=ending)
    for state in states:
        if int(state.masked_BT.sum()) <= 3 * cut.tokens // 4:
            break
    there = state.tokens_BT[0, hole.start : hole.start + len(ids)].tolist()
    against = any(
        a not in (b, subject.profile.mask_id) for a, b in zip(there, ids, strict=True)
    )
    pinned, rest = written(state, hole, ids)
    first = states.send(pinned)
    last = [first, *states][-1]
    fresh, _ = written(Canvas(canvas.tokens_BT, mask_id=canvas.mask_id), hole, ids)
    cold = list(
        denoise_cached(subject.model, replace(fresh, masks_B=()), how, ending=ending)
    )
    inside = slice(rest.start, rest.stop)
    got = last.tokens_BT[0, inside].tolist()
    wanted = cold[-1].tokens_BT[0, inside].tolist()
    same = statistics.fmean(a == b for a, b in zip(got, wanted, strict=True))
    return (
        same,
        float(got[0] == wanted[0]),
        against,
        last.forwards_full - state.forwards_full,
        cold[-1].forwards_full,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Pins against cold starts.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=EMBEDDED_FOLDER)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--holes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--plan", default="quality")
    given = parser.parse_args()
    subject = open_subject(given.model, given.context, given.dtype)
    wanted = (0, given.holes, 0)
    cuts = [
        cut
        for cut in cut_holes(given.folder, subject.tokenizer, wanted, given.seed)
        if cut.tokens > PINNED
    ]
    results = [both(subject, cut, given.plan) for cut in cuts]
    print(f"{len(cuts)} holes of 9-32 tokens, {PINNED} pinned, plan {given.plan}")
    for name, chosen in (
        ("all", results),
        ("pin fits what stood there", [each for each in results if not each[2]]),
        ("pin contradicts it", [each for each in results if each[2]]),
    ):
        if not chosen:
            continue
        same = mean_interval([each[0] for each in chosen], range(len(chosen)), seed=0)
        print(
            f"{name}: {len(chosen)} holes, rest as cold {100 * same.value:.1f} % "
            f"[{100 * same.low:.1f}, {100 * same.high:.1f}], next token as cold "
            f"{100 * statistics.fmean(each[1] for each in chosen):.1f} %, full forwards after "
            f"the pin {statistics.fmean(each[3] for each in chosen):.2f} against "
            f"{statistics.fmean(each[4] for each in chosen):.2f} cold"
        )


if __name__ == "__main__":
    main()
