"""Rows of results to figures, and figures to text.

pass@1 stands beside the constant answers on the same tasks, because a model that
writes blank lines gets some of them right. Must not run or decode anything.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dlmd_finetune.evidence.ledger import Row
from dlmd_finetune.evidence.tasks import (
    Task,
    counted,
    is_exact,
    parses,
    program,
    similarity,
)

Summary = dict[str, Any]
Verdicts = Mapping[str, Sequence[bool]]  # of each task, one for each sample
WHAT = {
    "line": "single lines: the hole takes the indentation as well, an answer ends at its "
    "first newline",
    "lines": "several whole lines",
    "span": "random spans",
    "body": "bodies below signature and docstring",
    "module": "whole functions below a description",
}


def summarise(
    name: str,
    tasks: Sequence[Task],
    rows: Sequence[Row],
    constants: Mapping[str, Sequence[Row]],
    *,
    seed: int,
    ks: Sequence[int] = (1,),
) -> Summary:
    """Over the tasks that all answers have a verdict for; the others are counted."""
    # Here, because the command line reads the configuration, and numpy is slow to load.
    from dlmd_finetune.evidence.statistics import paired_difference

    verdicts = {each: _verdicts(rows) for each, rows in constants.items()}
    mine = _verdicts(rows)
    samples = max(map(len, mine.values()), default=0)
    judged = [
        task
        for task in tasks
        if all(task.task_id in known for known in verdicts.values())
        and len(mine.get(task.task_id, ())) == samples > 0
    ]
    if not judged:
        raise ValueError(
            "the sandbox could run none of the programs "
            f"({_first_detail(rows)}); nothing was measured"
        )
    problems = [task.problem for task in judged]
    rates = {each: _rate(judged, known, 1, seed) for each, known in verdicts.items()}
    best = max(rates, key=lambda each: rates[each]["value"])
    difference = paired_difference(
        _passed(judged, mine, 1),
        _passed(judged, verdicts[best], 1),
        problems,
        seed=seed,
    )
    kept = {task.task_id: task for task in judged}
    pairs = [(kept[row["task"]], row) for row in rows if row["task"] in kept]
    return {
        "answers": name,
        "kinds": sorted({task.kind for task in judged}),
        "tasks": len(judged),
        "samples": samples,
        "problems": len(set(problems)),
        "not_judged": len(tasks) - len(judged),
        "pass_at_1": _rate(judged, mine, 1, seed),
        "pass_at_k": {str(k): _rate(judged, mine, k, seed) for k in ks},
        "constants": rates,
        "best_constant": best,
        "difference": asdict(difference),
        "above_best_constant": difference.low > 0,
        **_of_answers(pairs),
    }


def _verdicts(rows: Sequence[Row]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row["kind"] != "infrastructure":
            found[row["task"]].append(row["kind"] == "passed")
    return dict(found)


def _passed(tasks: Sequence[Task], known: Verdicts, k: int) -> list[float]:
    """pass@k of each task."""
    from dlmd_finetune.evidence.statistics import pass_at_k

    scores = [known[task.task_id] for task in tasks]
    return [pass_at_k(len(each), sum(each), k) for each in scores]


def _rate(
    tasks: Sequence[Task], known: Verdicts, k: int, seed: int
) -> dict[str, float]:
    from dlmd_finetune.evidence.statistics import share_interval

    problems = [task.problem for task in tasks]
    return asdict(share_interval(_passed(tasks, known, k), problems, seed=seed))


def _first_detail(rows: Sequence[Row]) -> str:
    return next((row["detail"] for row in rows if row["detail"]), "no reason given")


def _of_answers(pairs: Sequence[tuple[Task, Row]]) -> Summary:
    n = len(pairs)
    texts = [(task, counted(task, row["text"])) for task, row in pairs]
    tokens = [row["tokens"] for _, row in pairs if row["tokens"] is not None]
    return {
        "exact_match": sum(is_exact(*pair) for pair in texts) / n,
        "similarity": sum(similarity(*pair) for pair in texts) / n,
        "parse_rate": sum(parses(program(*pair)) for pair in texts) / n,
        "empty_rate": sum(not text.strip() for _, text in texts) / n,
        "mean_characters": sum(len(text) for _, text in texts) / n,
        "mean_reference_characters": sum(len(task.reference) for task, _ in texts) / n,
        "mean_tokens": sum(tokens) / len(tokens) if tokens else None,
        "mean_forwards": sum(row["forwards"] for _, row in pairs) / n,
        "finish": dict(Counter(row["finish"] for _, row in pairs)),
        "timeouts": sum(row["kind"] == "timeout" for _, row in pairs),
    }


def text(summary: Summary) -> str:
    name = summary["answers"]
    best = summary["best_constant"]
    verdict = "above" if summary["above_best_constant"] else "NOT above"
    width = max(map(len, (name, f"{name} - {best}", *summary["constants"]))) + 2
    more = {k: rate for k, rate in summary["pass_at_k"].items() if k != "1"}
    each = "" if summary["samples"] == 1 else f", {summary['samples']} samples each"
    lines = [
        f"{summary['tasks']} tasks of {summary['problems']} problems{each}, "
        f"{'; '.join(WHAT[kind] for kind in summary['kinds'])}.",
        "",
        f"{'':{width}}  pass@1   95 % interval (bootstrap over problems)",
        _line(name, summary["pass_at_1"], width),
        *(_line(each, rate, width) for each, rate in summary["constants"].items()),
        _line(f"{name} - {best}", summary["difference"], width, sign="+")
        + f"   paired: {verdict} the best constant answer",
        *(_line(f"{name} @{k}", rate, width) for k, rate in more.items()),
        "",
        f"exact match {_percent(summary['exact_match'])}   "
        f"similarity {_percent(summary['similarity'])}   "
        f"parses {_percent(summary['parse_rate'])}   "
        f"empty {_percent(summary['empty_rate'])}   timeouts {summary['timeouts']}",
        _length(summary),
        "finish: "
        + ", ".join(f"{why or 'none'} {n}" for why, n in summary["finish"].items())
        + f"   forwards {summary['mean_forwards']:.1f}",
    ]
    if summary["not_judged"]:
        lines.append(
            f"NOT JUDGED: {summary['not_judged']} tasks, by faults of the sandbox; "
            "the same command tries them again"
        )
    return "\n".join(lines)


def _line(name: str, rate: Mapping[str, float], width: int, sign: str = "") -> str:
    low, high = (f"{100 * rate[end]:{sign}.1f}" for end in ("low", "high"))
    return f"{name:{width}}  {100 * rate['value']:{sign}5.1f} %  [{low}, {high}]"


def _length(summary: Summary) -> str:
    tokens = summary["mean_tokens"]
    told = "" if tokens is None else f" = {tokens:.1f} tokens"
    return (
        f"mean length {summary['mean_characters']:.1f} characters{told}, "
        f"reference {summary['mean_reference_characters']:.1f}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
