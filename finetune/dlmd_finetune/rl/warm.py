"""The warm start: the masked-diffusion loss on the repository's files of the train side.

Imitation, where reinforcement is trial: it shows the model names and habits before any
test is asked. Only files in which no held-out task lies. Must not know rewards.

Shapes: B rows, T slots, N labelled slots.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dlmd.model import Dream, adapting
from torch import Tensor
from torch.nn import functional as F

from dlmd_finetune.canvases import NO_LABEL, Canvases, CanvasMaker, Ids
from dlmd_finetune.corpus import Corpus
from dlmd_finetune.rl import ranks, staying
from dlmd_finetune.rl.policy import Policy
from dlmd_finetune.tasks.task import Mined, text_of
from dlmd_finetune.vocabulary import open_vocabulary

LENGTH, ROWS = 256, 4
PASSES = 2.0  # over the train side
TIMES = 3.0  # the rate of reinforcement, whose steps are noisier
FEWEST, MOST = 8, 400  # steps
CHARACTERS = 3.0  # of a token, roughly


def train_side(mined: Mined) -> list[str]:
    """Texts of the files that hold train tasks and no others."""
    kept_out = {t.path for split in ("dev", "test") for t in mined.of(split)}
    paths = dict.fromkeys(task.path for task in mined.of("train"))
    return [text_of(mined.tree, path) for path in paths if path not in kept_out]


def maker(policy: Policy, texts: Sequence[str]) -> CanvasMaker:
    blobs = [text.replace("\r\n", "\n").encode() for text in texts]
    corpus = Corpus(
        blob=np.frombuffer(b"".join(blobs), dtype=np.uint8),
        offsets=np.cumsum([0, *map(len, blobs)]),
        held_out=np.zeros(len(blobs), dtype=bool),
    )
    profile = policy.writer.profile
    pad = profile.pad_ids[0] if profile.pad_ids else profile.eos_id
    bos = profile.bos_id if profile.bos_id is not None else profile.eos_id
    assert pad is not None and bos is not None
    ids = Ids(mask=profile.mask_id, pad=pad, bos=bos, eos=profile.eos_id or pad)
    vocabulary = open_vocabulary(policy.folder / "tokenizer.json")
    return CanvasMaker(corpus, vocabulary, ids)


def loss_of(model: Dream, batch: Canvases) -> Tensor:
    """Weighted mean cross-entropy over the labelled slots; row i predicts slot i + 1."""
    device = model.lm_head.weight.device
    labels = torch.from_numpy(batch.labels_BT).flatten()
    slots_N = (labels != NO_LABEL).nonzero()[:, 0]
    weights_N = torch.from_numpy(batch.weights_BT).flatten()[slots_N].to(device)
    tokens_BT = torch.from_numpy(batch.tokens_BT).to(device)
    logits_NV = model(tokens_BT, rows_N=(slots_N - 1).to(device))
    labels_N = labels[slots_N].to(device)
    losses_N = F.cross_entropy(logits_NV.float(), labels_N, reduction="none")
    return (losses_N * weights_N).sum() / weights_N.sum()


def steps_for(texts: Sequence[str], length: int) -> int:
    tokens = sum(map(len, texts)) / CHARACTERS
    return int(min(MOST, max(FEWEST, PASSES * tokens / (ROWS * length))))


def warm_up(
    policy: Policy,
    texts: Sequence[str],
    *,
    seed: int,
    stay: float,
    rate: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Figures of each step. Every process takes a share of a step's rows; `stay` is what a
    nat counts that the model moves on code of others."""
    length = min(LENGTH, policy.writer.context)
    source = maker(policy, texts)
    parameters = adapting.learning(policy.trained)
    rate = rate or TIMES * policy.optimiser.param_groups[0]["lr"]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    total = steps_for(texts, length)
    for step in range(total):
        optimiser.zero_grad(set_to_none=False)
        shares = ranks.mine(range(ROWS))
        loss = 0.0
        for part in shares:
            batch = source.batch(1, length, False, (seed, step, part))
            if not (batch.labels_BT != NO_LABEL).any():
                continue  # a window without anything to hide
            each = loss_of(policy.trained, batch) / ROWS
            each.backward()
            loss += float(each.detach())
        moved = held(policy, stay, (seed, "warm", step)) if stay else 0.0
        ranks.sum_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        left = min(1.0, 2 * (1 - step / total))
        for group in optimiser.param_groups:
            group["lr"] = rate * left
        optimiser.step()
        yield {
            "step": step + 1,
            "of": total,
            "loss": ranks.summed(loss),
            "moved": ranks.summed(moved),
        }
    policy.refresh()


def held(policy: Policy, stay: float, seed: Sequence[int | str]) -> float:
    """Adds the gradient of what keeps it from forgetting; how far it has moved, in nats."""
    lines = staying.anchors(policy.writer, seed)
    before_NV = staying.before(policy.trained, lines)
    away = staying.moved(policy.trained, lines, before_NV)
    (stay * away).backward()
    return float(away.detach())


def note(folder: Path, figures: Sequence[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in figures)
    (folder / "warm.jsonl").write_text(lines)
