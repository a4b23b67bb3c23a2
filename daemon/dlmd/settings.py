"""What a user may set once for all: one TOML file, environment, flags.

A flag beats DLMD_<NAME>, which beats config.toml, which beats the default here. Every field
carries its help; the command line builds its flags from it. Knows neither the wire nor models.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import platformdirs

Device = Annotated[
    str,
    re.compile(r"auto|cpu|mps|cuda(:\d+)?"),
    "auto, cpu, mps, cuda or a card such as cuda:1",
]
Loopback = Annotated[
    str,
    re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}"),
    "127.0.0.1 and a port up to 65535, such as 127.0.0.1:8012",
]
Duration = Annotated[
    str,
    re.compile(r"-?(\d+(\.\d+)?|(\d+(\.\d+)?(ms|s|m|h))+)"),
    'a time such as "10m", "0" (at once) or "-1" (for ever)',
]
Mode = Literal["exact", "quality", "fast"]
Quantise = Literal["none", "int8", "fp8"]
Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The keys of config.toml."""

    model: str = field(
        default="auto",
        metadata={
            "help": "A name from `dlmd ls`, or the path of a model folder; auto takes the 7B "
            "where it was pulled and a GPU has room, else the embedded model."
        },
    )
    device: Device = field(
        default="auto",
        metadata={
            "help": "Where the model runs: cpu, mps, cuda or a card such as cuda:1; auto "
            "takes the emptiest card."
        },
    )
    quantise: Quantise = field(
        default="none",
        metadata={
            "help": "Hold the weights in eight bits: int8 anywhere, fp8 from an RTX 40 on."
        },
    )
    socket: str | None = field(
        default=None,
        metadata={"help": "Unix socket of the daemon, if not in the runtime folder."},
    )
    connect: str | None = field(
        default=None,
        metadata={
            "help": "A daemon elsewhere: ssh://host, unix:///path or a local URL."
        },
    )
    http: Loopback | None = field(
        default=None,
        metadata={
            "help": "Listen on 127.0.0.1:PORT as well, with a token, for other plugins."
        },
    )
    keep_alive: Duration = field(
        default="30m",
        metadata={
            "help": "How long idle weights stay on the device: 10m, 0 or -1 (for ever)."
        },
    )
    adapter: str | None = field(
        default=None,
        metadata={"help": "Adapter to begin with, a name from `dlmd ls --adapters`."},
    )
    offline: bool = field(
        default=False,
        metadata={"help": "Never go online, not even for `dlmd pull`."},
    )
    no_start: bool = field(
        default=False, metadata={"help": "Never start a daemon on demand."}
    )
    mode: Mode = field(
        default="quality",
        metadata={
            "help": "How to decode: exact is the published decoder, quality gives nearly "
            "always the same text sooner, fast commits several tokens at once."
        },
    )
    dtype: Dtype = field(
        default="auto",
        metadata={
            "help": "What to compute in; auto takes bfloat16 where it is measured faster."
        },
    )
    first_state_ms: float = field(
        default=150.0,
        metadata={
            "help": "How soon the first state should come: a slower machine sees less of a "
            "document. 0: always all that the model can see.",
            "bounds": (0.0, 60_000.0),
        },
    )
    tokens_per_step: float | None = field(
        default=None,
        metadata={
            "help": "Tokens committed at a step; more is faster and worse.",
            "bounds": (0.1, 1024.0),
        },
    )
    temperature: float = field(
        default=0.0,
        metadata={
            "help": "0 takes the likeliest token; above it, tokens are drawn.",
            "bounds": (0.0, 10.0),
        },
    )
    top_p: float | None = field(
        default=None,
        metadata={
            "help": "Draw only from the likeliest tokens of this total share.",
            "bounds": (0.0001, 1.0),
        },
    )


FIELDS: dict[str, Field[Any]] = {entry.name: entry for entry in fields(Settings)}
_TYPES = get_type_hints(Settings, include_extras=True)
_WORDS: dict[str, bool] = dict.fromkeys(
    ("1", "true", "yes", "on"), True
) | dict.fromkeys(("0", "false", "no", "off", ""), False)


def config_file(env: Mapping[str, str] = os.environ) -> Path:
    """Where config.toml is looked for."""
    if folder := env.get("DLMD_CONFIG_DIR"):
        return Path(folder) / "config.toml"
    if folder := env.get("XDG_CONFIG_HOME"):
        return Path(folder) / "dlmd" / "config.toml"
    return platformdirs.user_config_path("dlmd") / "config.toml"


def load(
    flags: Mapping[str, object] | None = None, env: Mapping[str, str] = os.environ
) -> Settings:
    """Settings in force. A flag that is None was not given."""
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    assert given.keys() <= FIELDS.keys(), (
        f"flags without a setting: {given.keys() - FIELDS.keys()}"
    )
    for name, value in given.items():
        _checked(name, value, f"--{name.replace('_', '-')}")
    return Settings(**{**_from_file(config_file(env)), **_from_env(env), **given})


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One key, what it is now, and where that was said."""

    key: str
    value: Any
    said: str  # "default", a variable's name or the file
    help: str


def made(env: Mapping[str, str] = os.environ) -> list[Made]:
    """Every setting as it is in force without flags."""
    path = config_file(env)
    in_file, in_env = _from_file(path), _from_env(env)
    now = load(env=env)
    return [
        Made(
            key=name,
            value=getattr(now, name),
            said=_variable(name)
            if name in in_env
            else str(path)
            if name in in_file
            else "default",
            help=entry.metadata["help"],
        )
        for name, entry in FIELDS.items()
    ]


def _variable(name: str) -> str:
    return f"DLMD_{name.upper()}"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as failure:
        raise ValueError(f"cannot read {path}: {failure.strerror}") from failure
    except ValueError as broken:
        raise ValueError(f"{path} is not valid TOML: {broken}") from broken
    for key, value in table.items():
        if key not in FIELDS:
            raise ValueError(
                f"{path}: unknown key {key!r}; known keys are {', '.join(FIELDS)}; "
                "`dlmd settings` explains them"
            )
        table[key] = _checked(key, value, f"{path}: {key}")
    return table


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in FIELDS:
        variable = _variable(name)
        if variable in env:
            text = _parsed(env[variable], kind_of(name))
            found[name] = _checked(name, text, variable)
    return found


def _parsed(text: str, kind: Any) -> object:
    """Text of the environment as the value it stands for; itself when it stands for none."""
    if kind is bool:
        return _WORDS.get(text.strip().casefold(), text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _checked(name: str, value: Any, where: str) -> Any:
    kind = kind_of(name)
    if get_origin(kind) is Annotated:
        kind, pattern, expected = get_args(kind)
        if isinstance(value, kind) and not pattern.fullmatch(value):
            raise ValueError(f"{where} is {value!r}, expected {expected}")
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value in choices:
            return value
        raise ValueError(f"{where} is {value!r}, expected {listed(choices)}")
    if kind is float and type(value) is int:
        value = float(value)
    # type(), not isinstance: true is an int in Python, and no number to a user.
    if type(value) is not kind:
        names = {str: "a string", bool: "true or false", float: "a number"}
        raise ValueError(f"{where} is {value!r}, expected {names[kind]}")
    least, most = FIELDS[name].metadata.get("bounds", (value, value))
    if not least <= value <= most:
        raise ValueError(
            f"{where} is {value:g}, expected a number from {least:g} to {most:g}"
        )
    return value


def kind_of(name: str) -> Any:
    """The type of a setting that is made."""
    return required(_TYPES[name])


def required(kind: Any) -> Any:
    """The type of a value that is there."""
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return next(part for part in get_args(kind) if part is not type(None))
    return kind


def listed(choices: tuple[str, ...]) -> str:
    return ", ".join(choices[:-1]) + f" or {choices[-1]}"
