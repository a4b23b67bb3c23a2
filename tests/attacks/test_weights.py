"""A model folder made to do harm on being opened: pickles, pickles called safetensors,
headers that claim more than there is, tensors that lie over each other or elsewhere."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.model import load, weights
from dlmd.serve.backend import ModelBackend
from dlmd.settings import Settings

from tests.fakes.inside import Inside, serving
from tests.fakes.tiny import tiny_model_folder


class Payload:
    """What a pickle may hold: a call that is made while it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model_folder(tmp_path / "model")


@pytest.fixture
def harm(tmp_path: Path) -> Path:
    """Is there once somebody ran the payload."""
    return tmp_path / "harm"


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.ckpt", "model.safetensors"]
)
def test_no_pickle_is_opened(folder: Path, harm: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Payload(harm)))
    with pytest.raises(ValueError, match=r"pickle|damaged") as refused:
        load(folder)
    assert "\n" not in str(refused.value)
    assert not harm.exists()


def test_a_pickle_beside_the_weights_is_left_alone(folder: Path, harm: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(pickle.dumps(Payload(harm)))
    load(folder)
    assert not harm.exists()


def header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "model.safetensors"
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8 : 8 + size])
    change(table)
    told = json.dumps(table).encode()
    file.write_bytes(struct.pack("<Q", len(told)) + told + data[8 + size :])


NORM = "model.norm.weight"
HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "past the end": lambda t: t[NORM].update(data_offsets=[0, 2**40]),
    "negative": lambda t: t[NORM].update(data_offsets=[-4, 0]),
    "backwards": lambda t: t[NORM].update(data_offsets=[64, 0]),
    "over each other": lambda t: t[NORM].update(data_offsets=[0, 128]),
    "huge shape": lambda t: t[NORM].update(shape=[2**62, 2**62]),
    "other shape": lambda t: t[NORM].update(shape=[4, 8]),
    "other type": lambda t: t[NORM].update(dtype="F64"),
    "no type": lambda t: t[NORM].update(dtype="Q99"),
    "not a table": lambda t: t.update({NORM: 7}),
    "stranger": lambda t: t.update({"model.evil": t[NORM]}),
    "missing": lambda t: t.pop(NORM),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_header_that_lies_is_one_sentence(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    header(folder, change)
    with pytest.raises(ValueError) as refused:
        load(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 7, b"\xff" * 8, struct.pack("<Q", 2**63) + b"{}", b"PK\3\4" * 99],
    ids=["empty", "short", "endless", "longer than memory", "a zip"],
)
def test_what_is_no_safetensors_is_one_sentence(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        load(folder)


def test_an_index_cannot_name_files_elsewhere(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.safetensors", tmp_path / "stolen.safetensors")
    table = {"weight_map": {NORM: "../stolen.safetensors"}}
    (folder / weights.INDEX).write_text(json.dumps(table))
    with pytest.raises(ValueError, match="in the same folder"):
        load(folder)


def test_without_that_rule_it_can(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(folder / "model.safetensors", tmp_path / "stolen.safetensors")
    monkeypatch.setattr(
        weights, "weight_files", lambda path: [path / "../stolen.safetensors"]
    )
    assert isinstance(load(folder).model.norm.weight, torch.Tensor)


def test_a_config_that_names_code_runs_none(folder: Path, harm: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(harm)!r})\n")
    load(folder)
    assert not harm.exists()


# ---- the same by a daemon, over its port

ASKED = {"prompt": "def f(x):", "max_tokens": 12}


@asynccontextmanager
async def served(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    run = folder.with_name("run")
    patch.setenv("DLMD_RUNTIME_DIR", str(run))
    chosen = Settings(
        model=str(folder), device="cpu", dtype="float32", first_state_ms=0
    )
    async with serving(run, real=ModelBackend(chosen)) as inside:
        yield inside


async def said_by(folder: Path, patch: pytest.MonkeyPatch) -> str:
    async with served(folder, patch) as inside:
        told = await inside.ask("POST", "/v1/completions", ASKED)
        assert told.status == 200, told.body
        return str(told.json["choices"][0]["text"])


def pickled(folder: Path, harm: Path) -> None:
    """The true weights as other programs save them, and with them what is to be run."""
    state = load(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save({"payload": Payload(harm)} | state, folder / "pytorch_model.bin")


def trusting_file(folder: Path) -> list[Path]:
    return [folder / "pytorch_model.bin"]


def trusting_reader(file: Path, *rest: object, **more: object) -> Iterator[Any]:
    state = torch.load(file, weights_only=False)
    yield from (item for item in state.items() if isinstance(item[1], torch.Tensor))


TRUSTING: dict[str, Any] = {
    "weight_files": trusting_file,
    "read_tensors": trusting_reader,
}


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["", "weight_files", "read_tensors"])
async def test_a_daemon_on_pickles_says_so_and_runs_nothing(
    folder: Path, harm: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    pickled(folder, harm)
    if gone:  # the rule of names, or that of content: the other is enough
        monkeypatch.setattr(weights, gone, TRUSTING[gone])
    async with served(folder, monkeypatch) as inside:
        told = await inside.ask("POST", "/v1/completions", ASKED)
        assert told.status == 503
        assert any(word in told.error["message"] for word in ("pickle", "damaged"))
    assert not harm.exists()


@pytest.mark.slow
async def test_without_the_rules_it_runs_them_and_nobody_notices(
    folder: Path, harm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await said_by(folder, monkeypatch)
    pickled(folder, harm)
    for name, gone in TRUSTING.items():
        monkeypatch.setattr(weights, name, gone)
    assert await said_by(folder, monkeypatch) == before
    assert harm.exists()


def lie(table: dict[str, Any]) -> None:
    """One tensor lies over another: who checks the second reads it into the first."""
    under = next(name for name in sorted(table) if "k_proj.weight" in name)
    over = under.replace("k_proj", "v_proj")
    table[over].update(data_offsets=table[under]["data_offsets"])


def believing_reader(file: Path, *rest: object, **more: object) -> Iterator[Any]:
    """Takes every word of the header for true."""
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    for name, about in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + at for at in about["data_offsets"])
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
            yield name, flat.reshape(about["shape"])


@pytest.mark.slow
async def test_a_daemon_on_a_lie_says_so_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header(folder, lie)
    async with served(folder, monkeypatch) as inside:
        told = await inside.ask("POST", "/v1/completions", ASKED)
        assert told.status == 503 and "damaged" in told.error["message"]
        assert (await inside.ask("GET", "/metrics")).status == 200


@pytest.mark.slow
async def test_without_the_checks_it_serves_what_nobody_published(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "read_tensors", believing_reader)
    before = await said_by(folder, monkeypatch)
    header(folder, lie)
    assert await said_by(folder, monkeypatch) != before
