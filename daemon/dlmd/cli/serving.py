"""`dlmd serve`, `status`, `stop`, `lsp`: what runs for long, and a look at it.

Must not hold logic that a test would want to call.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmd.cli.shared import (
    FAILED,
    LOADING,
    STOPPED,
    AsJson,
    Socket,
    announce,
    app,
    print_json,
)
from dlmd.flags import setting
from dlmd.settings import Device, load

if TYPE_CHECKING:
    from dlmd.wire.protocol import Status


@app.command()
def serve(
    model: Annotated[str | None, setting("model")] = None,
    device: Annotated[Device | None, setting("device")] = None,
    socket: Socket = None,
    http: Annotated[str | None, setting("http")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Come back once the model is loaded.")
    ] = False,
) -> None:
    """Run the daemon: it keeps the model loaded for the terminal and for editors."""
    settings = load({"model": model, "device": device, "socket": socket, "http": http})
    if detach:
        from dlmd import ask

        found = ask.detach(settings, announce)
        print(f"ready on {found.socket} (process {found.pid}); end it with `dlmd stop`")
        return
    from dlmd.serve.backend import ModelBackend
    from dlmd.serve.engine import Engine
    from dlmd.serve.server import serve as run

    backend = ModelBackend(settings)
    code = run(
        Engine(backend),
        socket=None if settings.socket is None else Path(settings.socket),
        http=settings.http,
        count=backend.count,
        announce=announce,
    )
    raise typer.Exit(code)


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
        print_json({"phase": "stopped"}) if as_json else print("stopped")
        raise typer.Exit(STOPPED)
    seen = asyncio.run(ask.status(Endpoint(socket=path)))
    pid = found.pid if found and found.socket == path else None
    if as_json:
        about = to_builtins(seen) | {"socket": str(path), "pid": pid}
        print_json({key: value for key, value in about.items() if key != "type"})
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
