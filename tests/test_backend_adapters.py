"""Adapters through the real backend: in force, of one request, rolled back; and a daemon."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dlmd.serve.backend import ModelBackend
from dlmd.serve.engine import Engine
from dlmd.settings import Settings
from dlmd.store import adapters
from dlmd.wire.client import DaemonFailure
from dlmd.wire.protocol import (
    Failure,
    Infill,
    Result,
    Sleep,
    State,
    UseAdapter,
    Wake,
    hole,
)

from tests.fakes.adapter import saved_adapter
from tests.fakes.running import daemon, request
from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny model, and an adapter `left` and `right` of it in the store."""
    place = tmp_path_factory.mktemp("adapted")
    folder = tiny_model_folder(place / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLMD_ADAPTERS", str(place / "adapters"))
        for seed, name in enumerate(("left", "right")):
            made = saved_adapter(folder, place / f"made {name}", seed=seed, size=1.0)
            adapters.install(made, name, base=folder, base_model="tiny")
        yield folder


@dataclass
class Bench:
    engine: Engine
    said: list[State | Result | Failure] = field(default_factory=list)

    def end(self) -> Result | Failure:
        while self.engine.step():
            pass
        end = self.said[-1]
        assert not isinstance(end, State)
        return end

    def fill(self, **fields: object) -> str:
        asked = request(f"{len(self.said)}", "def f(x):", hole(length=12), **fields)
        self.engine.submit("c", asked, self.said.append)
        end = self.end()
        assert isinstance(end, Result), end
        return end.candidates[0].holes[0]

    def use(self, name: str | None) -> Result | Failure:
        command = UseAdapter(id=f"{len(self.said)}", adapter=name)
        self.engine.command("c", command, self.said.append)
        return self.end()


@pytest.fixture
def bench(base: Path) -> Bench:
    settings = Settings(model=str(base), device="cpu", dtype="float32")
    made = Bench(Engine(ModelBackend(settings)))
    made.engine.load()
    assert made.engine.status.phase == "ready", made.engine.status
    return made


def test_in_force_of_one_request_and_rolled_back(bench: Bench) -> None:
    bare = bench.fill()
    left, right = bench.fill(adapter="left"), bench.fill(adapter="right")
    assert len({bare, left, right}) == 3
    assert isinstance(bench.use("left"), Result)
    assert (bench.fill(), bench.fill(adapter=None)) == (left, bare)
    assert isinstance(bench.use("right"), Result)
    assert bench.fill() == right
    assert isinstance(bench.use(None), Result)
    assert bench.fill() == bare


def test_requests_with_different_adapters_do_not_mix(bench: Bench) -> None:
    alone = {name: bench.fill(adapter=name) for name in (None, "left", "right")}
    bench.said.clear()
    for name in alone:
        asked = request(f"{name}", "def f(x):", hole(length=12), adapter=name)
        bench.engine.submit(name, asked, bench.said.append)
    bench.end()
    ends = [end for end in bench.said if isinstance(end, Result)]
    assert {end.id: end.candidates[0].holes[0] for end in ends} == {
        str(name): text for name, text in alone.items()
    }


def test_the_adapter_in_force_survives_a_loan(bench: Bench) -> None:
    bench.use("left")
    left = bench.fill()
    for command in (Sleep(id="s"), Wake(id="w")):
        bench.engine.command("c", command, bench.said.append)
        assert isinstance(bench.end(), Result)
    assert bench.fill() == left


def test_what_cannot_be_used_changes_nothing(bench: Bench, base: Path) -> None:
    bare = bench.fill()
    broken = adapters.find("left").with_name("broken")
    shutil.copytree(adapters.find("left"), broken)
    (broken / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    for name in ("gone", "broken"):
        end = bench.use(name)
        assert isinstance(end, Failure) and end.code == "bad_request"
        assert bench.fill() == bare


async def test_a_daemon_changes_adapters_with_a_client_that_keeps_asking(
    base: Path, tmp_path: Path
) -> None:
    options = ("--model", str(base), "--device", "cpu")
    command = (sys.executable, "-m", "dlmd", "serve", *options)
    with daemon(tmp_path / "run", argv=command) as running:
        async with running.client() as client, running.client() as other:
            seen: set[str] = set()
            for number, name in enumerate((None, "left", "right", None)):
                await other.use_adapter(name)
                assert other.status.adapter == name
                asked = Infill(id=f"{number}", parts=["def f(x):", hole(length=12)])
                *_, end = [message async for message in client.infill(asked)]
                assert isinstance(end, Result)
                seen.add(end.candidates[0].holes[0])
            assert len(seen) == 3
            with pytest.raises(DaemonFailure, match="dlmd ls --adapters"):
                await other.use_adapter("gone")
