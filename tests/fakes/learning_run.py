"""A whole run of reinforcement on a tiny model, to be killed and started again.

    python -m tests.fakes.learning_run FOLDER --kills 20
    torchrun --nproc-per-node 2 -m tests.fakes.learning_run FOLDER

Verdicts are made of a fill's hash, so that a model that writes nonsense has something to
learn. With --kills each start counts the calls of our functions and kills itself (SIGKILL)
at one drawn by chance; started again it goes on, until so many starts were killed. Prints a
digest of each adapter that was finished, and the losses of the last run.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any

from dlmd.model import adapting
from dlmd_finetune.rl import journal, ranks, staying, steps
from dlmd_finetune.rl import policy as opening
from dlmd_finetune.rl.policy import open_policy
from dlmd_finetune.rl.reward import Judged
from dlmd_finetune.rl.rollout import Draw
from dlmd_finetune.rl.steps import Plan, Reinforcement, reinforce
from dlmd_finetune.rl.update import Learning
from dlmd_finetune.tasks.task import Task

from tests.fakes.tiny import tiny_model_folder
from tests.fakes.toy_tasks import toy_repository

STEPS = 5


class HashJudge:
    """`reward.Judge` without a room."""

    def __init__(self, tree: Path) -> None:
        self.tree, self.known, self.asked = tree, {}, 0  # type: ignore[var-annotated]

    def submit(self, task: Task, fills: Iterable[str]) -> Future[dict[str, Judged]]:
        done: Future[dict[str, Judged]] = Future()
        done.set_result({fill: self.judge(task, fill) for fill in fills})
        return done

    def judge(self, task: Task, fill: str) -> Judged:
        if (task.id, fill) not in self.known:
            self.asked += 1
            first = hashlib.sha256(f"{task.id} {fill}".encode()).digest()[0]
            self.known[task.id, fill] = Judged(reward=first / 255, passed=first > 200)
        return self.known[task.id, fill]


def once(folder: Path, model: Path, tree: Path, how: str = "") -> None:
    steps.SAVE_EVERY_S, steps.DEV_EVERY, staying.LINES = 0.0, 2, 2
    if how:  # a second copy, merged, would write other last digits
        opening.TWICE_BYTES = 0
    policy = open_policy(model, rank=4, rate=1e-2, mode="exact", shard=how == "shard")
    found = toy_repository(tree)
    plan = Plan(
        train=tuple(task for task in found if task.split == "train"),
        dev=tuple(task for task in found if task.split == "test"),
        steps=STEPS,
        tasks=2,
        group=4,
        draw=Draw(temperature=1.0, explore=True),
        learning=Learning(epochs=2, pairs=2),
    )
    judge: Any = HashJudge(tree)
    run = Reinforcement(plan=plan, policy=policy, judge=judge, folder=folder)
    for _ in reinforce(run):
        pass
    if ranks.rank() == 0:
        adapting.save(policy.trained, folder / "adapter")


def in_child(folder: Path, model: Path, tree: Path, kill_at: int | None) -> int:
    """Its end as `waitpid` tells it. Counts calls of ours only."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        ours = frame.f_globals.get("__name__", "").startswith(("dlmd", "torch.ser"))
        if event == "call" and ours:
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(count)
        once(folder, model, tree)
        sys.setprofile(None)
        (folder / "calls").write_text(str(calls))
        os._exit(0)
    except BaseException as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr, flush=True)
        os._exit(1)


def digest(folder: Path) -> str:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest()


def written(folder: Path) -> dict[str, list[Any]]:
    """What the journals of a finished run say happened, in the order they say it."""
    rows = journal.rollouts(folder)
    return {
        "steps": [row["step"] for row in journal.read(folder / "steps.jsonl")],
        "rollouts": [[row["step"], row["task"], row["number"]] for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--how", choices=("", "single", "shard"), default="")
    given = parser.parse_args()
    model, tree = given.folder / "model", given.folder / "tree"
    ranks.join()
    ranks.led(lambda: None if model.exists() else tiny_model_folder(model) and None)
    told: dict[str, Any] = {"killed": 0}
    whole = given.folder / "whole"
    if not given.kills:
        once(whole, model, tree, given.how)
        ranks.leave()
        told["losses"] = [row["loss"] for row in journal.read(whole / "steps.jsonl")]
        if ranks.rank() == 0 and os.environ.get("RANK", "0") == "0":
            print(json.dumps(told | {"digests": [digest(whole)]}))
        return
    assert in_child(whole, model, tree, None) == 0
    told["digests"] = [digest(whole)]
    most = int((whole / "calls").read_text())
    rng = random.Random(given.seed)
    part = 0
    while told["killed"] < given.kills:
        folder = given.folder / f"part-{part}"
        end = in_child(folder, model, tree, rng.randrange(1, most))
        if end == signal.SIGKILL:
            told["killed"] += 1
        elif end:
            raise SystemExit(f"a start ended with {end}")
        else:
            told["digests"].append(digest(folder))
            part += 1
    folder = given.folder / f"part-{part}"
    assert in_child(folder, model, tree, None) == 0
    told["digests"].append(digest(folder))
    told["written"] = [written(place) for place in sorted(given.folder.glob("part-*"))]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
