"""`dlmd serve`, `status`, `stop`, `lsp`: what runs for long, and a look at it.

Must not hold logic that a test would want to call.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmd.cli.shared import (
    FAILED,
    LOADING,
    STOPPED,
    AsJson,
    Connect,
    KeepAlive,
    Socket,
    announce,
    app,
    print_json,
)
from dlmd.flags import setting
from dlmd.settings import load

if TYPE_CHECKING:
    from dlmd.wire.client import Endpoint
    from dlmd.wire.discovery import Discovery
    from dlmd.wire.protocol import Hello, Status


@app.command()
def serve(
    model: Annotated[str | None, setting("model")] = None,
    device: Annotated[str | None, setting("device")] = None,
    socket: Socket = None,
    http: Annotated[str | None, setting("http")] = None,
    keep_alive: KeepAlive = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Come back once the model is loaded.")
    ] = False,
    stay: Annotated[
        bool,
        typer.Option(
            "--stay",
            help="Stay if the model cannot be loaded, and try again when asked.",
        ),
    ] = False,
) -> None:
    """Run the daemon: it keeps the model loaded for the terminal and for editors."""
    settings = load(
        {"model": model, "device": device, "socket": socket, "http": http}
        | {"keep_alive": keep_alive}
    )
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
        Engine(backend, keep_alive=settings.keep_alive, adapter=settings.adapter),
        socket=None if settings.socket is None else Path(settings.socket),
        http=settings.http,
        announce=announce,
        stay_on_failure=stay,
    )
    raise typer.Exit(code)


@app.command()
def status(
    as_json: AsJson = False, socket: Socket = None, connect: Connect = None
) -> None:
    """Say what the daemon does. Exit code 0: ready; 1: failed; 3: stopped; 4: loading."""
    from msgspec import to_builtins

    place, found, hello = _greeted(socket, connect)
    if place is None or hello is None:
        print_json({"phase": "stopped"}) if as_json else print("stopped")
        raise typer.Exit(STOPPED)
    seen = hello.status
    pid = found.pid if found and found.socket == place.socket else None
    port = found if found and found.socket == place.socket and found.http else None
    if as_json:
        where = {"connect" if place.socket is None else "socket": str(place)}
        about = to_builtins(seen) | where | {"pid": pid}
        if port:
            about |= {"http": port.http, "token": str(port.token)}
        print_json({key: value for key, value in about.items() if key != "type"})
    else:
        print(_status_text(seen, place, pid))
        if port:
            print(f"http {port.http}\ntoken {port.token}")
    raise typer.Exit(_code(seen))


@app.command()
def ps(as_json: AsJson = False, socket: Socket = None, connect: Connect = None) -> None:
    """Show what is loaded: on what, how large, and until when. Exit codes as `status`."""
    import time

    from msgspec import to_builtins

    from dlmd import terminal

    place, _, hello = _greeted(socket, connect)
    if place is None or hello is None:
        print_json({"phase": "stopped"}) if as_json else print("nothing runs")
        raise typer.Exit(STOPPED)
    if as_json:
        told = to_builtins(hello.status) | {"clients": hello.clients}
        print_json({key: value for key, value in told.items() if key != "type"})
    else:
        row = terminal.row(hello.status, hello.clients, time.time())
        widths = [max(len(title), len(word)) for title, word in row.items()]
        for line in (row.keys(), row.values()):
            padded = map(str.ljust, line, widths)
            print("   ".join(padded).rstrip())
    raise typer.Exit(_code(hello.status))


def _greeted(
    socket: str | None, connect: str | None
) -> "tuple[Endpoint | None, Discovery | None, Hello | None]":
    """Where a daemon is asked, what its file says, and how it greets; or nothing."""
    import asyncio

    from dlmd import ask
    from dlmd.wire import discovery
    from dlmd.wire.client import Endpoint

    named = ask.named_place(load({"socket": socket, "connect": connect}))
    found = discovery.read()
    place = named or (Endpoint(socket=found.socket) if found else None)
    return place, found, asyncio.run(ask.greeting(place)) if place else None


def _code(seen: "Status") -> int:
    from dlmd.wire.protocol import SERVING

    if seen.phase in SERVING:
        return 0
    return LOADING if seen.phase == "loading" else FAILED


def _status_text(seen: "Status", place: "Endpoint", pid: int | None) -> str:
    from dlmd.terminal import heading, loading, seeing

    lines = [seen.phase, str(heading(seen))]
    if seen.phase == "loading":
        lines.append(loading(seen))
    lines += [text for text in (seeing(seen), seen.detail, seen.fix) if text]
    where = f"at {place}" if place.socket is None else f"socket {place.socket}"
    return "\n".join([*lines, where, *([f"pid {pid}"] if pid else [])])


@app.command()
def stop(socket: Socket = None) -> None:
    """Stop the daemon, after what it is doing.

    Editors that run now start none by themselves until they are started again; `dlmd serve`
    and whatever is asked for by hand do.
    """
    from dlmd import ask

    place = load({"socket": socket}).socket
    found = ask.announced(place)
    if found is None:
        print("no daemon runs" + ("" if place is None else f" at {place}"))
        return
    ask.stop_for_good(found)
    print(f"stopped process {found.pid}")


@app.command()
def lsp(
    # VS Code's client says so to every server.
    stdio: Annotated[bool, typer.Option("--stdio", hidden=True)] = True,
    connect: Connect = None,
) -> None:
    """Speak the language server protocol over stdin and stdout, for editors."""
    if connect is not None:
        os.environ["DLMD_CONNECT"] = connect
    from dlmd_lsp.start import main as serve_editor

    serve_editor()


@app.command("dial-stdio", hidden=True)
def dial() -> None:
    """The far end of --connect ssh://…: a pipe to the daemon, started if need be."""
    from dlmd.dial_stdio import dial_stdio

    dial_stdio(announce)
