"""Files that are made to harm: each is refused in one sentence, before memory goes to it."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlmd.model import load, read_config, weights
from dlmd.profiles import EMBEDDED_FOLDER, for_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.tiny import tiny_model_folder

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model_folder(tmp_path / "a model")


def refusal(folder: Path, of: Callable[[Path], object] = load) -> str:
    with pytest.raises(ValueError) as caught:
        of(folder)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600 and str(folder) in message
    return message


def split(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of the weights."""
    whole = (folder / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def join(folder: Path, header: object, data: bytes, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", size) + text + data)


class Harm:
    """What a pickle runs when it is opened."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return Path.write_text, (self.witness, "it ran")  # type: ignore[return-value]


def test_a_pickle_named_safetensors_runs_nothing(folder: Path, tmp_path: Path) -> None:
    harm = pickle.dumps(Harm(tmp_path / "witness"))
    pickle.loads(harm)  # the attack is one: opened as a pickle, it runs
    assert (tmp_path / "witness").read_text() == "it ran"
    (tmp_path / "witness").unlink()
    (folder / WEIGHTS).write_bytes(harm)
    assert "damaged or cut short" in refusal(folder)
    assert not (tmp_path / "witness").exists()


def test_if_a_pickle_were_opened_as_one_it_would_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps(Harm(tmp_path / "witness")))
    monkeypatch.setattr(
        weights, "safe_open", lambda file, **_: pickle.loads(file.read_bytes())
    )
    with pytest.raises(TypeError):  # what it returns is no file of tensors
        load(folder)
    assert (tmp_path / "witness").read_text() == "it ran"


def test_a_zip_of_torch_save_named_safetensors(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"PK\x03\x04" + b"archive/data.pkl" * 100)
    assert "damaged or cut short" in refusal(folder)


@pytest.mark.parametrize("length", [0, 2**63, 2**64 - 1, 10**12, 200_000_000])
def test_a_header_that_claims_another_length(folder: Path, length: int) -> None:
    header, data = split(folder)
    join(folder, header, data, length)
    assert "damaged or cut short" in refusal(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a": 1}',
        b'{"a": {}}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    ],
)
def test_a_header_that_is_none(folder: Path, header: bytes) -> None:
    join(folder, header, b"\0" * 64)
    assert "damaged or cut short" in refusal(folder)


def changed(folder: Path, name: str, **fields: object) -> None:
    header, data = split(folder)
    header[name] |= fields
    join(folder, header, data)


NORM = "model.norm.weight"


def test_tensors_that_overlap(folder: Path) -> None:
    header, _ = split(folder)
    other = header["model.layers.0.input_layernorm.weight"]["data_offsets"]
    changed(folder, NORM, data_offsets=other)
    assert "damaged or cut short" in refusal(folder)


@pytest.mark.parametrize(
    "offsets", [[-128, 0], [0, 10**15], [2**63, 2**63 + 128], [128, 0], [0.5, 128], []]
)
def test_offsets_outside_of_the_file(folder: Path, offsets: list[float]) -> None:
    changed(folder, NORM, data_offsets=offsets)
    assert "damaged or cut short" in refusal(folder)


@pytest.mark.parametrize(
    "shape", [[33], [2**62, 4], [2**32, 2**32], [-32], [32, 0], ["32"], [0]]
)
def test_a_shape_that_does_not_fit_its_bytes(folder: Path, shape: list[object]) -> None:
    changed(folder, NORM, shape=shape)
    assert "damaged or cut short" in refusal(folder)


def test_a_type_that_does_not_fit_its_bytes(folder: Path) -> None:
    for dtype in ("F64", "BF16", "F8_E4M3", "nonsense"):
        changed(folder, NORM, dtype=dtype)
        assert "damaged or cut short" in refusal(folder)


def test_a_hole_between_tensors(folder: Path) -> None:
    header, data = split(folder)
    del header[NORM]
    join(folder, header, data)
    assert "damaged or cut short" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("hidden_size", 10**12),
        ("vocab_size", 2**62),
        ("intermediate_size", 10**30),
        ("max_position_embeddings", 10**18),
        ("num_attention_heads", 2**40),
    ],
)
def test_a_config_that_would_build_for_ever(folder: Path, key: str, value: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    assert f"{key} in {folder}/config.json is" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 100_000, '{"vocab_size": ' + "9" * 5000 + "}"]
)
def test_json_that_is_too_deep_or_too_long(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    assert "is not valid JSON" in refusal(folder)
    if name == "config.json":
        assert "is not valid JSON" in refusal(folder, for_folder)


KEYS = [
    *json.loads((EMBEDDED_FOLDER / "config.json").read_text()),
    *("rope_parameters", "rope_scaling", "head_dim", "auto_map", "hidden_act"),
    *("use_sliding_window", "quantization_config", "_name_or_path", "mask_token"),
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "rope_type", "rope_theta", "content", "7"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=4,
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    config=st.dictionaries(st.sampled_from(KEYS), ANY_JSON, max_size=3),
    tokens=st.dictionaries(
        st.sampled_from(["mask_token", "added_tokens_decoder"]), ANY_JSON
    ),
)
@pytest.mark.slow
def test_any_json_in_a_config_is_a_shape_or_one_sentence(
    folder: Path, config: dict[str, object], tokens: dict[str, object]
) -> None:
    original = (EMBEDDED_FOLDER / "config.json").read_text()
    changed = json.loads(original) | config
    (folder / "config.json").write_text(json.dumps(changed))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    for read in (read_config, for_folder):
        try:
            read(folder)
        except ValueError as refused:
            assert str(folder) in str(refused) and "\n" not in str(refused)
