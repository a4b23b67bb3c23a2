"""Which files of a repository or folder make a model, and whether they are all there.

Safetensors, JSON and merges: never code, never a pickle. Must not know where the names
come from, nor open weights.
"""

import json
from collections.abc import Collection
from pathlib import Path

from dlmd.store.shelf import is_file_name

INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
KINDS = (".safetensors", ".json")


def is_read(name: str) -> bool:
    """Whether dlmd would open a file of that name in a model's folder."""
    return is_file_name(name) and (name.endswith(KINDS) or name == "merges.txt")


def refuse_incomplete(where: object, names: Collection[str]) -> None:
    """Say what a model there would lack, before anything of it is downloaded or copied."""
    if "config.json" not in names:
        raise ValueError(f"{where} holds no model: it has no config.json")
    if not any(name.endswith(".safetensors") for name in names):
        if any(name.endswith(PICKLES) for name in names):
            raise ValueError(
                f"{where} holds pickled weights only; pickles can run code when opened, "
                "so dlmd takes safetensors only: look for such a release"
            )
        raise ValueError(f"{where} holds no weights; expected *.safetensors")
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= set(names):
        raise ValueError(
            f"{where} holds no tokenizer; expected tokenizer.json, or vocab.json with "
            "merges.txt"
        )


def refuse_missing_shards(index: Path, names: Collection[str], where: object) -> None:
    """Every shard that the index names has to be among the files."""
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (
        *(ValueError, LookupError, TypeError, AttributeError),
        RecursionError,
    ) as broken:
        raise ValueError(
            f"{INDEX} of {where} is no index of shards; that release is broken"
        ) from broken
    for shard in sorted(map(str, shards)):
        if not is_file_name(shard) or shard not in names:
            raise ValueError(
                f"{where} lacks {shard!r}, which its {INDEX} names; that release is broken"
            )
