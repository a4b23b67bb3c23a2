"""A room for an editor: folders of its own, a daemon of its own, nothing of the user's.

Everything under test is real (Neovim, the language server over stdio, the daemon on its
socket); only the weights are fake, and one scenario has real ones. `make e2e` names the
Neovim in NVIM; without it these tests are not collected.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.room import Room
from tests.e2e.vscode_desk import Desk

collect_ignore_glob = [] if os.environ.get("NVIM") else ["test_nvim_*.py"]
FELL = pytest.StashKey[bool]()
FOR_VSCODE = ("NODE", "CODE_SERVER", "VSIX", "CHROMIUM")


@pytest.fixture
def room() -> Iterator[Room]:
    yield from _room()


@pytest.fixture(scope="module")
def shared_room() -> Iterator[Room]:
    """For tests that leave the daemon alone: it starts once for all of them."""
    yield from _room()


@pytest.fixture(scope="session")
def desk() -> Iterator[Desk]:
    """VS Code with one window, and a daemon with a fake model. It starts once for all."""
    missing = [name for name in FOR_VSCODE if not os.environ.get(name)]
    if missing:
        pytest.skip(f"no {missing[0]} was named, so VS Code cannot be driven")
    with contextmanager(_room)() as room, Desk(room) as desk:
        yield desk


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FELL] = item.stash.get(FELL, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def _window_of_its_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test left open when it fell must not make the next ones fall."""
    yield
    if request.node.stash.get(FELL, False) and "desk" in request.fixturenames:
        request.getfixturevalue("desk").new_window()


def _room() -> Iterator[Room]:
    # Not tmp_path: its length leaves no room for the name of a socket.
    folder = Path(tempfile.mkdtemp(prefix="dlmd e2e "))
    made = Room(folder=folder, python=Path(sys.executable))
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
