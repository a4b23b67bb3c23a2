"""Which tensors a shape calls for, proved by the numbers that publishers state."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER, PROFILES, Profile, Shape
from dlmd.serve import manifest

SEVEN = PROFILES["diffucoder-7b-cpgrpo"].shape
assert SEVEN is not None
SMALL = Shape(
    vocabulary=4096,
    hidden=256,
    inner=768,
    layers=6,
    heads=4,
    kv_heads=2,
    theta=1e4,
    tied=True,
)


def test_diffucoder_has_339_tensors_of_7_615_616_512_parameters() -> None:
    assert SEVEN is not None
    assert len(manifest.tensors(SEVEN)) == 339
    assert manifest.parameters(SEVEN) == 7_615_616_512


@pytest.mark.parametrize(
    "profile",
    [each for each in PROFILES.values() if each.repository],
    ids=lambda profile: profile.name,
)
def test_every_shape_adds_up_to_what_is_stated(profile: Profile) -> None:
    assert profile.shape is not None
    assert len(manifest.tensors(profile.shape)) == profile.tensors
    assert manifest.parameters(profile.shape) == profile.parameters
    assert profile.size == 2 * manifest.parameters(profile.shape)  # BF16
    assert profile.shape.dtype == "BF16"


def test_the_embedded_model_is_as_its_shape_calls_for() -> None:
    found = manifest.headers(EMBEDDED_FOLDER)
    assert len(found) == 74
    assert manifest.complaints(found, SMALL) == []
    assert manifest.complaints(found, replace(SMALL, dtype="BF16")) == []


def whole(shape: Shape, dtype: str = "BF16") -> dict[str, tuple[manifest.Sizes, str]]:
    return {name: (sizes, dtype) for name, sizes in manifest.tensors(shape).items()}


def test_a_tied_head_may_be_written_out_or_not_and_an_untied_one_must_be() -> None:
    without, head = whole(SMALL), {"lm_head.weight": ((4096, 256), "BF16")}
    assert manifest.complaints(without | head, SMALL) == []
    untied = replace(SMALL, tied=False)
    assert manifest.complaints(without, untied) == ["lm_head.weight is missing"]
    assert manifest.complaints(without | head, untied) == []


def test_each_kind_of_complaint() -> None:
    at = "model.layers.3.self_attn.q_proj."
    found = whole(SMALL)
    found[f"{at}weight"] = ((256, 255), "BF16")
    found[f"{at}bias"] = ((256,), "F32")
    found["model.norm.weight"] = ((256,), "I8")
    del found["model.layers.5.mlp.up_proj.weight"]
    found["model.layers.6.mlp.up_proj.weight"] = ((768, 256), "BF16")
    assert manifest.complaints(found, replace(SMALL, dtype="BF16")) == [
        "model.layers.5.mlp.up_proj.weight is missing",
        "model.layers.6.mlp.up_proj.weight is none of its tensors",
        f"{at}weight is [256, 255], expected [256, 256]",
        f"{at}bias is F32, expected BF16",
        "model.norm.weight is I8, expected BF16: a quantised release",
    ]


def test_many_complaints_of_a_kind_are_counted() -> None:
    told = manifest.complaints({}, SMALL)
    assert len(told) == 4 and told[-1] == "71 more like these"


def test_a_file_cut_short_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    whole_file = (EMBEDDED_FOLDER / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole_file[: 1 << 20])
    with pytest.raises(ValueError, match="damaged or cut short"):
        manifest.headers(tmp_path)
