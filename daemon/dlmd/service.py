"""`dlmd service`: the daemon as a systemd user unit, there from login to logout.

Writes one file into the user's own systemd folder and asks systemctl to take it; nothing
needs root. Must not know what the daemon does.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlmd.wire.discovery import DAEMON

NAME = "dlmd.service"
# What decides where the daemon is found; a login session does not know a shell's.
KEPT = ("DLMD_CONFIG_DIR", "DLMD_RUNTIME_DIR")


def unit_path(env: Mapping[str, str] = os.environ) -> Path:
    home = env.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "systemd" / "user" / NAME


def unit_text(
    command: Sequence[str] = DAEMON, env: Mapping[str, str] = os.environ
) -> str:
    """The unit: restarted when it fails, not when it is stopped with `dlmd stop`."""
    kept = [
        f"Environment={_quoted(f'{name}={env[name]}')}"
        for name in KEPT
        if env.get(name)
    ]
    # In arguments $ would name a variable; in the program's path it does not.
    program, *arguments = command
    words = [program, *(word.replace("$", "$$") for word in arguments)]
    return "\n".join(
        [
            "[Unit]",
            "Description=dlmd, a local code assistant",
            "",
            "[Service]",
            f"ExecStart={' '.join(map(_quoted, words))}",
            *kept,
            "Restart=on-failure",
            "RestartSec=5",
            "TimeoutStopSec=15",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def _quoted(word: str) -> str:
    """One word of a unit file (systemd.syntax, quoting; % starts a specifier)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def install() -> Path:
    """Write the unit, start it now and at every login; its path."""
    _expect_systemd()
    path = unit_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(unit_text(), encoding="utf-8")
    new = not path.exists()
    fresh.replace(path)
    try:
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", NAME)
    except ValueError:
        if new:
            path.unlink()
        raise
    return path


def remove() -> Path | None:
    """Stop the service and take the unit away; None where there was none."""
    _expect_systemd()
    path = unit_path()
    if not path.exists():
        return None
    try:
        _systemctl("disable", "--now", NAME)
    finally:  # without it no later session starts the daemon, whoever answers now
        path.unlink()
    _systemctl("daemon-reload")
    return path


def _expect_systemd() -> None:
    if shutil.which("systemctl") is None:
        where = "macOS has none" if sys.platform == "darwin" else "none is installed"
        raise ValueError(
            f"a service needs systemd, and {where}; start the daemon with "
            "`dlmd serve --detach`, or let editors start it"
        )


def _systemctl(*words: str) -> None:
    done = subprocess.run(
        ["systemctl", "--user", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ValueError(
            f"`systemctl --user {' '.join(words)}` failed ({said}); without a user "
            "session of systemd, start the daemon with `dlmd serve --detach`"
        )
