"""What an editor may set: at start and later, over the user's own settings.

A value that makes no sense is left at its default and named in a complaint, because a typing
mistake in an editor's configuration must not cost the editor its language server.
Must not know handlers or the daemon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from dlmd import settings
from dlmd.wire.remote import Endpoint, endpoint_of

from dlmd_lsp.context import MOST_TOKENS, Budget

Trigger = Literal["automatic", "manual", "subtle"]
T = TypeVar("T", bound=str)
MODES: tuple[settings.Mode, ...] = ("exact", "quality", "fast")
LONGEST_WAIT_MS = 10_000
MOST_CANDIDATES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    trigger: Trigger = "automatic"
    debounce_s: float | None = None  # None: by the rhythm of typing
    live_states: bool = False
    candidates: int = MOST_CANDIDATES
    threshold: float = 0.3  # measured: docs/editors.md, Figures
    in_comments: bool = False
    in_strings: bool = False
    disabled_languages: frozenset[str] = frozenset()
    other_files: bool = True
    statistics: bool = True
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
    # Editors say null for what is not set.
    given = (
        {k: v for k, v in raw.items() if v is not None}
        if isinstance(raw, Mapping)
        else {}
    )
    if raw is not None and not isinstance(raw, Mapping):
        complaints.append(
            f"initializationOptions is {raw!r}, expected an object; ignored"
        )
    usual, size = Options(), Budget()
    options = Options(
        trigger=_pick(given, "trigger", get_args(Trigger), complaints) or usual.trigger,
        debounce_s=_wait(given, complaints),
        live_states=_flag(given, "liveStates", usual.live_states, complaints),
        candidates=_count(
            given, "candidates", usual.candidates, complaints, MOST_CANDIDATES
        ),
        threshold=_share(given, "threshold", usual.threshold, complaints),
        in_comments=_flag(given, "inComments", usual.in_comments, complaints),
        in_strings=_flag(given, "inStrings", usual.in_strings, complaints),
        disabled_languages=frozenset(_words(given, "disabledLanguages", complaints)),
        other_files=_flag(given, "otherFiles", usual.other_files, complaints),
        statistics=_flag(given, "statistics", usual.statistics, complaints),
        start_daemon=_flag(given, "startDaemon", True, complaints)
        and not user.no_start,
        mode=_pick(given, "mode", MODES, complaints) or user.mode,
        budget=Budget(
            line=_count(given, "lineTokens", size.line, complaints),
            block=_count(given, "blockTokens", size.block, complaints),
            function=_count(given, "functionTokens", size.function, complaints),
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
    given: Mapping[str, Any],
    key: str,
    default: int,
    complaints: list[str],
    most: int = MOST_TOKENS,
) -> int:
    value = given.get(key, default)
    if type(value) is int and 1 <= value <= most:
        return value
    complaints.append(
        f"{key} is {value!r}, expected a whole number from 1 to {most}; "
        f"{default} is used"
    )
    return default


def _share(
    given: Mapping[str, Any], key: str, default: float, complaints: list[str]
) -> float:
    value = given.get(key, default)
    if type(value) in (int, float) and 0 <= value <= 1:
        return float(value)
    complaints.append(
        f"{key} is {value!r}, expected a number from 0 to 1; {default} is used"
    )
    return default


def _wait(given: Mapping[str, Any], complaints: list[str]) -> float | None:
    value = given.get("debounceMs", "adaptive")
    if value == "adaptive":
        return None
    if type(value) in (int, float) and 0 <= value <= LONGEST_WAIT_MS:
        return value / 1000
    complaints.append(
        f'debounceMs is {value!r}, expected "adaptive" or a number from 0 to '
        f"{LONGEST_WAIT_MS}; adaptive is used"
    )
    return None


def _pick(
    given: Mapping[str, Any], key: str, allowed: Sequence[T], complaints: list[str]
) -> T | None:
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
    place = given.get("connect") or user.connect
    if place is None:
        return None if user.socket is None else Endpoint(socket=Path(user.socket))
    try:
        return endpoint_of(str(place))
    except ValueError as error:
        complaints.append(f"connect: {error}; this machine's own daemon is used")
        return None


def _command(given: Mapping[str, Any], complaints: list[str]) -> tuple[str, ...] | None:
    if "daemonCommand" not in given:
        return None
    return tuple(_words(given, "daemonCommand", complaints, least=1)) or None


def _words(
    given: Mapping[str, Any], key: str, complaints: list[str], least: int = 0
) -> list[str]:
    value = given.get(key, [])
    if (
        isinstance(value, list)
        and len(value) >= least
        and all(type(word) is str for word in value)
    ):
        return value
    complaints.append(f"{key} is {value!r}, expected a list of strings; ignored")
    return []
