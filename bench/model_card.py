"""Writes the card of a trained model from what its run left and what was measured of it.

    dlmd eval infilling --data HumanEval-SingleLineInfilling.jsonl.gz --json > single.json
    .venv/bin/python bench/model_card.py RUN --figures single.json > docs/model-card.md

RUN is the folder of `dlmd pretrain`; --model another place of its model, such as the folder
that ships.
"""

import argparse
from pathlib import Path

from dlmd_finetune.card import card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--figures", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    print(card(args.run, args.model or args.run / "model", args.figures), end="")


if __name__ == "__main__":
    main()
