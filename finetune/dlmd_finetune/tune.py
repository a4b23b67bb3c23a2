"""`dlmd tune`: from a repository to an adapter that deserves to be served.

Reads top to bottom: mine, look where the model stands, show it the files, let the tests
teach it, judge what came of it. Each stage leaves a file in the run's folder, and a run
that was killed goes on from there. Loads torch inside functions, because the command line
reads the configuration. Must not know how tests are run or what a loss is.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dlmd_finetune.choices import TuneConfig, state_of, told
from dlmd_finetune.tasks.funnel import draw
from dlmd_finetune.tasks.mine import MineConfig, mine
from dlmd_finetune.tasks.task import LEVELS, Level, Mined, Task

if TYPE_CHECKING:
    from dlmd_finetune.rl.policy import Policy
    from dlmd_finetune.rl.reward import Judge
    from dlmd_finetune.rl.steps import Plan

__all__ = ["TuneConfig", "tune"]

SIGNAL = (0.05, 0.60)  # pass rates between which there is something to learn
AIM = 0.3  # the level nearest to this is taken
LOOKED, LOOKS = 16, 4  # tasks of each level at the baseline, and fills of each
ELSEWHERE = 10  # one part in so many of the time left goes to foreign code
RANK = 16  # of the adapter
BITS = "base-bits"  # in a run's folder
MARGIN = 1.5  # the gate takes so many times what the baseline says, at most


def tune(config: TuneConfig) -> int:
    """0: there is a verdict. 130: stopped, and to be continued by the same command."""
    if config.activate or config.rollback:
        return switched(config)
    from dlmd_finetune.rl import ranks
    from dlmd_finetune.rooming import refuse_without_key

    refuse_without_key(config)
    ends = time.monotonic() + 60 * config.budget
    ranks.join()
    try:
        if not config.dry_run:
            refuse_what_is_not_here(config)
        mined = ranks.led(lambda: mine_or_load(config))
        if ranks.rank() == 0:
            draw(mined, Console())
        if config.dry_run:
            return 0
        refuse_too_few(mined)
        return learn(config, mined, ends)
    finally:
        ranks.leave()


def refuse_what_is_not_here(config: TuneConfig) -> None:
    """Before minutes are spent on mining."""
    from dlmd.model import cuda

    from dlmd_finetune.evidence.asking import model_folder
    from dlmd_finetune.rl import ranks

    model_folder(config.model)
    cuda.choose(config.device)
    if config.shard:
        ranks.refuse_one_alone()


def switched(config: TuneConfig) -> int:
    from dlmd_finetune import activation
    from dlmd_finetune.evidence.asking import model_folder

    repo = config.repo.expanduser().resolve()
    if config.rollback:
        print(activation.roll_back(repo))
        return 0
    runs = sorted(config.folder.glob("run-*/verdict.json"), key=os.path.getmtime)
    if not runs:
        raise ValueError(
            f"there is no verdict on {repo}; tune first with `dlmd tune {config.repo}`"
        )
    model = learnt_on(runs[-1]) or config.model
    base = model_folder(model)
    print(activation.activate(runs[-1].parent, repo, base, model))
    return 0


def learnt_on(verdict: Path) -> str | None:
    """The model of that run: an adapter belongs to it, whatever is named when it goes live."""
    try:
        return str(json.loads(verdict.read_text())["run"]["model"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def mine_or_load(config: TuneConfig) -> Mined:
    """Mined now, or before where nothing has changed since."""
    from dlmd_finetune.rl import journal
    from dlmd_finetune.tasks import task

    known, mark = config.folder / "tasks.json", config.folder / "tasks.key"
    key = state_of(config)
    if known.exists() and mark.exists() and mark.read_text() == key:
        return task.load(known)
    mined = mine(
        MineConfig(
            repo=config.repo,
            python=config.python,
            sandbox=config.sandbox,
            trust=config.trust,
            functions=config.functions,
            out=config.out,
            seed=config.seed,
            test_command=config.test_command,
        )
    )
    journal.write(mark, key)
    return mined


def refuse_too_few(mined: Mined) -> None:
    if not mined.of("train") or not mined.of("test"):
        raise ValueError(
            f"{len(mined.of('train'))} tasks to learn from and {len(mined.of('test'))} to "
            "judge by are too few; tests that call more of the functions would help: "
            "`dlmd tune REPO --dry-run` says which are lost, and why"
        )


def learn(config: TuneConfig, mined: Mined, ends: float) -> int:
    from dlmd_finetune import judging
    from dlmd_finetune.rl import journal, ranks
    from dlmd_finetune.watching import Watch

    folder = config.run_folder
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "verdict.json").exists():
        print(f"this run is finished: see {folder / 'report.html'}")
        return 0
    with opened(config, mined) as (policy, judge), Watch(ends) as watch:
        if ranks.rank() == 0:
            journal.write(folder / "run.json", json.dumps(told(config), indent=1))
        level, looks = baseline(config, mined, policy, judge, watch)
        watch.say("baseline: code of others")
        foreign = judging.Foreign(policy, watch.left / ELSEWHERE)
        train, dev, test = (mined.of(s, level) for s in ("train", "dev", "test"))
        models = 2 if config.no_warm_start else 3
        each_s = MARGIN * seconds_of(level, looks, config.samples)
        reserve = each_s * models * len(test) + MARGIN * foreign.seconds
        reserve = min(reserve, watch.left / 2)  # the rest is for learning
        if not config.no_warm_start:
            warm_start(config, mined, policy, watch)
        if any(look.rate > 0 for look in looks):
            plan = plan_of(config, train, dev)
            if not reinforced(folder, plan, policy, judge, watch, reserve):
                print(f"stopped, and kept; the same command goes on (in {folder})")
                return 130
        else:
            watch.say("the model never passes, so there is nothing to reinforce")
        found = judging.judged(
            folder,
            mined,
            test,
            policy,
            judge,
            samples=config.samples,
            seed=config.seed,
            left=watch.left - MARGIN * foreign.seconds,
            each_s=each_s,
            foreign=foreign,
            looks=1 + sum(1 for _ in config.folder.glob("run-*/verdict.json")),
            say=watch.say,
        )
        if ranks.rank() == 0:
            baseline_rows = [asdict(look) for look in looks]
            found |= {"run": told(config), "level": level, "baseline": baseline_rows}
            judging.keep(folder, found, policy, mined)
            print(judging.text(found, folder))
    return 0


def kept_bits(config: TuneConfig) -> int | None:
    """What was asked for; else what this run began with, however much is free now."""
    known = config.run_folder / BITS
    if config.shard:
        return 16
    if config.base_bits is None and known.exists():
        return int(known.read_text())
    return config.base_bits


@contextmanager
def opened(config: TuneConfig, mined: Mined) -> Iterator[tuple["Policy", "Judge"]]:
    """The model, if there is room for it, and the room its code is judged in."""
    from dlmd.model import cuda

    from dlmd_finetune import borrowing
    from dlmd_finetune.evidence.asking import model_folder
    from dlmd_finetune.rl import memory, ranks
    from dlmd_finetune.rl.policy import open_policy
    from dlmd_finetune.rl.reward import Judge
    from dlmd_finetune.rl.update import Learning
    from dlmd_finetune.rooming import room_of

    base, device = model_folder(config.model), cuda.choose(config.device)
    with borrowing.device(device):
        tokens = Learning().batch_tokens
        need = memory.fitting(
            kept_bits(config),
            lambda bits: memory.planned(
                base, device, rank=RANK, batch_tokens=tokens, bits=bits
            ),
        )
        if ranks.rank() == 0:
            print(need.text(device), flush=True)
        memory.refuse_too_large(need, device)
        bits = ranks.led(lambda: need.bits)
        (config.run_folder / BITS).write_text(str(bits))
        policy = open_policy(
            base,
            device=device,
            rank=RANK,
            bits=bits,
            shard=config.shard,
            rate=config.learning_rate,
            seed=config.seed,
            context=config.context,
        )
        with room_of(config, mined) as room:
            judge = Judge(room=room, tree=Path(mined.tree))
            try:
                yield policy, judge
            finally:
                judge.close()


# ---- the stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where the untaught model stands at one level."""

    level: Level
    tasks: int
    rate: float
    seconds: float  # for one task


def baseline(
    config: TuneConfig, mined: Mined, policy: "Policy", judge: "Judge", watch: Any
) -> tuple[Level, list[Look]]:
    """The level on which the model passes now and then: there is something to learn."""
    from dlmd_finetune.rl import measure
    from dlmd_finetune.rl.rollout import Draw

    looks = []
    for level in LEVELS:
        tasks = measure.spread(mined.of("train", level), LOOKED)
        wanted = config.level in ("auto", level)
        if not (wanted and tasks and mined.of("test", level)):
            continue
        watch.say(f"baseline: {level}")
        began = time.monotonic()
        found = measure.measure_all(
            policy.writer, judge, tasks, Draw(temperature=1.0, top_p=0.95), LOOKS, seed=(config.seed, "look")
        )  # fmt: skip
        rate = measure.pass_rate(found)
        seconds = (time.monotonic() - began) / len(tasks)
        looks.append(Look(level=level, tasks=len(tasks), rate=rate, seconds=seconds))
        watch.say(f"baseline: {level} passes {100 * rate:.0f} % of its tries")
    if not looks:
        raise ValueError(
            f"no level has tasks on both sides of the split; try --level {LEVELS[0]}"
        )
    within = [look for look in looks if SIGNAL[0] <= look.rate <= SIGNAL[1]]
    best = min(within or looks, key=lambda look: abs(look.rate - AIM))
    return best.level, looks


def seconds_of(level: Level, looks: Sequence[Look], samples: int) -> float:
    """What judging one task by one model takes, by what the baseline took."""
    from dlmd_finetune import judging

    took = next(look.seconds for look in looks if look.level == level)
    return took * (samples + len(judging.PACES)) / LOOKS


def warm_start(config: TuneConfig, mined: Mined, policy: "Policy", watch: Any) -> None:
    """The files of the train side; what that alone is worth is judged beside the rest."""
    from dlmd.model import adapting

    from dlmd_finetune.rl import ranks, warm

    place = config.run_folder / "warm"
    if (place / "adapter_model.safetensors").exists():
        adapting.load_into(policy.trained, place)
        policy.refresh()
        return
    figures = []
    texts = warm.train_side(mined)
    if not texts:
        watch.say("no warm start: every file holds a task that is held out")
        return
    for row in warm.warm_up(policy, texts, seed=config.seed, stay=config.stay):
        figures.append(row)
        watch.warm(row)

    def keep() -> None:
        warm.note(config.run_folder, figures)
        adapting.save(policy.trained, place.with_name("warm.part"))
        place.with_name("warm.part").rename(place)

    ranks.led(keep)  # nobody goes on before it stands


def plan_of(
    config: TuneConfig, train: tuple[Task, ...], dev: tuple[Task, ...]
) -> "Plan":
    from dlmd_finetune.rl.steps import Plan
    from dlmd_finetune.rl.update import Learning

    form = "k3" if config.estimator == "released" else "k2"
    return Plan(
        train=train,
        # What passes there chooses the adapter: the control must not hear of it.
        dev=() if config.shuffle_rewards else dev,
        steps=config.steps,
        tasks=config.tasks,
        group=config.group,
        learning=Learning(
            estimator=config.estimator, kl=config.kl, kl_form=form, stay=config.stay
        ),
        seed=config.seed,
        shuffle=config.shuffle_rewards,
    )


def reinforced(
    folder: Path,
    plan: "Plan",
    policy: "Policy",
    judge: "Judge",
    watch: Any,
    reserve: float,
) -> bool:
    """The tests teach. False: somebody stopped it, and it can go on later."""
    from dlmd_finetune.rl import ranks
    from dlmd_finetune.rl.steps import Reinforcement, reinforce

    run = Reinforcement(plan=plan, policy=policy, judge=judge, folder=folder)

    def stop(step_s: float) -> bool:
        over = watch.left < reserve + step_s
        return ranks.led(lambda: over) or ranks.any_of(watch.interrupted)

    for figures in reinforce(run, stop):
        watch.step(figures)
    if ranks.any_of(watch.interrupted):  # heard by one, obeyed by all
        return False
    if run.best_adapter and plan.dev:
        policy.wear(run.best_adapter)
    return True
