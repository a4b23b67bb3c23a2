"""A warm start between keystrokes against a cold one: what it saves, what it changes.

    .venv/bin/python bench/warm_keystrokes.py FOLDER --lines 60

Types lines of real files, key by key; after each key the model is asked for a hole at the
cursor, once with the keys of the key before (`decode/warm.py`) and once cold, by the same
plan. Every fourth line something far below the cursor is edited as well. Time is from the
request's parts to the first state; run it when nothing else runs.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dlmd.decode import Canvas, Hole, denoise_cached
from dlmd.decode.canvas import lay_out
from dlmd.decode.warm import Warmth, denoise_warm
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd_finetune.corpus import worth_keeping
from dlmd_finetune.evidence.statistics import mean_interval
from dlmd_finetune.sources import read_sources
from fidelity import NoPadding, Subject, open_subject, settings_of

MASKS = 16
KEYS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One keystroke, answered twice."""

    line: int
    first_same: bool  # the first state, against what cold says there in the end
    same: float  # share of the final tokens that are equal
    warm_ms: float
    cold_ms: float
    was_warm: bool


def typed_lines(folder: Path, count: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """For each line the text around the cursor after each key."""
    texts = [
        source.text
        for source in read_sources([folder])
        if worth_keeping(source.text) and source.text.count("\n") > 120
    ]
    rng = np.random.default_rng(seed)
    for number in range(count):
        lines: list[str] = []
        while not lines:
            lines = texts[int(rng.integers(len(texts)))].split("\n")
            at = int(rng.integers(len(lines) // 4, 3 * len(lines) // 4))
            line = lines[at]
            indent = len(line) - len(line.lstrip())
            if len(line) - indent < KEYS + 4:
                lines = []
        keys = []
        for typed in range(KEYS):
            below = lines[at + 1 :]
            if number % 4 == 3 and typed >= KEYS // 2:
                below[12] = below[12] + f"  # {typed}"
            before = "\n".join([*lines[:at], line[: indent + typed]])
            keys.append((before, "\n".join(["", *below])))
        yield keys


def lay(subject: Subject, before: str, after: str) -> tuple[Canvas, range]:
    layout = lay_out(
        [before, Hole(length=MASKS), after], subject.tokenizer, subject.profile
    )
    tokens_BT = torch.tensor([layout.tokens])
    return Canvas(tokens_BT, mask_id=subject.profile.mask_id), layout.holes[0]


def answered(
    subject: Subject, before: str, after: str, plan: str, warmth: Warmth | None
) -> tuple[float, list[int], list[int], bool]:
    """Milliseconds to the first state, its tokens, the final ones, whether it was warm."""
    began = time.perf_counter()
    canvas, hole = lay(subject, before, after)
    how = settings_of(plan, MASKS)
    ending = NoPadding(pad_ids=subject.profile.pad_ids)
    states = (
        denoise_cached(subject.model, canvas, how, ending=ending)
        if warmth is None
        else denoise_warm(subject.model, canvas, how, warmth, ending=ending)
    )
    first = next(states)
    spent = (time.perf_counter() - began) * 1000
    last = [first, *states][-1]
    tokens = [
        state.tokens_BT[0, hole.start : hole.stop].tolist() for state in (first, last)
    ]
    return spent, tokens[0], tokens[1], first.forwards_full == 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Warm keystrokes against cold ones.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=EMBEDDED_FOLDER)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--lines", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plan", default="quality")
    given = parser.parse_args()
    subject = open_subject(given.model, given.context, given.dtype)
    keys = []
    for line, typed in enumerate(typed_lines(given.folder, given.lines, given.seed)):
        warmth = Warmth()
        for number, (before, after) in enumerate(typed):
            cold_ms, _, wanted, _ = answered(subject, before, after, given.plan, None)
            warm_ms, first, got, was_warm = answered(
                subject, before, after, given.plan, warmth
            )
            if number == 0:
                continue
            shown = [
                a == b
                for a, b in zip(first, wanted, strict=True)
                if a != subject.profile.mask_id
            ]
            keys.append(
                Key(
                    line=line,
                    first_same=all(shown),
                    same=statistics.fmean(
                        a == b for a, b in zip(got, wanted, strict=True)
                    ),
                    warm_ms=warm_ms,
                    cold_ms=cold_ms,
                    was_warm=was_warm,
                )
            )
    report(given, keys)


def report(given: argparse.Namespace, keys: list[Key]) -> None:
    warm = [key for key in keys if key.was_warm]
    print(
        f"plan {given.plan}, context {given.context}, holes of {MASKS}, "
        f"{torch.get_num_threads()} threads: {len(keys)} keys on {given.lines} lines, "
        f"{len(warm)} started warm"
    )
    for name, group in (("all keys", keys), ("warm starts", warm)):
        same = mean_interval(
            [key.same for key in group], [key.line for key in group], seed=0
        )
        first = statistics.fmean(key.first_same for key in group)
        whole = statistics.fmean(key.same == 1 for key in group)
        warm_ms = statistics.median(key.warm_ms for key in group)
        cold_ms = statistics.median(key.cold_ms for key in group)
        print(
            f"{name}: final tokens as cold {100 * same.value:.1f} % "
            f"[{100 * same.low:.1f}, {100 * same.high:.1f}], whole fills {100 * whole:.1f} %, "
            f"first states {100 * first:.1f} %; first state p50 {warm_ms:.1f} ms warm, "
            f"{cold_ms:.1f} ms cold, ratio {warm_ms / cold_ms:.2f}"
        )


if __name__ == "__main__":
    main()
