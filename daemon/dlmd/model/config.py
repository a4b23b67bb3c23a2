"""The numbers of a model folder's `config.json`, or a clear refusal.

Reads Dream, DiffuCoder and Qwen2-shaped folders. `auto_map`, which names code to run, is
never followed. Whatever our one module does not compute is refused here, by name. Must
not open weights.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlmd.model.dream import DreamConfig

MODEL_TYPES = ("Dream", "dream", "qwen2")
# Each with a bound far above any model of these families: beyond it a config is a mistake
# or an attack, and would build modules until memory ends.
SIZES = {
    "vocab_size": 1 << 24,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "num_hidden_layers": 1 << 10,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 12,
}
LONGEST = 1 << 24
MOST_JSON = 64 << 20


def read_config(path: str | Path) -> DreamConfig:
    """The network's shape from the `config.json` of a model folder."""
    folder = Path(path)
    with readable(folder):
        if not folder.exists():
            raise ValueError(
                f"no folder at {folder}; pass the folder that holds config.json"
            )
        if not folder.is_dir():
            raise ValueError(
                f"{folder} is a file; pass the folder that holds config.json"
            )
        if not (folder / "config.json").exists():
            raise ValueError(
                f"no config.json in {folder}; pass a model folder with config.json "
                "and *.safetensors"
            )
    raw = read_json(folder / "config.json")
    refuse_other_networks(folder, raw)
    numbers = {key: positive(folder, raw, key, most) for key, most in SIZES.items()}
    if numbers["hidden_size"] % numbers["num_attention_heads"] or (
        numbers["num_attention_heads"] % numbers["num_key_value_heads"]
    ):
        raise ValueError(
            f"the head counts in {folder}/config.json do not divide; hidden_size must be "
            "a multiple of num_attention_heads, and that of num_key_value_heads"
        )
    rope = table(folder, raw, "rope_parameters")
    theta = "rope_theta"
    return DreamConfig(
        **numbers,
        mask_token_id=mask_id(folder, raw, numbers["vocab_size"]),
        pad_token_id=one_id(raw, "pad_token_id"),
        bos_token_id=one_id(raw, "bos_token_id"),
        eos_token_id=one_id(raw, "eos_token_id"),
        rope_theta=real(folder, raw if raw.get(theta) else rope, theta, 10000.0),
        rms_norm_eps=real(folder, raw, "rms_norm_eps", 1e-6),
        max_position_embeddings=positive(
            folder, raw, "max_position_embeddings", LONGEST, default=2048
        ),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
    )


def refuse_other_networks(folder: Path, raw: dict[str, Any]) -> None:
    """Say so when the config asks for anything our one module does not compute."""
    kind = raw.get("model_type")
    if kind not in MODEL_TYPES:
        remote = " (its own code, named under auto_map, is never run)"
        raise ValueError(
            f"{folder} holds a model of type {kind!r}{remote if 'auto_map' in raw else ''}; "
            "dlmd runs Dream and DiffuCoder models: pass the folder of one"
        )
    scaling = table(
        folder, raw, "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    )
    rope_type = scaling.get("rope_type", scaling.get("type", "default"))
    wrong = {
        "rope scaling": bool(scaling) and rope_type != "default",
        f"hidden_act {raw.get('hidden_act')!r}": raw.get("hidden_act", "silu")
        != "silu",
        "a sliding attention window": bool(raw.get("use_sliding_window")),
        "quantised weights": bool(raw.get("quantization_config")),
        "a head_dim of its own": raw.get("head_dim") is not None and not agrees(raw),
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(
                f"{folder}/config.json asks for {what}, which dlmd does not compute; "
                "use the plain bf16 or float32 release of the model"
            )


def agrees(raw: dict[str, Any]) -> bool:
    heads, width = raw.get("num_attention_heads"), raw["head_dim"]
    if type(heads) is not int or type(width) is not int:
        return False
    return heads * width == raw.get("hidden_size")


def table(folder: Path, raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(
            f"{key} in {folder}/config.json is {str(value)[:40]!r}; expected an object: "
            "download the folder again"
        )
    return value


def real(folder: Path, raw: dict[str, Any], key: str, default: float) -> float:
    value = raw.get(key)
    if value is None:
        return default
    if type(value) not in (int, float) or not 0 < value < 1e30:
        raise ValueError(
            f"{key} in {folder}/config.json is {str(value)[:40]!r}; expected a number "
            "above 0: download the folder again"
        )
    return float(value)


def positive(
    folder: Path,
    raw: dict[str, Any],
    key: str,
    most: int,
    *,
    default: int | None = None,
) -> int:
    value = raw.get(key, default)
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(
            f"{key} in {folder}/config.json is {str(value)[:40]!r}; expected a whole number "
            f"from 1 to {most}: download the folder again"
        )
    return value


def one_id(raw: dict[str, Any], key: str) -> int | None:
    """Several ends of text come as a list, the one that ends a text first."""
    value = raw.get(key)
    first = value[0] if isinstance(value, list) and value else value
    return first if type(first) is int else None


def mask_id(folder: Path, raw: dict[str, Any], vocab_size: int) -> int:
    """`mask_token_id`, or for Qwen2-shaped folders the id of the tokenizer's mask token."""
    found = raw.get("mask_token_id")
    if found is None and (folder / "tokenizer_config.json").exists():
        tokens = read_json(folder / "tokenizer_config.json")
        mask = tokens.get("mask_token")
        content = mask.get("content") if isinstance(mask, dict) else mask
        added = table(folder, tokens, "added_tokens_decoder")
        for token, entry in added.items():
            known = entry.get("content") if isinstance(entry, dict) else entry
            if content is not None and known == content and token.isdecimal():
                found = int(token)
    if type(found) is not int or not 0 <= found < vocab_size:
        said = str(found)[:40]
        raise ValueError(
            f"{folder} names no mask token below {vocab_size} (mask_token_id is {said}); "
            "dlmd runs masked-diffusion models: pass the folder of one"
        )
    return found


def read_json(file: Path) -> dict[str, Any]:
    with readable(file):
        if file.stat().st_size > MOST_JSON:
            raise ValueError(
                f"{file} has more than {MOST_JSON >> 20} MB; download it again"
            )
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        # Nested too deep, or a number of thousands of digits, are other errors.
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{file} is not valid JSON ({error}); download it again"
            ) from None
    if not isinstance(found, dict):
        raise ValueError(
            f"{file} holds no JSON object but a {type(found).__name__}; download it again"
        )
    return found


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"cannot read {path} ({error.strerror or error}); check that it is there "
            "and that you may read it"
        ) from None
