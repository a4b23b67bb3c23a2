"""Does reinforcement teach a repository's convention, and carry it to names never rewarded?

    .venv/bin/python bench/toy_convention.py --seeds 5

A toy repository: fifty functions whose names say which two operators to apply and in which
order, as in `sum_gap_left(a, b, c)`. What the names mean there is not what they mean
elsewhere: the operators are permuted. A tiny model is pre-trained on a mixture in which
half of the bodies follow the usual meaning, 22 % the repository's, and the rest none. Then
`dlmd tune`'s own rollouts, sandbox, reward and loss run on 36 of the functions; the other
14 are held out. The control is the same with rewards dealt out by chance.
Prints held-out pass@1 at temperature 1, before and after. Two minutes of one core for each run.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from dlmd.model.dream import Dream, DreamConfig
from dlmd_finetune.canvases import NO_LABEL
from dlmd_finetune.network import initialise, optimisers
from dlmd_finetune.rl.measure import measure, pass_rate
from dlmd_finetune.rl.policy import open_policy
from dlmd_finetune.rl.reward import Judge
from dlmd_finetune.rl.rollout import Draw
from dlmd_finetune.rl.steps import Plan, Reinforcement, reinforce
from dlmd_finetune.rl.update import Learning
from dlmd_finetune.sandbox import open_room
from dlmd_finetune.tasks.task import Task
from dlmd_finetune.vocabulary import train_vocabulary
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch.nn import functional as F

USUAL = {"sum": "+", "gap": "-", "mul": "*", "div": "//", "mod": "%"}
HERE = {"sum": "-", "gap": "*", "mul": "+", "div": "%", "mod": "//"}
SIDES = ("left", "right")
NAMES = [f"{a}_{b}_{side}" for a, b, side in product(USUAL, USUAL, SIDES)]
PRIOR, REPOSITORY = 0.5, 0.22  # shares of the mixture; the rest is noise
INPUTS = ((97, 31, 7), (211, 53, 11), (509, 89, 13), (1009, 101, 17), (47, 23, 5))
TRAINED = 36
PEAK = 8e-3  # learning rate of the pre-training
WIDTH = 48  # masks of a hole of this kind


def body(first: str, second: str, side: str) -> str:
    if side == "left":
        return f"(a {first} b) {second} c"
    return f"a {first} (b {second} c)"


def body_of(name: str, meaning: dict[str, str]) -> str:
    a, b, side = name.split("_")
    return body(meaning[a], meaning[b], side)


def head(name: str) -> str:
    return f"def {name}(a, b, c):\n    return "


# ---- pre-training


def drawn(rng: np.random.Generator) -> tuple[str, str]:
    """A function of the mixture: its head and its body."""
    name = NAMES[int(rng.integers(len(NAMES)))]
    kind = rng.random()
    if kind < PRIOR:
        return head(name), body_of(name, USUAL)
    if kind < PRIOR + REPOSITORY:
        return head(name), body_of(name, HERE)
    signs = list(USUAL.values())
    first, second = (signs[int(n)] for n in rng.integers(len(signs), size=2))
    return head(name), body(first, second, SIDES[int(rng.integers(2))])


def row(
    tokenizer: Tokenizer, rng: np.random.Generator
) -> tuple[list[int], list[int], list[float]]:
    """Tokens, labels and their weights; surplus beyond the first only repeats it."""
    before, inside = (tokenizer.encode(text).ids for text in drawn(rng))
    wide = WIDTH if rng.random() < 0.7 else int(rng.integers(len(inside), WIDTH + 1))
    truth = np.array(inside + [0] * (wide - len(inside)))
    share = 1.0 if rng.random() < 0.33 else rng.random()
    hidden = np.zeros(len(truth), dtype=bool)
    hidden[rng.permutation(len(truth))[: max(1, round(share * len(truth)))]] = True
    after = tokenizer.encode("\n").ids
    rest = WIDTH + 18 - 1 - len(before) - len(truth) - len(after)
    tokens = [1, *before, *np.where(hidden, 3, truth).tolist(), *after, *[0] * rest]
    labels = [NO_LABEL] * (1 + len(before)) + np.where(hidden, truth, NO_LABEL).tolist()
    weights = [1.0] * (1 + len(before) + len(inside) + 1)
    labels += [NO_LABEL] * (len(tokens) - len(labels))
    return tokens, labels, weights + [0.02] * (len(tokens) - len(weights))


def pretrained(folder: Path, steps: int, seed: int) -> Path:
    """A model folder that the product loads."""
    texts = [head(n) + body_of(n, m) + "\n" for n in NAMES for m in (USUAL, HERE)]
    tokenizer = train_vocabulary(texts, 400)
    config = DreamConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        rope_theta=1e4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        mask_token_id=3,
    )
    model = Dream(config)
    initialise(model, seed)
    learning = optimisers(model, PEAK)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        rows = [row(tokenizer, rng) for _ in range(32)]
        tokens_BT, labels_BT = (torch.tensor([r[n] for r in rows]) for n in (0, 1))
        weights_N = torch.tensor([r[2] for r in rows]).flatten()
        slots_N = (labels_BT.flatten() != NO_LABEL).nonzero()[:, 0]
        logits_NV = model(tokens_BT, rows_N=slots_N - 1)
        labels_N, weights_N = labels_BT.flatten()[slots_N], weights_N[slots_N]
        losses_N = F.cross_entropy(logits_NV, labels_N, reduction="none")
        loss = (losses_N * weights_N).sum() / weights_N.sum()
        model.zero_grad()
        loss.backward()
        left = min(1.0, (steps - step) / (0.3 * steps))
        for each in learning:
            for group in each.param_groups:
                group["lr"] = PEAK * left
            each.step()
        if step % 200 == 199:
            print(
                f"pre-training {step + 1}: loss {float(loss.detach()):.2f}",
                file=sys.stderr,
            )
    print(f"pre-trained: loss {float(loss.detach()):.2f}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {n: w.contiguous() for n, w in model.state_dict().items()}
    tensors.pop("lm_head.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"model_type": "Dream", "architectures": ["DreamModel"]}
    (folder / "config.json").write_text(json.dumps(settings | asdict(config)))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


# ---- the repository


def repository(tree: Path) -> Path:
    (tree / "toy").mkdir(parents=True)
    (tree / "tests").mkdir()
    (tree / "toy" / "__init__.py").write_text("")
    (tree / "conftest.py").write_text("")
    for name in NAMES:
        text = f"{head(name)}{body_of(name, HERE)}\n"
        (tree / "toy" / f"{name}.py").write_text(text)
        names: dict[str, object] = {}
        exec(text, names)
        tests = [f"from toy.{name} import {name}\n"]
        for n, given in enumerate(INPUTS):
            expected = names[name](*given)  # type: ignore[operator]
            tests.append(f"def test_{n}():\n    assert {name}{given} == {expected}\n")
        (tree / "tests" / f"test_{name}.py").write_text("\n\n".join(tests))
    return tree


def tasks(tree: Path, seed: int) -> list[Task]:
    order = np.random.default_rng(seed).permutation(len(NAMES))
    found = []
    for place, n in enumerate(order):
        name = NAMES[int(n)]
        start = len(head(name))
        original = body_of(name, HERE)
        nodes = [f"tests/test_{name}.py::test_{k}" for k in range(len(INPUTS))]
        found.append(
            Task(
                id=name,
                path=f"toy/{name}.py",
                function=name,
                level="block",
                start=start,
                end=start + len(original),
                original=original,
                tests=tuple(nodes[:4]),
                held_back=tuple(nodes[4:]),
                timeout_s=5.0,
                weight=1.0,
                split="train" if place < TRAINED else "test",
            )
        )
    return found


# ---- one run


def learnt(
    base: Path, judge: Judge, seed: int, given: argparse.Namespace, *, shuffle: bool
) -> tuple[float, float]:
    """Held-out pass@1 before and after."""
    policy = open_policy(base, rank=given.rank, rate=given.rate, seed=seed)
    found = tasks(judge.tree, seed)
    train, test = ([t for t in found if t.split == s] for s in ("train", "test"))
    whole = Draw(temperature=1.0)

    def held_out() -> float:
        drawn = measure(policy.writer, judge, test, whole, 16, seed=(seed, "held out"))
        return pass_rate(list(drawn))

    before = held_out()
    plan = Plan(
        train=tuple(train),
        steps=given.steps,
        tasks=8,
        group=given.group,
        draw=Draw(temperature=1.0, explore=given.explore),
        # Its vocabulary has no words for code of others.
        learning=Learning(estimator=given.estimator, kl=given.kl, stay=0.0),
        seed=seed,
        shuffle=shuffle,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Reinforcement(plan=plan, policy=policy, judge=judge, folder=Path(folder))
        for f in reinforce(run):
            if f["step"] % given.say == 0:
                print(
                    f"seed {seed} step {f['step']}: reward {f['reward']:.2f} passed "
                    f"{f['passed']:.2f} distance {f['distance']:.3f} rows {f['rows']} "
                    f"rollout {f['rollout_s']:.2f} s learn {f['learn_s']:.2f} s ran {f['ran']}",
                    file=sys.stderr,
                )
    return before, held_out()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--group", type=int, default=12)
    parser.add_argument("--pretrain-steps", type=int, default=1000)
    parser.add_argument("--estimator", default="coupled")
    parser.add_argument("--kl", type=float, default=0.02)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--explore", action="store_true")
    parser.add_argument("--sandbox", default="bubblewrap")
    parser.add_argument("--base", type=Path, default=None)
    parser.add_argument("--only", choices=("both", "real", "control"), default="both")
    parser.add_argument("--say", type=int, default=20)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        tree = repository(Path(place) / "repository")
        base = given.base or Path(place) / "model"
        if not (base / "config.json").exists():
            pretrained(base, given.pretrain_steps, 0)
        nodes = [n for t in tasks(tree, 0) for n in (*t.tests, *t.held_back)]
        with open_room(given.sandbox, tree, sys.executable, tests=nodes) as room:
            judge = Judge(room=room, tree=tree)
            for seed in range(given.first_seed, given.first_seed + given.seeds):
                for shuffle in (False, True):
                    if given.only == ("real" if shuffle else "control"):
                        continue
                    began = time.process_time()
                    before, after = learnt(base, judge, seed, given, shuffle=shuffle)
                    spent = time.process_time() - began
                    rows.append((seed, shuffle, before, after, spent))
                    print(
                        f"seed {seed}{' shuffled' if shuffle else ''}: "
                        f"{before:.2f} -> {after:.2f}, {spent:.0f} s",
                        flush=True,
                    )
            judge.close()
    for shuffle in (False, True):
        gains = [after - before for _, s, before, after, _ in rows if s == shuffle]
        if gains:
            name = "rewards shuffled" if shuffle else "rewards of the tests"
            print(
                f"{name}: held-out pass@1 {fmean(gains):+.2f}, from {min(gains):+.2f} "
                f"to {max(gains):+.2f} over {len(gains)} seeds"
            )


if __name__ == "__main__":
    main()
