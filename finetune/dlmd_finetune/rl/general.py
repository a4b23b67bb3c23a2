"""What a policy says of code that is not the repository's: likelihood and passes.

Five hundred holes in the standard library of the Python that runs this, the same for every
policy, scored with the whole hole masked; and everyday functions with checks, filled by
the product's decoder. Must not know verdicts.
"""

import random
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dlmd.decode import Hole, InfillSettings, infill
from dlmd.decode.canvas import lay_out
from torch.nn import functional as F

from dlmd_finetune.rl.everyday import TASKS, Everyday
from dlmd_finetune.rl.rollout import Writer
from dlmd_finetune.sandbox import run_python

HOLES, NEAR = 500, 6  # how many, and lines of context on each side
BATCH = 16
FORCED = 24  # tokens of a hole, at most
SAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A line of somebody else's code, with what stands around it."""

    file: str
    before: str
    line: str
    after: str


def foreign(count: int = HOLES, seed: int = 0) -> list[Foreign]:
    """Lines of the standard library, from as many files as there are."""
    home = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(f for f in home.glob("*.py") if f.stat().st_size > 2000)
    rng = random.Random(seed)
    found: list[Foreign] = []
    while len(found) < count:
        file = rng.choice(files)
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        n = rng.randrange(3, len(lines) - 3)
        body = lines[n].lstrip()
        if not 8 <= len(body) <= 70 or body.startswith("#"):
            continue
        indent = lines[n][: len(lines[n]) - len(body)]
        before = "\n".join(lines[max(0, n - NEAR) : n]) + "\n" + indent
        after = "\n" + "\n".join(lines[n + 1 : n + 1 + NEAR])
        found.append(Foreign(file=file.name, before=before, line=body, after=after))
    return found


def likelihoods(
    writer: Writer, holes: Sequence[Foreign], most: int = 192
) -> list[float]:
    """Nats a token of each line, all of it masked; less is better."""
    profile, tokenizer = writer.profile, writer.tokenizer
    found: list[float] = []
    device = writer.network.lm_head.weight.device
    for start in range(0, len(holes), BATCH):
        rows, spans, truths = [], [], []
        for hole in holes[start : start + BATCH]:
            truth = tokenizer.encode(hole.line)[:FORCED]
            parts: list[str | Hole] = [hole.before, Hole(length=len(truth)), hole.after]
            layout = lay_out(parts, tokenizer, profile, min(writer.context, most))
            rows.append(layout.tokens)
            spans.append(layout.holes[0])
            truths.append(truth)
        T = max(map(len, rows))
        tokens_BT = torch.zeros(len(rows), T, dtype=torch.long)
        valid_BT = torch.zeros(len(rows), T, dtype=torch.bool)
        for b, row in enumerate(rows):
            tokens_BT[b, : len(row)] = torch.tensor(row)
            valid_BT[b, : len(row)] = True
        rows_N = [b * T + t - 1 for b, span in enumerate(spans) for t in span]
        labels_N = torch.tensor([t for truth in truths for t in truth], device=device)
        with torch.no_grad():
            logits_NV = writer.network(
                tokens_BT.to(device),
                valid_BT.to(device),
                rows_N=torch.tensor(rows_N, device=device),
            )
        losses_N = F.cross_entropy(logits_NV.float(), labels_N, reduction="none")
        parts_N = losses_N.split([len(truth) for truth in truths])
        found += [float(part.mean()) for part in parts_N]
    return found


def everyday(writer: Writer, seed: int = 0) -> list[float]:
    """The share of right fills of each everyday function."""
    found = []
    for task, texts in answers(writer, seed):
        verdicts = {text: right(task, text) for text in dict.fromkeys(texts)}
        found.append(sum(verdicts[text] for text in texts) / len(texts))
    return found


def answers(writer: Writer, seed: int) -> Iterator[tuple[Everyday, list[str]]]:
    settings = InfillSettings(mode=writer.mode, temperature=0.2, seed=seed, n=SAMPLES)
    for task in TASKS:
        parts: list[str | Hole] = [task.before, Hole(), task.after]
        frames = infill(
            writer.network, writer.tokenizer, writer.profile, parts, settings
        )
        yield task, [f.texts[0] for f in frames if f.texts is not None]


def right(task: Everyday, fill: str) -> bool:
    source = f"{task.before}{fill}{task.after}"
    outcome = run_python(source, checks=task.checks, timeout_s=5.0, memory_mb=1024)
    return outcome.kind == "passed"
