"""The command line: parses, calls, prints; the only file that turns exceptions into text.

Everything heavier than parsing is imported inside the command that needs it, so that
`dlmd --help` answers at once. Must not hold logic that a test would want to call.
"""

import io
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmd.flags import run_with_flags, setting
from dlmd.settings import Device, Mode, Settings, load

if TYPE_CHECKING:
    from dlmd.holes import Document
    from dlmd.wire.client import Endpoint
    from dlmd.wire.protocol import Infill, Result, Status

FAILED, STOPPED, LOADING = 1, 3, 4

_LOOK: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,  # rich would cost a third of the start
    "pretty_exceptions_enable": False,
}
app = typer.Typer(
    help="A local code assistant on masked-diffusion language models.", **_LOOK
)
evaluations = typer.Typer(help="Measure a model.", **_LOOK)
app.add_typer(evaluations, name="eval")
# The flags of these commands belong to dataclasses that only the command imports.
_PASS_ON: dict[str, Any] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
}

Socket = Annotated[str | None, setting("socket")]
NoStart = Annotated[bool | None, setting("no_start")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]
Place = Annotated[str, typer.Argument(metavar="FILE:LINE[:COL]|-")]
Marker = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="With -: what marks a hole, not ⟦⟧ or ⟦12⟧."),
]
Tokens = Annotated[
    int | None,
    typer.Option(metavar="N", help="Length of a hole; else the model finds its own."),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Denoising steps.")]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="The same seed draws the same fill.")
]
Write = Annotated[bool, typer.Option("--write", help="Write the fill into FILE.")]
Delay = Annotated[
    int,
    typer.Option(
        metavar="MS",
        min=0,
        max=10_000,
        help="Pause after each drawn state; slows the drawing, not the model.",
    ),
]


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


def announce(text: str) -> None:
    print(f"dlmd: {text}", file=sys.stderr, flush=True)


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


@app.command()
def serve(
    model: Annotated[str | None, setting("model")] = None,
    device: Annotated[Device | None, setting("device")] = None,
    socket: Socket = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Come back once the model is loaded.")
    ] = False,
) -> None:
    """Run the daemon: it keeps the model loaded for the terminal and for editors."""
    settings = load({"model": model, "device": device, "socket": socket})
    if detach:
        from dlmd import ask

        found = ask.detach(settings, announce)
        print(f"ready on {found.socket} (process {found.pid}); end it with `dlmd stop`")
        return
    from dlmd.serve.backend import ModelBackend
    from dlmd.serve.engine import Engine
    from dlmd.serve.server import serve as run

    path = None if settings.socket is None else Path(settings.socket)
    raise typer.Exit(
        run(Engine(ModelBackend(settings)), socket=path, announce=announce)
    )


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
    as_json: AsJson = False,
    delay: Delay = 0,
    socket: Socket = None,
    no_start: NoStart = None,
) -> None:
    """Fill a hole at a place in a file, or the marked holes of a text on stdin.

    LINE and COL count from 1; without COL the hole is at the end of the line. In a terminal
    the denoising is drawn; in a pipe the whole text comes out, filled.
    """
    from dlmd import ask, holes

    document = _document(place, hole, tokens, write)
    settings = load(
        {"mode": mode, "temperature": temperature, "top_p": top_p, "socket": socket}
        | {"tokens_per_step": tokens_per_step, "no_start": no_start}
    )
    # Steps asked for here beat tokens per step from the environment or the file.
    per_step = settings.tokens_per_step if steps is None else tokens_per_step
    request = _request(
        document, replace(settings, tokens_per_step=per_step), steps, seed
    )
    drawn = sys.stdout.isatty() and not as_json
    pause_s = delay / 1000 if drawn else None
    status, result = _asked(request, ask.reach(settings, announce), pause_s)
    filled = holes.spliced(document.parts, result.candidates[0].holes)
    if as_json:
        _print_json(_described(status, result))
    elif not drawn and not write:
        sys.stdout.buffer.write(filled.encode())
        sys.stdout.buffer.flush()
    if write:
        holes.write_back(document, filled)
        announce(f"wrote {document.path}")


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
    document: "Document", settings: Settings, steps: int | None, seed: int | None
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
    )


def _asked(
    request: "Infill", endpoint: "Endpoint | None", delay_s: float | None
) -> "tuple[Status, Result]":
    import asyncio

    from dlmd import ask

    if delay_s is None:
        return asyncio.run(ask.fill(request, endpoint))
    from rich.console import Console

    return asyncio.run(ask.fill_drawn(request, endpoint, Console(), delay_s))


def _described(status: "Status", result: "Result") -> dict[str, Any]:
    from msgspec import to_builtins

    about = {"model": status.model, "profile": status.profile, "device": status.device}
    told: dict[str, Any] = to_builtins(result)
    return about | {"candidates": told["candidates"], "usage": told["usage"]}


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False))


@app.command()
def status(as_json: AsJson = False, socket: Socket = None) -> None:
    """Say what the daemon does. Exit code 0: ready; 1: failed; 3: stopped; 4: loading."""
    import asyncio

    from msgspec import to_builtins

    from dlmd import ask
    from dlmd.wire import discovery
    from dlmd.wire.client import Endpoint

    named = load({"socket": socket}).socket
    found = discovery.read()
    path = Path(named) if named else found.socket if found else None
    if path is None:
        _print_json({"phase": "stopped"}) if as_json else print("stopped")
        raise typer.Exit(STOPPED)
    seen = asyncio.run(ask.status(Endpoint(socket=path)))
    pid = found.pid if found and found.socket == path else None
    if as_json:
        about = to_builtins(seen) | {"socket": str(path), "pid": pid}
        _print_json({key: value for key, value in about.items() if key != "type"})
    else:
        print(_status_text(seen, path, pid))
    raise typer.Exit(
        {"ready": 0, "busy": 0, "loading": LOADING}.get(seen.phase, FAILED)
    )


def _status_text(seen: "Status", socket: Path, pid: int | None) -> str:
    from dlmd.terminal import heading, loading

    lines = [seen.phase, str(heading(seen))]
    if seen.phase == "loading":
        lines.append(loading(seen))
    lines += [text for text in (seen.detail, seen.fix) if text]
    return "\n".join([*lines, f"socket {socket}", *([f"pid {pid}"] if pid else [])])


@app.command()
def stop() -> None:
    """Stop the daemon, after what it is doing."""
    from dlmd import ask
    from dlmd.wire import discovery

    found = discovery.read()
    if found is None:
        print("no daemon runs")
        return
    ask.stop(found)
    print(f"stopped process {found.pid}")


@app.command()
def lsp(
    # VS Code's client says so to every server.
    stdio: Annotated[bool, typer.Option("--stdio", hidden=True)] = True,
) -> None:
    """Speak the language server protocol over stdin and stdout, for editors."""
    from dlmd_lsp.server import main as serve_editor

    serve_editor()


@evaluations.command("infilling", **_PASS_ON)
def eval_infilling(context: typer.Context) -> None:
    """Fill the holes of HumanEval-Infilling and count what passes its tests."""
    from dlmd_finetune.evidence.evaluate import EvalConfig
    from dlmd_finetune.evidence.evaluate import main as evaluate

    run_with_flags(evaluate, EvalConfig, context)


@app.command(**_PASS_ON)
def pretrain(context: typer.Context) -> None:
    """Train a small masked-diffusion model on Python source."""
    from dlmd_finetune.pretrain import PretrainConfig
    from dlmd_finetune.pretrain import pretrain as train

    run_with_flags(train, PretrainConfig, context, positional="corpus")


@app.command(**_PASS_ON)
def bench(context: typer.Context) -> None:
    """Measure how long the first state and a whole fill take, through the daemon."""
    from dlmd import ask
    from dlmd.bench import BenchConfig
    from dlmd.bench import bench as measure

    def run(config: BenchConfig) -> None:
        print(measure(config, ask.reach(load(), announce)))

    run_with_flags(run, BenchConfig, context)
