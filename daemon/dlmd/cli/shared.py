"""What commands share: the typer apps, common flags, how one line is said.

Must not import anything that takes time, nor any command.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from dlmd.flags import setting

FAILED, STOPPED, LOADING = 1, 3, 4

LOOK: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,  # rich would cost a third of the start
    "pretty_exceptions_enable": False,
}
app = typer.Typer(
    help="A local code assistant on masked-diffusion language models.", **LOOK
)
evaluations = typer.Typer(help="Measure a model.", **LOOK)
app.add_typer(evaluations, name="eval")
# The flags of these commands belong to dataclasses that only the command imports.
PASS_ON: dict[str, Any] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
}

Socket = Annotated[str | None, setting("socket")]
Connect = Annotated[str | None, setting("connect")]
KeepAlive = Annotated[str | None, setting("keep_alive")]
NoStart = Annotated[bool | None, setting("no_start")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


def announce(text: str) -> None:
    print(f"dlmd: {text}", file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False))


SAY_EVERY_S = 5.0  # where stderr is no terminal


@contextlib.contextmanager
def redrawn() -> Iterator[Callable[[str], None]]:
    """How far something is: one line that is redrawn, or one now and then."""
    drawn = sys.stderr is not None and sys.stderr.isatty()
    every, said = 0.1 if drawn else SAY_EVERY_S, time.monotonic()
    wipe = "\r\x1b[K"

    def say(text: str) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < every:
            return
        said = now
        if drawn:
            print(f"{wipe}{text}", end="", file=sys.stderr, flush=True)
        else:
            announce(text)

    try:
        yield say
    finally:
        if drawn:
            print(wipe, end="", file=sys.stderr, flush=True)
