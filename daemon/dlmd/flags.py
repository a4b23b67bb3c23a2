"""Command-line flags out of dataclass fields: help and default stand in one place.

Used for the settings, and for the runnables of other packages, whose flags are known only
once these are imported. Knows dataclasses and typer; must not know any one command.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import typer

from dlmd.settings import FIELDS, kind_of, listed, required

Config = TypeVar("Config")


def setting(name: str) -> Any:
    """The option of one setting; None stands for: not given on this command line."""
    entry = FIELDS[name]
    silent = entry.default is None or entry.default is False
    known = "" if silent else f"  [default: {entry.default}]"
    shown = entry.metadata["help"] + known
    return typer.Option(_flag(entry), help=shown, **typed(kind_of(name)))


def typed(kind: Any) -> dict[str, Any]:
    """How text becomes a value of that type. What it refuses, it refuses in our words:
    the library's are another with each version of it."""
    kind = required(kind)
    if kind in _NUMBERS:
        metavar, what = _NUMBERS[kind]
        return {"parser": _reader(kind, what), "metavar": metavar}
    if get_origin(kind) is Literal:
        words = get_args(kind)
        known = {word: word for word in words}
        parser = _reader(known.__getitem__, listed(words))
        return {"parser": parser, "metavar": f"[{'|'.join(words)}]"}
    return {}


_NUMBERS = {int: ("INTEGER", "a whole number"), float: ("FLOAT", "a number")}


def _reader(read: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, KeyError):
            raise typer.BadParameter(f"{text!r}, expected {what}") from None

    return value


def bounded(flag: str, value: int | None, least: int, most: int) -> None:
    """ValueError for a number that nobody could mean."""
    if value is not None and not least <= value <= most:
        raise ValueError(
            f"{flag} is {value}, expected a whole number from {least} to {most}"
        )


def run_with_flags(
    run: Callable[[Config], object],
    kind: Callable[..., Config],
    context: typer.Context,
    *,
    positional: str | None = None,
) -> None:
    """Parse the rest of the command line into a `kind`, a dataclass, and run it.

    All fields but the positional one and those with `no_flag` are flags. A number that comes back is the exit code.
    """

    def command(**values: Any) -> None:
        done = run(kind(**values))
        raise typer.Exit(done if isinstance(done, int) else 0)

    types = get_type_hints(kind)
    parameters = [
        _parameter(entry, types[entry.name], is_flag=entry.name != positional)
        for entry in fields(kind)  # type: ignore[arg-type]
        if not entry.metadata.get("no_flag")
    ]
    command.__doc__ = context.command.help
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.command()(command)
    app(args=context.args, prog_name=context.command_path)


def _parameter(entry: Field[Any], kind: Any, *, is_flag: bool) -> inspect.Parameter:
    about = entry.metadata.get("help")
    info = (
        typer.Option(_flag(entry), help=about, **typed(kind))
        if is_flag
        else typer.Argument(help=about)
    )
    default = inspect.Parameter.empty if entry.default is MISSING else entry.default
    if entry.default_factory is not MISSING:
        default = entry.default_factory()
    return inspect.Parameter(
        entry.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, info],
    )


def _flag(entry: Field[Any]) -> str:
    return "--" + entry.name.replace("_", "-")
