"""`dlmd tune`: a repository's own tests teach the model.

Must not hold logic that a test would want to call.
"""

import typer

from dlmd.cli.shared import PASS_ON, app
from dlmd.flags import run_with_flags


@app.command(**PASS_ON)
def tune(context: typer.Context) -> None:
    """Teach the model a repository by its own tests, and keep what the evidence allows.

    The tests are run in a sandbox, on a copy. With --dry-run it stops after saying which
    tasks they give.
    """
    from dlmd_finetune.tune import TuneConfig
    from dlmd_finetune.tune import tune as run

    run_with_flags(run, TuneConfig, context, positional="repo")
