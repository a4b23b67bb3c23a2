"""The real backend on a tiny real model: by hand, and as the daemon that people run."""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dlmd.serve import budget
from dlmd.serve.backend import ModelBackend, infill_settings
from dlmd.serve.engine import Engine
from dlmd.settings import Dtype, Settings
from dlmd.wire.client import DaemonGone
from dlmd.wire.protocol import (
    Cancel,
    Failure,
    HolePart,
    Infill,
    Result,
    State,
    hole,
)
from websockets.exceptions import ConnectionClosed

from tests.fakes.running import Running, daemon, request, start
from tests.fakes.tiny import tiny_model_folder

LONG = 200  # tokens, one forward each


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("a model") / "tiny")


@dataclass
class Bench:
    """An engine on the real backend, stepped by hand."""

    engine: Engine
    said: list[State | Result | Failure] = field(default_factory=list)

    def ask(self, infill: Infill) -> Result:
        self.engine.submit("c", infill, self.said.append)
        while self.engine.step():
            pass
        end = self.said[-1]
        assert isinstance(end, Result), end
        return end


@pytest.fixture(scope="module")
def bench(folder: Path) -> Bench:
    engine = Engine(ModelBackend(Settings(model=str(folder), device="cpu")))
    engine.load()
    assert engine.status.phase == "ready", engine.status.detail
    return Bench(engine)


# ---- by hand


def test_the_status_names_model_profile_and_device(bench: Bench, folder: Path) -> None:
    status = bench.engine.status
    assert (status.model, status.profile) == (str(folder), "tiny")
    assert status.device == "cpu"


@pytest.mark.parametrize(
    ("dtype", "first_state_ms", "sees"),
    [("float32", 1e9, 512), ("bfloat16", 1e-6, 256), ("float32", 0.0, 512)],
)
def test_the_status_says_what_is_computed_in_and_how_much_is_seen(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: Dtype,
    first_state_ms: float,
    sees: int,
) -> None:
    monkeypatch.setattr(budget, "FLOOR", 256)  # the tiny model sees no more than 512
    settings = Settings(
        model=str(folder), device="cpu", dtype=dtype, first_state_ms=first_state_ms
    )
    backend = ModelBackend(settings)
    assert backend.describe()["context"] == 0
    Engine(backend).load()
    described = backend.describe()
    assert (described["dtype"], described["context"]) == (dtype, sees)
    long = "word = other\n" * 500
    frame: Any = next(backend.infill(request("long", long, hole(length=4), long)))
    assert sees / 2 < frame.context <= sees


def test_every_hole_is_filled_and_states_lead_to_the_result(bench: Bench) -> None:
    bench.said.clear()
    parts: list[str | HolePart] = [
        "def f(",
        hole(length=3),
        "):\n    return ",
        hole(length=5),
        "\n",
    ]
    end = bench.ask(request("two holes", *parts, mode="exact"))
    states = [m for m in bench.said if isinstance(m, State)]
    assert states[-1].holes == [[text] for text in end.candidates[0].holes]
    assert end.usage.forwards_full == end.usage.steps == 8
    assert end.usage.ms_first_state is not None


def test_the_same_seed_draws_the_same_and_another_does_not(bench: Bench) -> None:
    def drawn(id: str, seed: int) -> list[list[str]]:
        place: list[str | HolePart] = ["x = ", hole(length=24), "\n"]
        end = bench.ask(request(id, *place, temperature=1.0, seed=seed, n=2))
        return [candidate.holes for candidate in end.candidates]

    once, again, other = drawn("s1", 7), drawn("s2", 7), drawn("s3", 8)
    assert once == again
    assert once != other
    assert once[0] != once[1]


def test_an_initial_text_stays_in_front(bench: Bench) -> None:
    end = bench.ask(request("initial", "x", hole(length=9, initial="return "), "y"))
    assert end.candidates[0].holes[0].startswith("return ")


def test_what_does_not_fit_is_refused_and_the_next_request_works(bench: Bench) -> None:
    too_much: list[str | HolePart] = ["a", hole(length=400), "b", hole(length=400)]
    bench.engine.submit("c", request("too much", *too_much), bench.said.append)
    bench.engine.step()
    end = bench.said[-1]
    assert isinstance(end, Failure)
    assert end.code == "bad_request"
    bench.ask(request("after", "a", hole(length=2)))


def test_the_request_beats_the_daemons_own_choice() -> None:
    defaults = Settings(mode="quality", tokens_per_step=4, temperature=0.5, top_p=0.9)
    own = infill_settings(request("a"), defaults)
    assert (own.mode, own.tokens_per_step, own.temperature) == ("quality", 4, 0.5)
    asked = request("b", mode="exact", steps=3, temperature=0.0, top_p=1.0, seed=1, n=2)
    chosen = infill_settings(asked, defaults)
    assert (chosen.mode, chosen.steps, chosen.tokens_per_step) == ("exact", 3, None)
    assert (chosen.temperature, chosen.top_p, chosen.seed, chosen.n) == (0.0, 1.0, 1, 2)


# ---- what cannot be loaded


def test_a_name_without_weights_says_where_they_are() -> None:
    with pytest.raises(ValueError, match="type `dlmd pull diffucoder-7b-cpgrpo`"):
        ModelBackend(Settings(model="diffucoder-7b-cpgrpo"))
    with pytest.raises(ValueError, match="known are embedded"):
        ModelBackend(Settings(model="no-such-model"))


def test_a_wrong_folder_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    for text, said in (("{", "not valid JSON"), (None, "config.json")):
        if text is not None:
            (tmp_path / "config.json").write_text(text)
        else:
            (tmp_path / "config.json").unlink()
        with pytest.raises(ValueError, match=said):
            ModelBackend(Settings(model=str(tmp_path)))


def test_weights_cut_short_become_the_status(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    engine = Engine(ModelBackend(Settings(model=str(tmp_path), device="cpu")))
    engine.load()
    assert engine.status.phase == "failed"
    assert "damaged or cut short" in engine.status.detail


# ---- as people run it


def command(folder: Path) -> tuple[str, ...]:
    options = ("--model", str(folder), "--device", "cpu")
    return (sys.executable, "-m", "dlmd", "serve", *options)


@pytest.fixture(scope="module")
def shared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("run time") / "dlmd"
    with daemon(place, argv=command(folder)) as running:
        yield running


def long(id: str, **fields: object) -> Infill:
    return request(id, "def f():\n    ", hole(length=LONG), "\n", **fields)


@pytest.mark.slow
async def test_the_daemon_answers_while_it_loads_and_then_fills(
    shared: Running,
) -> None:
    async with shared.client() as client:
        stream = client.infill(request("a", "x = ", hole(length=6), "\n"))
        answers = [message async for message in stream]
    assert isinstance(answers[0], State)
    assert isinstance(answers[-1], Result)
    usage = answers[-1].usage
    assert usage.steps == 6 and usage.forwards_cached > 0  # quality, unless asked


@pytest.mark.slow
async def test_cancel_and_supersede_reach_the_real_model(shared: Running) -> None:
    async with shared.raw() as peer:
        await peer.send(long("old"))
        while not isinstance(await peer.read(), State):
            pass
        await peer.send(long("newer", supersedes="old"))
        states, old = await peer.answer("old")
        assert isinstance(old, Failure)
        assert old.code == "superseded"
        assert len(states) < LONG / 2
        while not isinstance(await peer.read(), State):
            pass
        await peer.send(Cancel(id="newer"))
        states, newer = await peer.answer("newer")
        assert isinstance(newer, Failure)
        assert newer.code == "cancelled"
        assert len(states) < LONG / 2
        await peer.send(request("last", "x", hole(length=2)))
        assert isinstance((await peer.answer("last"))[1], Result)


@pytest.mark.slow
async def test_a_slow_reader_does_not_hold_up_the_others(shared: Running) -> None:
    async with shared.raw(max_queue=1) as slow, shared.client() as other:
        await slow.send(long("slow", n=4))
        while not isinstance(await slow.read(), State):
            pass
        later = request("later", "x", hole(length=2), priority="batch")
        assert isinstance([m async for m in other.infill(later)][-1], Result)
        states, end = await slow.answer("slow")
    assert isinstance(end, Result)
    assert len(end.candidates) == 4
    assert len(states) < 4 * LONG / 2


@pytest.mark.slow
async def test_stopped_under_load_every_request_ends(
    folder: Path, tmp_path: Path
) -> None:
    with daemon(tmp_path / "run", argv=command(folder)) as running:
        async with running.raw() as peer:
            for number in range(4):
                await peer.send(long(str(number), n=4))
            while not isinstance(await peer.read(), State):
                pass
            running.signal(signal.SIGTERM)
            ends: list[str | None] = []
            with pytest.raises(ConnectionClosed):
                while True:
                    message = await peer.read()
                    if isinstance(message, Result | Failure):
                        ends.append(message.id)
        assert sorted(map(str, ends)) == ["0", "1", "2", "3"]
        assert running.ended() == 0


@pytest.mark.slow
async def test_killed_in_mid_stream_the_next_one_serves(
    folder: Path, tmp_path: Path
) -> None:
    with daemon(tmp_path / "run", argv=command(folder)) as running:
        async with running.client() as client:
            with pytest.raises(DaemonGone):
                async for message in client.infill(long("a")):
                    if isinstance(message, State):
                        running.signal(signal.SIGKILL)
        running.ended()
    with daemon(tmp_path / "run") as running:
        async with running.client() as client:
            stream = client.infill(request("b", "x", hole(length=2)))
            assert isinstance([m async for m in stream][-1], Result)


@pytest.mark.slow
def test_a_model_of_another_kind_ends_the_command(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    process = start(tmp_path / "run", argv=command(tmp_path))
    said, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "llama" in said
    assert "Traceback" not in said
