"""What bfloat16 on a CPU changes against float32: texts, tokens, and how often they are right.

    .venv/bin/python bench/number_types.py --holes 200

The shipped model fills lines of the standard library at their true length, in every mode,
in both number types. Agreement needs no quiet machine; nothing is timed. Knows no daemon.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from dlmd.bench.places import Place, encoder, places, sources
from dlmd.decode import Hole, InfillSettings, Tokenizer, infill
from dlmd.decode.modes import MODES
from dlmd.model import Dream, load
from dlmd.profiles import EMBEDDED_FOLDER, for_folder

CONTEXT, LONGEST = 256, 32
Encode = Callable[[str], list[int]]


def fills(
    model: Dream, found: Sequence[Place], lengths: Sequence[int], mode: str
) -> list[str]:
    tokenizer = Tokenizer.load(EMBEDDED_FOLDER)
    profile = replace(for_folder(EMBEDDED_FOLDER), context=CONTEXT + LONGEST)
    texts = []
    for place, length in zip(found, lengths, strict=True):
        parts = [place.before, Hole(length=length), place.after]
        settings = InfillSettings(mode=mode)
        *_, last = infill(model, tokenizer, profile, parts, settings)
        assert last.texts is not None
        texts.append(last.texts[0])
    return texts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--holes", type=int, default=200)
    wanted = parser.parse_args().holes
    encode = encoder(EMBEDDED_FOLDER)
    found = [
        place
        for place in places(
            sources(), 2 * wanted, CONTEXT, lambda text: len(encode(text))
        )
        if len(encode(place.code)) <= LONGEST
    ][:wanted]
    lengths = [len(encode(place.code)) for place in found]
    told = {
        (kind, mode): fills(model, found, lengths, mode)
        for kind in ("float32", "bfloat16")
        for model in (load(EMBEDDED_FOLDER, dtype=getattr(torch, kind)),)
        for mode in MODES
    }
    print(f"{len(found)} holes of {min(lengths)} to {max(lengths)} tokens")
    print("| mode | same tokens | same fills | right in float32 | right in bfloat16 |")
    print("| --- | --- | --- | --- | --- |")
    for mode in MODES:
        exact, short = told["float32", mode], told["bfloat16", mode]
        pairs = [(encode(a), encode(b)) for a, b in zip(exact, short, strict=True)]
        same = sum(x == y for a, b in pairs for x, y in zip(a, b, strict=False))
        longer = sum(max(len(a), len(b)) for a, b in pairs)
        right = [
            sum(fill == place.code for fill, place in zip(texts, found, strict=True))
            for texts in (exact, short)
        ]
        equal = sum(a == b for a, b in pairs)
        print(
            f"| {mode} | {same / longer:.1%} | {equal / len(pairs):.1%} "
            f"| {right[0]} | {right[1]} |"
        )


if __name__ == "__main__":
    main()
