"""A model folder made to do harm on being opened: pickles, pickles called safetensors,
headers that claim more than there is, tensors that lie over each other or elsewhere."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.model import load, weights

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


def test_a_reader_of_pickles_would_run_it(
    folder: Path, harm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(harm)))

    def read_anything(file: Path, *rest: object, **more: object) -> Any:
        pickle.loads(file.read_bytes())
        return iter(())

    monkeypatch.setattr(weights, "read_tensors", read_anything)
    with pytest.raises(ValueError, match="missing"):
        load(folder)
    assert harm.exists()


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


def test_without_the_checks_of_shape_a_lie_is_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header(folder, HEADERS["other shape"])
    monkeypatch.setattr(weights, "refuse_strange", lambda *anything: None)
    with pytest.raises(
        RuntimeError, match="size mismatch"
    ):  # torch's own, with a trace
        load(folder)


def test_a_config_that_names_code_runs_none(folder: Path, harm: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(harm)!r})\n")
    load(folder)
    assert not harm.exists()
