"""Flags out of dataclasses: names, help, defaults, types, exit codes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from dlmd.flags import bounded, run_with_flags
from typer.testing import CliRunner, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    corpus: Path = field(metadata={"help": "Where it lies."})
    max_size: int | None = field(default=None, metadata={"help": "How much of it."})
    rate: float = 0.5
    loud: bool = False


def invoke(*arguments: str, answer: object = None) -> tuple[Result, list[Config]]:
    seen: list[Config] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.callback()
    def root() -> None: ...

    extra: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

    @app.command(context_settings=extra, add_help_option=False)
    def train(context: typer.Context) -> None:
        """Train it."""

        def run(config: Config) -> object:
            seen.append(config)
            return answer

        run_with_flags(run, Config, context, positional="corpus")

    return CliRunner().invoke(app, ["train", *arguments], prog_name="dlmd"), seen


def test_fields_become_flags_and_one_a_position() -> None:
    done, seen = invoke("a b", "--max-size", "3", "--rate", "1", "--loud")
    assert done.exit_code == 0, done.output
    assert seen == [Config(corpus=Path("a b"), max_size=3, rate=1.0, loud=True)]


def test_defaults_are_those_of_the_fields() -> None:
    assert invoke("c")[1] == [Config(corpus=Path("c"))]


def test_help_is_that_of_the_fields_and_of_the_command() -> None:
    done, seen = invoke("--help")
    assert (done.exit_code, seen) == (0, [])
    for text in (
        "dlmd train",
        "Train it.",
        "Where it lies.",
        "--max-size",
        "How much of it.",
        "0.5",
    ):
        assert text in done.output


@pytest.mark.parametrize(
    ("answer", "code"), [(None, 0), (Path("out"), 0), (0, 0), (1, 1)]
)
def test_a_number_that_comes_back_is_the_exit_code(answer: object, code: int) -> None:
    assert invoke("c", answer=answer)[0].exit_code == code


def test_text_that_is_no_number_is_refused_with_what_was_expected() -> None:
    assert "'x', expected a whole number" in invoke("c", "--max-size", "x")[0].output
    assert "'x', expected a number" in invoke("c", "--rate", "x")[0].output


def test_a_number_out_of_bounds_is_named_by_its_flag() -> None:
    bounded("--n", None, 1, 2)
    bounded("--n", 2, 1, 2)
    with pytest.raises(ValueError, match="--n is 3, expected a whole number from 1 to"):
        bounded("--n", 3, 1, 2)


@pytest.mark.parametrize(
    "wrong", [[], ["c", "--max-size", "x"], ["c", "--no-such"], ["c", "d"]]
)
def test_wrong_usage_ends_with_2_and_runs_nothing(wrong: list[str]) -> None:
    done, seen = invoke(*wrong)
    assert (done.exit_code, seen) == (2, [])
