"""What a policy says of code that is not the repository's: likelihood and passes.

Five hundred holes in the standard library of the Python that runs this, the same for every
policy, scored with the whole hole masked; and everyday functions with checks, filled by
the product's decoder. Must not know verdicts.
"""

import hashlib
import random
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dlmd.decode import Hole, InfillSettings, infill
from dlmd.decode.canvas import lay_out
from torch import Tensor
from torch.nn import functional as F

from dlmd_finetune.rl.everyday import TASKS, Everyday
from dlmd_finetune.rl.rollout import Writer
from dlmd_finetune.sandbox import run_python

JUDGED, LEARNT = 0, 1  # files that a verdict looks at, and those that learning may
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


def foreign(count: int = HOLES, seed: int = 0, *, side: int = JUDGED) -> list[Foreign]:
    """Lines of the standard library, from as many files as there are on that side."""
    home = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(
        f for f in home.glob("*.py") if f.stat().st_size > 2000 and side_of(f) == side
    )
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


def side_of(file: Path) -> int:
    """By its name alone, so that it is the same for every run."""
    return hashlib.sha256(file.name.encode()).digest()[0] % 2


def masked_rows(
    writer: Writer, holes: Sequence[Foreign], most: int
) -> tuple[Tensor, Tensor, list[int], list[int]]:
    """Canvases in which each line is masks, which of their positions count, the flat rows
    that predict the masks, and the tokens that stood there."""
    rows, spans, truths = [], [], []
    for hole in holes:
        truth = writer.tokenizer.encode(hole.line)[:FORCED]
        parts: list[str | Hole] = [hole.before, Hole(length=len(truth)), hole.after]
        layout = lay_out(
            parts, writer.tokenizer, writer.profile, min(writer.context, most)
        )
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
    return tokens_BT, valid_BT, rows_N, [t for truth in truths for t in truth]


def likelihoods(
    writer: Writer, holes: Sequence[Foreign], most: int = 192
) -> list[float]:
    """Nats a token of each line, all of it masked; less is better."""
    found: list[float] = []
    device = writer.network.lm_head.weight.device
    for start in range(0, len(holes), BATCH):
        part = holes[start : start + BATCH]
        tokens_BT, valid_BT, rows_N, labels = masked_rows(writer, part, most)
        with torch.no_grad():
            logits_NV = writer.network(
                tokens_BT.to(device),
                valid_BT.to(device),
                rows_N=torch.tensor(rows_N, device=device),
            )
        labels_N = torch.tensor(labels, device=device)
        losses_N = F.cross_entropy(logits_NV.float(), labels_N, reduction="none")
        sizes = [len(writer.tokenizer.encode(hole.line)[:FORCED]) for hole in part]
        found += [float(each.mean()) for each in losses_N.split(sizes)]
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
