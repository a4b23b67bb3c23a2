"""The table's facts that bite, and which profile a folder on disk gets."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER, PROFILES, Profile, find, for_folder

QWEN = {"mask_token_id": 151666, "pad_token_id": 151643, "eos_token_id": 151643}


def folder(path: Path, config: object, **files: object) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def test_151667_is_padding_on_diffucoder_and_expand_on_dreamon() -> None:
    for name in ("base", "instruct", "cpgrpo"):
        assert find(f"diffucoder-7b-{name}").pad_ids == (151667, 151643)
        assert find(f"diffucoder-7b-{name}").expand_id is None
    dreamon = find("dreamon-7b")
    assert (dreamon.expand_id, dreamon.pad_ids) == (151667, (151643,))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_row_is_consistent(profile: Profile) -> None:
    assert PROFILES[profile.name] is profile
    ids = [profile.mask_id, *profile.pad_ids]
    assert len(set(ids)) == len(ids)
    assert profile.expand_id not in ids
    assert profile.prompt_form in ("infill", "chat")
    assert profile.length_policy in ("padding", "calibrated", "expand", "fixed")
    assert (profile.expand_id is not None) == (profile.length_policy == "expand")
    assert profile.notes
    assert set(profile.unverified) <= {field.name for field in fields(Profile)}
    assert profile.verified is (profile.unverified == ())
    if profile.repository:  # bf16: what is announced before a download must add up
        assert profile.size == 2 * (profile.parameters or 0)


def test_who_wants_the_begin_token_in_front_of_every_canvas() -> None:
    wanting = {name for name, profile in PROFILES.items() if profile.always_bos}
    assert wanting == {
        "embedded",
        "dream-coder-7b-instruct",
        "dream-coder-7b-base",
        "dreamon-7b",
        "d3llm-coder-7b",
    }


def test_found_by_name_and_by_repository() -> None:
    assert find("apple/DiffuCoder-7B-cpGRPO") is PROFILES["diffucoder-7b-cpgrpo"]
    assert find("EMBEDDED").repository is None
    with pytest.raises(
        ValueError, match="unknown model 'gpt'; known are embedded, diffucoder-7b"
    ):
        find("gpt")
    with pytest.raises(ValueError, match="unknown model ''"):
        find("")


def test_the_embedded_row_says_what_its_folder_says() -> None:
    assert for_folder(EMBEDDED_FOLDER) == PROFILES["embedded"]


@pytest.mark.parametrize(
    "profile", [p for p in PROFILES.values() if p.repository], ids=lambda p: p.name
)
def test_a_downloaded_folder_is_known_by_its_name(
    tmp_path: Path, profile: Profile
) -> None:
    assert profile.repository
    ours = folder(
        tmp_path / profile.name / ("0" * 40), {"mask_token_id": profile.mask_id}
    )
    assert for_folder(ours) is profile
    config = QWEN | {"mask_token_id": profile.mask_id}
    plain = folder(tmp_path / profile.repository.split("/")[1], config)
    cache = (
        tmp_path
        / ("models--" + profile.repository.replace("/", "--"))
        / "snapshots"
        / "0a1b"
    )
    renamed = folder(
        tmp_path / "renamed", config | {"_name_or_path": profile.repository}
    )
    assert (
        for_folder(plain)
        == for_folder(folder(cache, config))
        == for_folder(renamed)
        == profile
    )


def test_a_renamed_folder_is_known_by_its_tokenizer(tmp_path: Path) -> None:
    padded = folder(tmp_path / "a", QWEN, added_tokens={"<|dlm_pad|>": 151667})
    decoder = {"added_tokens_decoder": {"151667": {"content": "<|expand|>"}}}
    expanding = folder(tmp_path / "b", QWEN, tokenizer_config=decoder)
    assert for_folder(padded).name == "diffucoder-7b-instruct"
    assert for_folder(expanding).name == "dreamon-7b"


def test_a_known_name_over_another_vocabulary_counts_by_its_ids(tmp_path: Path) -> None:
    tiny = {
        "mask_token_id": 511,
        "pad_token_id": 509,
        "bos_token_id": 510,
        "eos_token_id": 508,
    }
    profile = for_folder(
        folder(tmp_path / "DiffuCoder-7B-Base", tiny | {"max_position_embeddings": 512})
    )
    assert (profile.mask_id, profile.pad_ids, profile.bos_id, profile.eos_id) == (
        511,
        (509,),
        510,
        508,
    )
    assert (profile.context, profile.length_policy, profile.licence) == (
        512,
        "padding",
        "unknown",
    )


def test_padding_that_is_the_end_of_text_was_not_trained_as_a_length(
    tmp_path: Path,
) -> None:
    assert for_folder(folder(tmp_path / "m", QWEN)).length_policy == "fixed"


def test_the_mask_is_found_in_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = {
        "mask_token": {"content": "[MASK]"},
        "added_tokens_decoder": {"7": {"content": "[MASK]"}},
    }
    assert (
        for_folder(folder(tmp_path / "m", {}, tokenizer_config=tokenizer)).mask_id == 7
    )


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (None, "is no model folder: it has no config.json"),
        ("{", "config.json is not valid JSON"),
        ("[]", "config.json holds a JSON list, not an object"),
        ("{}", "has no mask_token_id in config.json"),
    ],
)
def test_a_folder_that_is_no_model_is_one_sentence(
    tmp_path: Path, write: str | None, message: str
) -> None:
    if write is not None:
        (tmp_path / "config.json").write_text(write)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        for_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)
