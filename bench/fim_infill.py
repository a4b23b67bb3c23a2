"""The left-to-right rival: a model trained by `dlmd pretrain --objective fim` fills holes.

    cp -r RUN RIVAL        # a run stopped where its left-to-right stage ends
    dlmd pretrain CORPUS --out RIVAL --objective fim --tokens SAME ...
    .venv/bin/python bench/fim_infill.py RIVAL/model \
      --data HumanEval-SingleLineInfilling.jsonl.gz --out fim.jsonl

Same checkpoint, same tokens, same shape: only the objective differs. The model reads what
stands before the hole, a mark, what stands behind it, and writes the middle token by token,
the likeliest each time, until it says that it is over: its own length. Results are a file as
`dlmd eval` writes it, for `dlmd eval compare`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from dlmd import profiles
from dlmd.decode import Tokenizer
from dlmd.model import Dream, load
from dlmd_finetune.canvases import Ids, fim_prompt
from dlmd_finetune.evidence.answers import Answer, Answerer
from dlmd_finetune.evidence.asking import fingerprint
from dlmd_finetune.evidence.evaluate import EvalConfig, evaluate
from dlmd_finetune.evidence.summary import text as told
from dlmd_finetune.evidence.tasks import Task

LONGEST = {"line": 64}
LONGEST_ELSE = 256


class Rival:
    """A left-to-right model with what it takes to ask it."""

    def __init__(self, folder: Path) -> None:
        profile = profiles.for_folder(folder)
        eos, pad, bos = profile.eos_id, profile.pad_ids[0], profile.bos_id
        assert eos is not None and bos is not None
        self.model: Dream = load(folder)
        self.tokenizer = Tokenizer.load(folder)
        self.ids = Ids(mask=profile.mask_id, pad=pad, bos=bos, eos=eos)
        self.context = profile.context

    def fill(self, task: Task) -> Answer:
        most = LONGEST.get(task.kind, LONGEST_ELSE)
        encode = self.tokenizer.encode
        before, after = encode(task.prompt), encode(task.after)
        # What is nearest the hole stays, half of the room for each side.
        room = self.context - most - 3
        after = after[: max(room - len(before), room // 2)]
        before = before[-max(1, room - len(after)) :]
        middle = self.written(fim_prompt(before, after, self.ids), most, task)
        stopped = len(middle) < most
        return Answer(
            text=self.tokenizer.decode(middle),
            tokens=len(middle),
            finish="stop" if stopped else "length",
            forwards=len(middle) + stopped,
        )

    @torch.no_grad()
    def written(self, prompt: list[int], most: int, task: Task) -> list[int]:
        found: list[int] = []
        while len(found) < most:
            tokens_BT = torch.tensor([[*prompt, *found]])
            last_N = torch.tensor([tokens_BT.shape[1] - 1])
            logits_V = self.model(tokens_BT, rows_N=last_N, causal=True)[0].float()
            logits_V[[self.ids.bos, self.ids.mask]] = -torch.inf
            token = int(logits_V.argmax())
            if token in (self.ids.pad, self.ids.eos):
                break
            found.append(token)
            # All that would come after does not count.
            if task.kind == "line" and "\n" in self.tokenizer.decode([token]):
                break
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="model folder of the rival's run")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--renamed", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rival = Rival(args.model)
    identity = {
        "answers": "fim",
        "model": fingerprint(args.model),
        "source": Path(__file__).read_text(),
    }

    def answer(task: Task, samples: Sequence[int]) -> list[Answer]:
        return [rival.fill(task) for _ in samples]

    answerer = Answerer(name="left to right", identity=identity, answer=answer)
    config = EvalConfig(
        data=args.data, out=args.out, limit=args.limit, renamed=args.renamed
    )
    summary = evaluate(config, "infilling", answerer)
    print(json.dumps(summary, indent=2) if args.json else told(summary))


if __name__ == "__main__":
    main()
