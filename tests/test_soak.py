"""A bounded part of bench/soak.py: the same clients and the same verdict, in seconds."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.fakes.running import daemon

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    spec = importlib.util.spec_from_file_location("soak", ROOT / "bench" / "soak.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
async def test_every_id_ends_once_however_its_client_behaves(
    soak: ModuleType, tmp_path: Path
) -> None:
    told = soak.Soak(infills=600, seed=7)
    with daemon(tmp_path / "run") as running:
        await soak.soak(running, told, 16)
    said, _ = soak.verdict(told)  # memory needs longer to say something
    assert told.wrong == [], said
    assert told.sent >= 600 and told.deserted
    assert {"result", "cancelled", "superseded"} <= set(told.ends)
    assert set(told.ends) <= {"result", "cancelled", "superseded", "busy"}


def test_what_is_wrong_would_be_seen(soak: ModuleType) -> None:
    from dlmd.wire.protocol import Failure

    told = soak.Soak(infills=2, seed=0, sent=2, counted=2, memory={1: 100, 2: 106})
    end = Failure(id="a", code="cancelled", message="x")
    ends = {"a": 0, "b": 0}
    for _ in range(2):
        soak.count(told, ends, end)
    said, well = soak.verdict(told)
    assert not well and "a ended again" in told.wrong[0]
    assert said["growth"] == 0.06
    told.wrong.clear()
    told.memory[2] = 104
    assert soak.verdict(told)[1]
    told.counted = 3
    assert not soak.verdict(told)[1] and "the daemon ended 3" in told.wrong[0]
