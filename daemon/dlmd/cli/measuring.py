"""`dlmd eval`, `pretrain`, `bench`: what trains and what measures.

Must not hold logic that a test would want to call.
"""

import typer

from dlmd.cli.shared import PASS_ON, announce, app, evaluations
from dlmd.flags import run_with_flags
from dlmd.settings import load


def _evaluate(context: typer.Context, form: str) -> None:
    from dlmd_finetune.evidence.evaluate import EvalConfig, runner

    run_with_flags(runner(form), EvalConfig, context)


@evaluations.command("infilling", **PASS_ON)
def eval_infilling(context: typer.Context) -> None:
    """Fill the holes of HumanEval-Infilling and count what passes its tests."""
    _evaluate(context, "infilling")


@evaluations.command("humaneval", **PASS_ON)
def eval_humaneval(context: typer.Context) -> None:
    """Write the functions of HumanEval or HumanEval+ and count what passes."""
    _evaluate(context, "humaneval")


@evaluations.command("mbpp", **PASS_ON)
def eval_mbpp(context: typer.Context) -> None:
    """Write the functions of MBPP or MBPP+ and count what passes."""
    _evaluate(context, "mbpp")


@evaluations.command("repo", **PASS_ON)
def eval_repo(context: typer.Context) -> None:
    """Fill holes of a repository and compare, or let its own tests judge."""
    from dlmd_finetune.repository import RepositoryConfig
    from dlmd_finetune.repository import main as measure

    run_with_flags(measure, RepositoryConfig, context, positional="repo")


@evaluations.command("order", **PASS_ON)
def eval_order(context: typer.Context) -> None:
    """Say how temperature changes the order in which holes are filled."""
    from dlmd_finetune.evidence.sweep import OrderConfig
    from dlmd_finetune.evidence.sweep import main as sweep

    run_with_flags(sweep, OrderConfig, context)


@evaluations.command("compare", **PASS_ON)
def eval_compare(context: typer.Context) -> None:
    """Say how two runs differ on the tasks they share."""
    from dlmd_finetune.evidence.compare import CompareConfig
    from dlmd_finetune.evidence.compare import main as compare

    run_with_flags(compare, CompareConfig, context, positional="results")


@app.command(**PASS_ON)
def pretrain(context: typer.Context) -> None:
    """Train a small masked-diffusion model on Python source."""
    from dlmd_finetune.pretrain import PretrainConfig
    from dlmd_finetune.pretrain import pretrain as train

    run_with_flags(train, PretrainConfig, context, positional="corpus")


@app.command(**PASS_ON)
def bench(context: typer.Context) -> None:
    """Measure how soon states and fills come, and how often fast modes agree with exact."""
    from dlmd import ask
    from dlmd.bench import BenchConfig
    from dlmd.bench import bench as measure

    def run(config: BenchConfig) -> None:
        print(measure(config, lambda: ask.reach(load(), announce)))

    run_with_flags(run, BenchConfig, context, positional="files")
