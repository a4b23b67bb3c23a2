"""Opens a room by its name; never another one in its place. Must not know tasks.

What the room would need and does not find is a ValueError that says what to type.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from dlmd_finetune.sandbox import bubblewrap, limited, prepare
from dlmd_finetune.sandbox.crew import Crew
from dlmd_finetune.sandbox.e2b import Cloud, Rented
from dlmd_finetune.sandbox.room import Limits, Room
from dlmd_finetune.sandbox.shipment import Shipment, question
from dlmd_finetune.sandbox.shipment import shipment as counted

KINDS = ("bubblewrap", "e2b", "subprocess")


@contextmanager
def open_room(
    kind: str,
    tree: Path,
    python: str | Path,
    *,
    at: Path | None = None,
    tests: Sequence[str] = (),
    pytest_args: Sequence[str] = (),
    test_command: str | None = None,
    limits: Limits | None = None,
    workers: int = 2,
    shipment: Shipment | None = None,
    template: str | None = None,
    inside: str | None = None,
) -> Iterator[Room]:
    """`at` is where the user's repository lies, so that an editable installation finds
    the copy in its place. `test_command` writes JUnit XML to `{junit}`. For `e2b`:
    `shipment` is what a person agreed to send, and `template` an image with the
    repository's dependencies, which has the repository itself at `inside`, if told."""
    words = checked(kind, tree, test_command)
    limits = limits or Limits()
    if kind == "e2b":
        rented = Rented(
            tree=tree.resolve(),
            shipment=agreed(tree, shipment),
            template=template,
            inside=inside,
            python=str(python),
            limits=limits,
            tests=tuple(tests),
            pytest_args=tuple(pytest_args),
            command=words,
        )
        with closing(Cloud(rented)) as cloud:
            cloud.open()
            yield cloud
        return
    if kind == "bubblewrap":
        bubblewrap.modes()
    with prepare.own_folder() as folder:
        prepare.lend_scripts(folder / "scripts")
        setting = prepare.Setting(
            tree=tree.resolve(),
            at=Path(os.path.realpath(at or tree)),
            python=prepare.interpreter(python, pytest=test_command is None),
            folder=folder.resolve(),
            limits=limits,
            tests=tuple(tests),
            pytest_args=tuple(pytest_args),
            command=words,
        )
        guarded = kind == "bubblewrap"
        confine = bubblewrap.confine if guarded else limited.confine
        crew = Crew(setting, confine, guarded, workers)
        try:
            crew.open()
            yield crew
        finally:
            crew.close()


def checked(kind: str, tree: Path, test_command: str | None) -> tuple[str, ...]:
    """The words of the test command, when all of this can be meant."""
    if kind not in KINDS:
        raise ValueError(
            f"there is no sandbox named {kind!r}; expected one of: {', '.join(KINDS)}"
        )
    if not tree.is_dir():
        raise ValueError(
            f"{tree} is no folder; expected a prepared copy of a repository"
        )
    return command(test_command)


def command(test_command: str | None) -> tuple[str, ...]:
    if test_command is not None and "{junit}" not in test_command:
        raise ValueError(
            f"--test-command {test_command!r} does not say where its JUnit XML goes; put "
            "{junit} where the path belongs, as in: tox -- --junitxml={junit}"
        )
    try:
        return tuple(shlex.split(test_command or ""))
    except ValueError as error:
        raise ValueError(
            f"--test-command {test_command!r} cannot be split into words: "
            f"{str(error).casefold()}; put quotes in pairs"
        ) from error


def agreed(tree: Path, shipment: Shipment | None) -> Shipment:
    """What a person agreed to, if that is still what lies here."""
    now = counted(tree)
    if shipment is None:
        raise ValueError(
            f"the sandbox `e2b` sends files away, and nobody has agreed to that. {question(now)}"
        )
    if shipment.digest != now.digest:
        raise ValueError(
            "the files are not those that were agreed to be sent to E2B; ask again"
        )
    return now
