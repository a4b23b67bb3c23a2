"""What every test starts from."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.fakes.hub import Hub
    from tests.fakes.inside import Inside
    from tests.lsp_rig import Daemon

# A runner started in the background ignores Ctrl-C, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read when Triton is imported, which some builds of PyTorch do by themselves: without a
# card its kernels are interpreted.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inside(
    tmp_path_factory: pytest.TempPathFactory,
) -> "AsyncIterator[Inside]":
    """A daemon on a port, in the loop of the tests, for all tests of a file."""
    from tests.fakes.inside import serving  # few tests need what it imports

    folder = tmp_path_factory.mktemp("run") / "dlmd"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLMD_RUNTIME_DIR", str(folder))
        async with serving(folder) as running:
            yield running


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pulled models lie, for this test alone."""
    from tests.fakes.hub import own_places

    return own_places(monkeypatch, tmp_path)


@pytest.fixture
def hub(models: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Hub]":
    """A hub on loopback with one release, as the one that is asked."""
    from tests.fakes.hub import Hub, release, serving

    with serving(Hub(files=release())) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


# ---- a daemon whose fake model knows the `FILLS` of the test's module ----

SLOW_MS = 100  # for each forward


@pytest.fixture(scope="module")
def quick(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Path]":
    from tests.lsp_rig import daemon

    folder = tmp_path_factory.mktemp("quick") / "run time"
    with daemon(folder, request.module.FILLS):
        yield folder


@pytest.fixture(scope="module")
def slow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[tuple[Path, Daemon]]":
    from tests.lsp_rig import daemon

    folder = tmp_path_factory.mktemp("slow") / "r"
    with daemon(folder, request.module.FILLS, SLOW_MS) as process:
        yield folder, process
