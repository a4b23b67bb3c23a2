"""A run's own account of itself, as Markdown: what it learnt from, under which licences, how,
and what came of it.

Everything in it is read from what the run left behind (its settings, log and tally) and from
figures that `dlmd eval --json` printed. Must not measure anything.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LIMITS = """\
It is small. It fills short, common lines from what stands around them; it does not know
libraries, and it does not plan. What it writes is a suggestion that nobody has run. It learnt
Python only, from public packages, and repeats their habits; text of theirs can come out as it
went in. The tasks that it is measured by were kept out of its data as far as runs of words
show (below)."""


def card(run: Path, model: Path, figures: Sequence[Path]) -> str:
    """The card of the model in `model`, trained in `run`."""
    tally = _read(run / "corpus" / "tally.json")
    told = _read(run / "run.json")
    return (
        "\n\n".join(
            [
                "# Model card",
                shape(_read(model / "config.json"), model / "model.safetensors"),
                "## Figures\n\n" + measured([_read(path) for path in figures], told),
                "## Limits\n\n" + LIMITS,
                "## Recipe\n\n" + recipe(told),
                "## Data\n\n" + data(tally),
            ]
        )
        + "\n"
    )


def shape(config: Mapping[str, Any], weights: Path) -> str:
    """From the files that ship."""
    heads = f"{config['num_attention_heads']} heads"
    return "\n".join(
        [
            "| | |",
            "| --- | --- |",
            f"| shape | {config['num_hidden_layers']} layers, hidden {config['hidden_size']}, "
            f"{heads}, {config['num_key_value_heads']} key/value heads, tied head, vocabulary "
            f"{config['vocab_size']:,} |",
            f"| size | {weights.stat().st_size / 1e6:.1f} MB of safetensors in bfloat16 |",
            f"| context | {config['max_position_embeddings']:,} tokens |",
            "| licence | Apache-2.0, as dlmd |",
        ]
    )


def recipe(told: Mapping[str, Any]) -> str:
    flags = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in told["config"].items()
        if value not in (None, False, []) and name not in ("corpus", "out", "exclude")
    ]
    return (
        f"{told['tokens']:,} tokens in {told['steps']:,} steps and "
        f"{told['seconds'] / 3600:.1f} hours: the first "
        f"{100 * told['config']['causal_share']:.0f} % left to right with a loss on every "
        "token, the rest both ways on canvases with holes.\n\n"
        "```sh\n"
        f"dlmd pretrain packages --out run --exclude HumanEval.jsonl.gz {' '.join(flags)}\n"
        "```\n\n"
        "The same seed and corpus give the same losses, and a run that was killed goes on "
        "with the losses of one that was not (`tests/test_pretrain.py`)."
    )


def measured(figures: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> str:
    rows = [
        "| what | figure | command |",
        "| --- | --- | --- |",
        f"| loss on held-out files | {told['held_out']:.3f} nats | `dlmd pretrain` |",
    ]
    for each in figures:
        limit = "" if each["limit"] is None else f" --limit {each['limit']}"
        other = " --renamed" if each.get("renamed") else ""
        command = f"dlmd eval {each['form']} --data {each['data']}{limit}{other}"
        rate, gap = each["pass_at_1"], each["difference"]
        rows.append(
            f"| {each['data'].removesuffix('.jsonl.gz')}{other}, pass@1 of {each['tasks']:,} | "
            f"{percent(rate)}; parses {100 * each['parse_rate']:.0f} % | `{command}` |"
        )
        rows.append(
            f"| beside it, `{each['best_constant']}` | "
            f"{percent(each['constants'][each['best_constant']])}; paired difference "
            f"{percent(gap, '+')} | the same |"
        )
    return "\n".join(
        [*rows, "", "Brackets are 95 % bootstrap intervals over problems."]
    )


def percent(rate: Mapping[str, float], sign: str = "") -> str:
    value, low, high = (
        f"{100 * rate[end]:{sign}.1f}" for end in ("value", "low", "high")
    )
    return f"{value} % [{low}, {high}]"


def data(tally: Mapping[str, Any]) -> str:
    left = ", ".join(
        f"{tally[name]:,} {name}" for name in ("filtered", "duplicates", "overlapping")
    )
    rows = [
        f"{tally['kept']:,} files, {tally['bytes'] / 1e6:.1f} MB, of {tally['files']:,} read; "
        f"left out: {left}.",
        "",
        "| evaluation set | tasks | files left out for it | its runs of 20 words met before "
        "that | its runs of 10 words in what is left |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, about in sorted(tally["overlap"].items()):
        rows.append(
            f"| {name} | {about['tasks']:,} | {about['files_left_out']} | "
            f"{100 * about['share_of_runs_of_20_before']:.2f} % | "
            f"{100 * about['share_of_runs_of_10_kept']:.2f} % |"
        )
    rows += ["", "| package | version | licence, as its metadata states it | MB |"]
    rows.append("| --- | --- | --- | --- |")
    for name, about in sorted(
        tally["packages"].items(), key=lambda item: item[0].lower()
    ):
        size = about["bytes"] / 1e6
        rows.append(
            f"| {name} | {about['version']} | {about['licence']} | {size:.2f} |"
        )
    return "\n".join(rows)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot read {path}: {error}; give a finished run of `dlmd pretrain`"
        ) from error
