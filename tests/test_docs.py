"""What the documents say exists: commands, flags, files, message fields, make targets.

Commands are parsed by the command line's own parser, and nothing is run.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer
from dlmd.cli import app
from dlmd.profiles import PROFILES
from dlmd.settings import FIELDS
from dlmd.wire import messages

REPO = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(REPO.glob("*.md")),
    *sorted((REPO / "docs").glob("*.md")),
    *sorted((REPO / "editors").glob("*/README.md")),
    *sorted((REPO / "daemon/dlmd/model/embedded").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_lines(text: str) -> Iterator[str]:
    """Lines of shell blocks, and what stands in backticks."""
    for language, body in FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            yield from body.splitlines()
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def dlmd_calls(text: str) -> Iterator[list[str]]:
    """The arguments of each `dlmd ...`, comments and pipes cut off."""
    for line in code_lines(text):
        for command in re.split(r"\||&&|;", line.split("  #")[0]):
            words = shlex.split(command, posix=True) if "'" not in command else []
            if words[:1] == ["dlmd"]:
                yield words[1:]


def parse(words: list[str]) -> Any:
    """The command that the words call; ValueError for what does not exist."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        raise ValueError(f"no command {words[0]!r}")
    passes_on = command.context_settings.get("ignore_unknown_options")
    for word in words:
        flag = word.split("=")[0]
        if flag.startswith("--") and flag not in flags(command) and not passes_on:
            raise ValueError(f"no flag {flag}")
    return command


def flags(command: Any) -> set[str]:
    return {"--help"} | {
        o for p in command.params for o in (*p.opts, *p.secondary_opts)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPO)))
def test_commands_exist(page: Path) -> None:
    for words in dlmd_calls(page.read_text()):
        parse(words)


@pytest.mark.parametrize(
    "line", ["dlmd pour", "dlmd infill a.py:1 --tokens-per-stop 2", "dlmd --loud"]
)
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    [words] = dlmd_calls(f"```sh\n{line}\n```\n")
    with pytest.raises(ValueError, match=r"^no "):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPO)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", page.read_text()))
    here = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [link for link in here if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPO)))
def test_make_targets_and_flags_in_backticks_exist(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z0-9]+):", (REPO / "Makefile").read_text(), re.M))
    named = {
        m for line in code_lines(text) for m in re.findall(r"^make ([a-z0-9]+)", line)
    }
    assert named - targets == set()


def test_the_readme_has_its_two_commands_and_the_picture() -> None:
    text = (REPO / "README.md").read_text()
    assert {"make demo", "make test"} <= {
        line.split("  ")[0] for line in code_lines(text)
    }
    assert "](docs/live.svg)" in text


def test_the_flags_of_the_decoding_page_exist() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", (REPO / "docs/decoding.md").read_text()))
    assert named
    assert named - flags(parse(["infill"])) == set()


def test_the_models_page_has_the_table_of_models() -> None:
    page = (REPO / "docs/models.md").read_text()
    rows = re.findall(
        r"^\| `(\S+)` \| (\S+|ships with dlmd) \| (\S+) \| (\d+) \|", page, re.M
    )
    assert rows == [
        (p.name, p.repository or "ships with dlmd", p.licence, str(p.context))
        for p in PROFILES.values()
    ]


def test_the_settings_page_has_every_key_in_its_own_words() -> None:
    page = (REPO / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| \S+ \| (.*) \|$", page, re.M)
    assert rows == [(name, f.metadata["help"]) for name, f in FIELDS.items()]


def message_rows() -> Iterator[tuple[str, set[str]]]:
    page = (REPO / "docs/wire.md").read_text()
    for row in re.findall(r"^\| `(\w+)` \| (`.*) \|$", page, re.M):
        yield row[0], set(re.findall(r"`(\w+)`", row[1].split(":")[0]))


def test_the_wire_page_lists_every_message_and_field() -> None:
    union = (*get_args(messages.ClientMessage), *get_args(messages.ServerMessage))
    ours = {
        str(s.__struct_config__.tag): {f.name for f in msgspec.structs.fields(s)}
        for s in union
    }
    assert dict(message_rows()) == ours


def test_the_wire_page_lists_every_failure_code() -> None:
    text = (REPO / "docs/wire.md").read_text()
    paragraph = text[text.index("The `code` of a failure") :].split("\n\n")[0]
    codes = set(re.findall(r"`(\w+)`", paragraph)) - {"code", "message"}
    assert codes == set(get_args(messages.Code))
