"""Pulling as the command line does it, without its questions and its drawing."""

from typing import Any

import pytest
from dlmd.store import pull

from tests.fakes.hub import release

NAME = "diffucoder-7b-cpgrpo"
SHARD = "model-00001-of-00002.safetensors"
OURS = {name for name in release() if name.endswith((".safetensors", ".json", ".txt"))}


def pulled(name: str = NAME, **options: Any) -> list[pull.Progress]:
    return list(pull.carry_out(pull.plan(name, **options)))


def refused(**options: Any) -> str:
    """The one sentence that it ends with."""
    with pytest.raises(ValueError) as caught:
        pulled(**options)
    said = str(caught.value)
    assert "\n" not in said
    return said
