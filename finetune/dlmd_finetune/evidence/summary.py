"""Rows of results to figures, and figures to text.

pass@1 stands beside the constant answers on the same tasks, because a model that
writes blank lines gets some of them right. Must not run or decode anything.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dlmd_finetune.evidence.humaneval import (
    Task,
    answer_line,
    is_exact,
    parses,
    program,
)
from dlmd_finetune.evidence.ledger import Row

Summary = dict[str, Any]


def summarise(
    name: str,
    tasks: Sequence[Task],
    rows: Sequence[Row],
    constants: Mapping[str, Sequence[Row]],
    *,
    seed: int,
) -> Summary:
    """Over the tasks that all answers have a verdict for; the others are counted."""
    # Here, because the command line reads the configuration, and numpy is slow to load.
    from dlmd_finetune.evidence.statistics import paired_difference, rate_interval

    verdicts = {each: _passed(rows) for each, rows in constants.items()}
    mine = _passed(rows)
    judged = [
        task
        for task in tasks
        if all(task.task_id in known for known in (mine, *verdicts.values()))
    ]
    if not judged:
        raise ValueError(
            "the sandbox could run none of the programs "
            f"({_first_detail(rows)}); nothing was measured"
        )
    problems = [task.problem for task in judged]

    def hits(known: Mapping[str, bool]) -> list[bool]:
        return [known[task.task_id] for task in judged]

    rates = {
        each: rate_interval(hits(known), problems, seed=seed)
        for each, known in verdicts.items()
    }
    best = max(rates, key=lambda each: rates[each].value)
    difference = paired_difference(
        hits(mine), hits(verdicts[best]), problems, seed=seed
    )
    by_task = {row["task"]: row for row in rows}
    return {
        "answers": name,
        "tasks": len(judged),
        "problems": len(set(problems)),
        "not_judged": len(tasks) - len(judged),
        "pass_at_1": asdict(rate_interval(hits(mine), problems, seed=seed)),
        "constants": {each: asdict(rate) for each, rate in rates.items()},
        "best_constant": best,
        "difference": asdict(difference),
        "above_best_constant": difference.low > 0,
        **_of_answers([(task, by_task[task.task_id]) for task in judged]),
    }


def _passed(rows: Sequence[Row]) -> dict[str, bool]:
    return {
        row["task"]: row["kind"] == "passed"
        for row in rows
        if row["kind"] != "infrastructure"
    }


def _first_detail(rows: Sequence[Row]) -> str:
    return next((row["detail"] for row in rows if row["detail"]), "no reason given")


def _of_answers(pairs: Sequence[tuple[Task, Row]]) -> Summary:
    n = len(pairs)
    lines = [(task, answer_line(row["text"])) for task, row in pairs]
    tokens = [row["tokens"] for _, row in pairs if row["tokens"] is not None]
    return {
        "exact_match": sum(is_exact(*pair) for pair in lines) / n,
        "parse_rate": sum(parses(program(*pair)) for pair in lines) / n,
        "empty_rate": sum(not line.strip() for _, line in lines) / n,
        "mean_characters": sum(len(line) for _, line in lines) / n,
        "mean_reference_characters": sum(len(task.reference) for task, _ in lines) / n,
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
    lines = [
        f"HumanEval-Infilling, single line: {summary['tasks']} tasks of "
        f"{summary['problems']} problems; the hole takes the indentation as well, "
        "an answer ends at its first newline.",
        "",
        f"{'':{width}}  pass@1   95 % interval (bootstrap over problems)",
        _line(name, summary["pass_at_1"], width),
        *(_line(each, rate, width) for each, rate in summary["constants"].items()),
        _line(f"{name} - {best}", summary["difference"], width, sign="+")
        + f"   paired: {verdict} the best constant answer",
        "",
        f"exact match {_percent(summary['exact_match'])}   "
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
