"""`dlmd infill`: a hole in a file or on stdin, drawn or spliced.

Must not hold logic that a test would want to call.
"""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmd.cli.shared import (
    AsJson,
    Connect,
    KeepAlive,
    NoStart,
    Socket,
    announce,
    app,
    print_json,
)
from dlmd.flags import bounded, setting, typed
from dlmd.settings import Mode, Settings, load

if TYPE_CHECKING:
    from pathlib import Path

    from dlmd.holes import Document
    from dlmd.wire.client import Endpoint
    from dlmd.wire.protocol import Infill, Result, Status

WHOLE = typed(int) | {"metavar": "N"}
Place = Annotated[str, typer.Argument(metavar="FILE:LINE[:COL]|-")]
Marker = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="With -: what marks a hole, not ⟦⟧ or ⟦12⟧."),
]
Tokens = Annotated[
    int | None,
    typer.Option(help="Slots of a hole; else the model finds its length.", **WHOLE),
]
Steps = Annotated[int | None, typer.Option(help="Denoising steps.", **WHOLE)]
Seed = Annotated[
    int | None, typer.Option(help="The same seed draws the same fill.", **WHOLE)
]
Write = Annotated[bool, typer.Option("--write", help="Write the fill into FILE.")]
Delay = Annotated[
    int,
    typer.Option(
        help="Pause after each drawn state; slows the drawing, not the model.",
        **WHOLE | {"metavar": "MS"},
    ),
]


@app.command()
def infill(
    place: Place,
    hole: Marker = None,
    tokens: Tokens = None,
    tokens_per_step: Annotated[float | None, setting("tokens_per_step")] = None,
    steps: Steps = None,
    temperature: Annotated[float | None, setting("temperature")] = None,
    top_p: Annotated[float | None, setting("top_p")] = None,
    mode: Annotated[Mode | None, setting("mode")] = None,
    seed: Seed = None,
    write: Write = False,
    keep_alive: KeepAlive = None,
    as_json: AsJson = False,
    delay: Delay = 0,
    socket: Socket = None,
    connect: Connect = None,
    no_start: NoStart = None,
) -> None:
    """Fill a hole at a place in a file, or the marked holes of a text on stdin.

    LINE and COL count from 1; without COL the hole is at the end of the line. In a terminal
    the denoising is drawn; in a pipe the whole text comes out, filled.
    """
    from dlmd import ask, holes

    _refuse_numbers(tokens, steps, tokens_per_step, seed, delay)
    document = _document(place, hole, tokens, write)
    settings = load(
        {"mode": mode, "temperature": temperature, "top_p": top_p, "socket": socket}
        | {"tokens_per_step": tokens_per_step, "no_start": no_start, "connect": connect}
        | {"keep_alive": keep_alive}
    )
    # Steps asked for here beat tokens per step from the environment or the file.
    per_step = settings.tokens_per_step if steps is None else tokens_per_step
    request = _request(
        document, replace(settings, tokens_per_step=per_step), steps, seed, keep_alive
    )
    drawn = sys.stdout.isatty() and not as_json
    pause_s = delay / 1000 if drawn else None
    # Another machine has adapters of its own.
    file = document.path if settings.connect is None else None
    status, result = _asked(request, ask.reach(settings, announce), pause_s, file)
    filled = holes.spliced(document.parts, result.candidates[0].holes)
    if as_json:
        print_json(_described(status, result))
    elif not drawn and not write:
        sys.stdout.buffer.write(filled.encode())
        sys.stdout.buffer.flush()
    if write:
        holes.write_back(document, filled)
        announce(f"wrote {document.path}")


def _refuse_numbers(
    tokens: int | None,
    steps: int | None,
    tokens_per_step: float | None,
    seed: int | None,
    delay: int,
) -> None:
    """What the daemon would refuse too, by the names that were typed."""
    from dlmd.wire.protocol import LARGEST_SEED, Limits

    limits = Limits()
    bounded("--tokens", tokens, 1, limits.max_tokens)
    bounded("--steps", steps, 1, limits.max_steps)
    bounded("--seed", seed, 0, LARGEST_SEED)
    bounded("--delay", delay, 0, 10_000)
    if steps is not None and tokens_per_step is not None:
        raise ValueError(
            f"--steps is {steps} and --tokens-per-step {tokens_per_step:g}, expected at "
            "most one of them; leave one out"
        )


def _document(
    place: str, marker: str | None, tokens: int | None, write: bool
) -> "Document":
    from dlmd import holes

    if place != "-":
        if marker is not None:
            raise typer.BadParameter(
                "--hole marks holes in a text on stdin; use it with -"
            )
        return holes.from_file(place, tokens)
    if write:
        raise typer.BadParameter(
            "--write needs FILE:LINE; a filled stdin goes to stdout"
        )
    if marker == "":
        raise typer.BadParameter("--hole is empty; give the text that marks a hole")
    data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    return holes.from_marks(holes.decoded(data, "stdin"), marker, tokens)


def _request(
    document: "Document",
    settings: Settings,
    steps: int | None,
    seed: int | None,
    keep_alive: str | None,
) -> "Infill":
    from dlmd.wire.protocol import Infill

    return Infill(
        id="infill",
        parts=list(document.parts),
        mode=settings.mode,
        steps=steps,
        tokens_per_step=settings.tokens_per_step,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=seed,
        keep_alive=keep_alive,  # unsaid, the daemon's own setting holds
    )


def _asked(
    request: "Infill",
    endpoint: "Endpoint | None",
    delay_s: float | None,
    file: "Path | None",
) -> "tuple[Status, Result]":
    import asyncio

    from dlmd import ask

    if delay_s is None:
        return asyncio.run(ask.fill(request, endpoint, file))
    from rich.console import Console

    return asyncio.run(ask.fill_drawn(request, endpoint, Console(), delay_s, file))


def _described(status: "Status", result: "Result") -> dict[str, Any]:
    from msgspec import to_builtins

    about = {"model": status.model, "profile": status.profile, "device": status.device}
    told: dict[str, Any] = to_builtins(result)
    return about | {"candidates": told["candidates"], "usage": told["usage"]}
