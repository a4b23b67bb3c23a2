"""The command line: parses, calls, prints; the only room that turns exceptions into text.

One file for each topic. Everything heavier than parsing is imported inside the command that
needs it, so that `dlmd --help` answers at once. Must not hold logic that a test would want
to call.
"""

import io
import os
import signal
import sys
from typing import Annotated

import typer

from dlmd.cli.shared import FAILED, announce, app

# isort: off
# Commands show in --help in the order in which their files are imported.
from dlmd.cli import serving  # noqa: F401
from dlmd.cli import living  # noqa: F401
from dlmd.cli import filling  # noqa: F401
from dlmd.cli import models  # noqa: F401
from dlmd.cli import caring  # noqa: F401
from dlmd.cli import measuring  # noqa: F401
from dlmd.cli import tuning  # noqa: F401
from dlmd.cli import counting  # noqa: F401
# isort: on

__all__ = ["announce", "app", "main", "sentence"]


def main() -> None:
    """Run a command; whatever a user, a peer or a disk did wrong becomes one line."""
    _ready_streams()
    try:
        try:
            app()
        finally:
            _flush_output()
    except (ValueError, OSError) as failure:
        print(f"dlmd: {sentence(failure)}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:  # outside of commands, which have their own answer
        sys.exit(130)
    finally:
        # Nothing is left to tidy up; Python would answer Ctrl-C now with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _ready_streams() -> None:
    # Closed ones (`>&-`) are None; what went to stderr would then land in the output.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush_output() -> None:
    """Find a full disk now: later, Python would end with two lines of its own."""
    if sys.stdout.closed:
        return  # the language server closes what it spoke on, as its editor asked
    try:
        sys.stdout.flush()
    except OSError as failure:
        # What could not be written stays in the buffer, and is tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(failure, BrokenPipeError):
            sys.exit(FAILED)  # who reads has seen enough
        raise ValueError(
            f"cannot write the output ({failure.strerror}); make room, or send it "
            "somewhere else"
        ) from failure


def sentence(failure: Exception) -> str:
    """An exception as one line; the operating system's lose their numbers."""
    if isinstance(failure, OSError) and failure.strerror:
        where = f"{failure.filename}: " if failure.filename else ""
        return f"{where}{failure.strerror}"
    return " ".join(str(failure).split())


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
) -> None:
    if version:
        from dlmd.wire import discovery

        print(f"dlmd {discovery.version()}")
        raise typer.Exit
