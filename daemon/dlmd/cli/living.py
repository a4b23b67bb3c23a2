"""`dlmd open`, `logs` and `service`: a daemon that runs in the background.

Must not hold logic that a test would want to call.
"""

import sys
from typing import Annotated

import typer

from dlmd.cli.shared import LOOK, announce, app
from dlmd.flags import bounded, typed

services = typer.Typer(help="Keep the daemon running from login on (systemd).", **LOOK)
app.add_typer(services, name="service")


@app.command("open")
def open_page(
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Start a browser with it.")
    ] = True,
) -> None:
    """Open the playground in a browser; it is there until Ctrl-C."""
    import webbrowser

    from dlmd import open_page
    from dlmd.wire import discovery

    found = discovery.ensure_daemon(announce=announce)
    with open_page.leased(found.socket) as (url, wait):
        print(f"{url}\n(good for one visit within two minutes; Ctrl-C closes the page)")
        sys.stdout.flush()
        if browser:
            webbrowser.open(url)
        wait()
    announce("the daemon has ended")


@app.command()
def logs(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            help="Only the last N lines.",
            **typed(int) | {"metavar": "N"},
        ),
    ] = None,
) -> None:
    """Show what the daemon in the background has said."""
    from dlmd import logs
    from dlmd.wire import discovery

    bounded("--lines", lines, 0, 10**9)
    path = discovery.log_path()
    if sentence := logs.elsewhere(path):
        announce(sentence)
    chunks = logs.follow(path, lines) if follow else [logs.read(path, lines)]
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


@services.command("install")
def service_install() -> None:
    """Start the daemon now and at every login."""
    from dlmd import service

    print(f"installed {service.install()}; undo with `dlmd service remove`")


@services.command("remove")
def service_remove() -> None:
    """Stop the service and remove it."""
    from dlmd import service

    path = service.remove()
    print("no service was installed" if path is None else f"removed {path}")
