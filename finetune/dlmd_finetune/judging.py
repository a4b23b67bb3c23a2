"""The end of a run: base, warm start and tuned model side by side, and what follows.

The same held-out tasks, seeds and decoder for all of them. Leaves `verdict.json`, the
adapter, and the report. Must not know how a model was taught.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from dlmd.model import adapting

from dlmd_finetune.evidence import arness, gate, report
from dlmd_finetune.evidence.statistics import Interval, paired_difference, pass_at_k
from dlmd_finetune.rl import general, journal, measure, ranks
from dlmd_finetune.rl.policy import Policy
from dlmd_finetune.rl.reward import Judge
from dlmd_finetune.rl.rollout import Draw
from dlmd_finetune.tasks.task import Mined, Task

TEMPERATURE = 0.2  # close to what users see, which is 0, with some spread
LATE = 200  # rollouts, the last of which the audit counts
BASE, WARM, TUNED = "base", "warm start", "tuned"
FEWEST_TASKS = 4
PACES = (1, 2)  # tokens a step, of the likeliest fills


def judged(
    folder: Path,
    mined: Mined,
    test: Sequence[Task],
    policy: Policy,
    judge: Judge,
    *,
    samples: int,
    seed: int,
    left: float,
    each_s: float,
    foreign: "Foreign",
    looks: int,
    say: Any,
) -> dict[str, Any]:
    """Everything the report says, as numbers."""
    adapters = adapters_of(folder, policy)
    affordable = ranks.led(lambda: int(left / max(1e-9, each_s * len(adapters))))
    tasks = measure.spread(test, max(FEWEST_TASKS, affordable))
    answers: dict[str, Answers] = {}
    for name, adapter in adapters.items():
        say(f"judging {name} on {len(tasks)} held-out tasks")
        policy.wear(adapter)
        answers[name] = answered(policy, judge, tasks, samples, seed)
    after = foreign.look(policy)
    policy.wear(adapters[TUNED])
    # A task whose fills the room could not judge, of whichever model, says nothing.
    sound = [
        n
        for n in range(len(tasks))
        if all(each.drawn[n].judged for each in answers.values())
    ]
    if len(sound) < len(tasks):
        say(f"{len(tasks) - len(sound)} of them could not be judged and are left out")
    tasks = tuple(tasks[n] for n in sound)
    found = {name: summed(each, sound, samples) for name, each in answers.items()}
    verdicts = compared(found, [task.path for task in tasks], seed, looks)
    nats, passes = foreign.intervals(after, seed)
    caught = cheating(folder)
    decision = gate.decide(verdicts["tuned"], nats=nats, passes=passes, caught=caught)
    return {
        "verdict": decision.word,
        "reasons": list(decision.reasons),
        "looks": looks,
        "tasks": [asdict(task) for task in tasks],
        "left_out": len(test) - len(tasks),
        "models": found,
        "comparisons": {name: asdict(each) for name, each in verdicts.items()},
        "foreign_nats": asdict(nats),
        "everyday_passes": asdict(passes),
        "foreign": {BASE: foreign.means(), TUNED: foreign.means(after)},
        "foreign_holes": len(foreign.holes),
        "caught": asdict(caught),
    }


def adapters_of(folder: Path, policy: Policy) -> dict[str, Any]:
    """What each of the models compared wears: nothing, the warm start's, the tuned one."""
    tuned = adapting.state(policy.trained)
    found: dict[str, Any] = {BASE: None}
    if (folder / "warm").is_dir():
        adapting.load_into(policy.trained, folder / "warm")
        found[WARM] = adapting.state(policy.trained)
    return found | {TUNED: tuned}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One model on the held-out tasks: drawn near what users see, and the likeliest."""

    drawn: list[measure.Measured]
    greedy: dict[int, list[measure.Measured]]  # by tokens a step


def answered(
    policy: Policy, judge: Judge, tasks: Sequence[Task], samples: int, seed: int
) -> Answers:
    def fills(draw: Draw, count: int) -> list[measure.Measured]:
        place = (seed, "gate")
        return measure.measure_all(policy.writer, judge, tasks, draw, count, seed=place)

    return Answers(
        drawn=fills(Draw(temperature=TEMPERATURE), samples),
        greedy={
            pace: fills(Draw(temperature=0.0, tokens_per_step=float(pace)), 1)
            for pace in PACES
        },
    )


def summed(answers: Answers, sound: Sequence[int], samples: int) -> dict[str, Any]:
    """Its numbers, over the tasks that count."""
    drawn = [answers.drawn[n] for n in sound]
    found: dict[str, Any] = {
        "shares": [each.share for each in drawn],
        "passed": [each.passed for each in drawn],
        "texts": [[r.text for r in each.rollouts] for each in drawn],
        "pass_at_1": measure.pass_rate(drawn),
        "pass_at_k": {
            k: fmean(pass_at_k(len(e.passed), sum(e.passed), k) for e in drawn)
            for k in range(1, samples + 1)
            if drawn and all(len(e.passed) >= k for e in drawn)
        },
        "exact": fmean(
            [r.text == e.task.original for e in drawn for r in e.rollouts] or [0]
        ),
    }
    orders = [r.order for e in drawn for r in e.rollouts if len(r.order) > 2]
    if orders:
        found["local_arness"] = fmean(arness.local_arness(o, 1) for o in orders)
        found["global_arness"] = fmean(arness.global_arness(o, 1) for o in orders)
    for pace, all_tasks in answers.greedy.items():
        found[f"greedy_{pace}"] = measure.pass_rate([all_tasks[n] for n in sound])
    return found


def compared(
    found: Mapping[str, Mapping[str, Any]], files: Sequence[str], seed: int, looks: int
) -> dict[str, gate.Verdict]:
    pairs = {"tuned": (BASE, TUNED)}
    if WARM in found:
        pairs |= {"warm": (BASE, WARM), "beyond_warm": (WARM, TUNED)}
    shares = {name: each["shares"] for name, each in found.items()}
    return {
        name: gate.verdict(shares[a], shares[b], files, seed=seed, looks=looks)
        for name, (a, b) in pairs.items()
    }


def cheating(folder: Path) -> gate.Caught:
    """Shares of the last rollouts by their step, whichever process they are from. The
    first step's are the bare model's, or the warm one's: what it writes unrewarded."""
    rows = {
        (row["step"], row["task"], row["number"]): row["judged"]["fault"]
        for row in journal.rollouts(folder)
    }
    places = sorted(rows)
    late = [rows[place] for place in places[-LATE:]]
    first = [rows[place] for place in places if place[0] == places[0][0]]
    return gate.Caught(
        audit=late.count("audit") / max(1, len(late)),
        rules=late.count("policy") / max(1, len(late)),
        rules_at_first=first.count("policy") / max(1, len(first)),
    )


class Foreign:
    """Code of others: what the bare model makes of it, and how long that took."""

    def __init__(self, policy: Policy, most_s: float) -> None:
        """As many holes as can be looked at in that time; fewer make the bounds wider."""
        began = time.monotonic()
        self.holes = general.foreign()
        general.likelihoods(policy.writer, self.holes[: general.BATCH])
        each_s = (time.monotonic() - began) / general.BATCH / ranks.count()
        count = max(2 * general.BATCH, int(most_s / max(each_s, 1e-9)))
        self.holes = self.holes[: ranks.led(lambda: count)]
        self.before = self.look(policy)
        self.seconds = time.monotonic() - began

    def look(self, policy: Policy) -> tuple[list[float], list[float]]:
        nats = general.likelihoods(policy.writer, ranks.mine(self.holes))
        parts = ranks.gathered(nats)
        whole = [0.0] * len(self.holes)
        for rank, part in enumerate(parts):
            whole[rank :: len(parts)] = part
        return whole, general.everyday(policy.writer)

    def intervals(
        self, after: tuple[list[float], list[float]], seed: int
    ) -> tuple[Interval, Interval]:
        """After less before: nats a token that became likelier, shares filled right."""
        files = [hole.file for hole in self.holes]
        nats = paired_difference(self.before[0], after[0], files, seed=seed)
        functions = range(len(after[1]))
        return nats, paired_difference(after[1], self.before[1], functions, seed=seed)

    def means(
        self, found: tuple[list[float], list[float]] | None = None
    ) -> dict[str, float]:
        nats, passes = found or self.before
        return {"nats": fmean(nats), "passes": fmean(passes)}


def keep(folder: Path, found: Mapping[str, Any], policy: Policy, mined: Mined) -> None:
    """All of it on disk; the verdict last, so that where it is, the rest is too."""
    adapting.save(policy.trained, folder / "adapter")
    steps = journal.read(folder / "steps.jsonl")
    warm = journal.read(folder / "warm.jsonl")
    page = report.page(found, steps, warm, mined)
    journal.write(folder / "report.html", page)
    journal.write(folder / "verdict.json", json.dumps(found, indent=1))


def text(found: Mapping[str, Any], folder: Path) -> str:
    """For the terminal."""
    lines = [f"verdict: {found['verdict']}", *(f"  {r}" for r in found["reasons"])]
    for name, each in found["models"].items():
        lines.append(
            f"  {name:11} pass@1 {100 * each['pass_at_1']:5.1f} %   greedy "
            f"{100 * each['greedy_1']:5.1f} % at one token a step, "
            f"{100 * each['greedy_2']:5.1f} % at two"
        )
    beyond = found["comparisons"].get("beyond_warm")
    if beyond is not None:
        how = "beat" if beyond["word"] == "better" else "did not beat"
        points = 100 * beyond["difference"]["value"]
        lines.append(f"  reinforcement {how} the warm start ({points:+.1f} points)")
    lines += [f"  {sentence}" for sentence in report.powerless(found)]
    lines.append(f"  report: {folder / 'report.html'}")
    if found["verdict"] == "better":
        lines.append("  serve it with `dlmd tune REPO --activate`")
    return "\n".join(lines)
