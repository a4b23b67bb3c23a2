"""What an editor may set at start: initializationOptions, over the user's own settings.

A value that makes no sense is left at its default and named in a complaint, because a typing
mistake in an editor's configuration must not cost the editor its language server.
Must not know handlers or the daemon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlmd import settings
from dlmd.wire.remote import Endpoint, endpoint_of

from dlmd_lsp.context import Budget

MODES: tuple[settings.Mode, ...] = ("exact", "quality", "fast")
MOST_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    live_states: bool = False
    start_daemon: bool = True
    mode: settings.Mode | None = None
    budget: Budget = field(default_factory=Budget)
    tokens_per_step: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    # The whole command that starts a daemon; None: the one of this installation.
    daemon_command: tuple[str, ...] | None = None
    daemon: Endpoint | None = None  # elsewhere; None: the one of this machine


def read(
    raw: object, env: Mapping[str, str] | None = None
) -> tuple[Options, list[str]]:
    """Options in force, and one sentence for each value that was left out."""
    complaints: list[str] = []
    try:
        user = settings.load() if env is None else settings.load(env=env)
    except ValueError as error:
        complaints.append(f"{error}; the default settings are in force")
        user = settings.Settings()
    given = raw if isinstance(raw, Mapping) else {}
    if raw is not None and not isinstance(raw, Mapping):
        complaints.append(
            f"initializationOptions is {raw!r}, expected an object; ignored"
        )
    mode = _pick(given, "mode", MODES, complaints)
    default = Budget()
    options = Options(
        live_states=_flag(given, "liveStates", False, complaints),
        start_daemon=_flag(given, "startDaemon", True, complaints)
        and not user.no_start,
        mode=mode or user.mode,
        budget=Budget(
            line=_count(given, "lineTokens", default.line, complaints),
            block=_count(given, "blockTokens", default.block, complaints),
            function=_count(given, "functionTokens", default.function, complaints),
        ),
        tokens_per_step=user.tokens_per_step,
        temperature=user.temperature,
        top_p=user.top_p,
        daemon_command=_command(given, complaints),
        daemon=_daemon(given, user, complaints),
    )
    return options, complaints


def _flag(
    given: Mapping[str, Any], key: str, default: bool, complaints: list[str]
) -> bool:
    value = given.get(key, default)
    if isinstance(value, bool):
        return value
    complaints.append(f"{key} is {value!r}, expected true or false; {default} is used")
    return default


def _count(
    given: Mapping[str, Any], key: str, default: int, complaints: list[str]
) -> int:
    value = given.get(key, default)
    if type(value) is int and 1 <= value <= MOST_TOKENS:
        return value
    complaints.append(
        f"{key} is {value!r}, expected a whole number from 1 to {MOST_TOKENS}; "
        f"{default} is used"
    )
    return default


def _pick(
    given: Mapping[str, Any],
    key: str,
    allowed: tuple[settings.Mode, ...],
    complaints: list[str],
) -> settings.Mode | None:
    value = given.get(key)
    for choice in allowed:
        if value == choice:
            return choice
    if value is not None:
        complaints.append(
            f"{key} is {value!r}, expected one of {', '.join(allowed)}; ignored"
        )
    return None


def _daemon(
    given: Mapping[str, Any], user: settings.Settings, complaints: list[str]
) -> Endpoint | None:
    place = given.get("connect", user.connect)
    if place is None:
        return None if user.socket is None else Endpoint(socket=Path(user.socket))
    try:
        return endpoint_of(str(place))
    except ValueError as error:
        complaints.append(f"connect: {error}; this machine's own daemon is used")
        return None


def _command(given: Mapping[str, Any], complaints: list[str]) -> tuple[str, ...] | None:
    value = given.get("daemonCommand")
    if value is None:
        return None
    if isinstance(value, list) and value and all(type(word) is str for word in value):
        return tuple(value)
    complaints.append(
        f"daemonCommand is {value!r}, expected a list of strings; ignored"
    )
    return None
