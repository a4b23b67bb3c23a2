"""Which tensors a model's files must hold, by its shape, and whether they do.

Reads the headers of safetensors and no weights, so a 7B is looked through in no time.
Must not know devices, nor what the numbers in the tensors are worth.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlmd.profiles import Shape

Sizes = tuple[int, ...]
PLAIN = ("BF16", "F16", "F32")
HEAD = "lm_head.weight"
MOST_TOLD = 3  # of one kind of complaint


def tensors(shape: Shape) -> dict[str, Sizes]:
    """Name and sizes of every tensor; a tied head is the embedding and none of its own."""
    D, F = shape.hidden, shape.inner
    kv = D // shape.heads * shape.kv_heads
    layer: dict[str, Sizes] = {
        "input_layernorm.weight": (D,),
        "post_attention_layernorm.weight": (D,),
        "self_attn.q_proj.weight": (D, D),
        "self_attn.q_proj.bias": (D,),
        "self_attn.k_proj.weight": (kv, D),
        "self_attn.k_proj.bias": (kv,),
        "self_attn.v_proj.weight": (kv, D),
        "self_attn.v_proj.bias": (kv,),
        "self_attn.o_proj.weight": (D, D),
        "mlp.gate_proj.weight": (F, D),
        "mlp.up_proj.weight": (F, D),
        "mlp.down_proj.weight": (D, F),
    }
    all_of_it: dict[str, Sizes] = {
        "model.embed_tokens.weight": (shape.vocabulary, D),
        "model.norm.weight": (D,),
    }
    for number in range(shape.layers):
        at = f"model.layers.{number}."
        all_of_it |= {at + name: sizes for name, sizes in layer.items()}
    if not shape.tied:
        all_of_it[HEAD] = (shape.vocabulary, D)
    return all_of_it


def parameters(shape: Shape) -> int:
    return sum(math.prod(sizes) for sizes in tensors(shape).values())


def headers(folder: Path) -> dict[str, tuple[Sizes, str]]:
    """Sizes and type of every tensor in the files that dlmd would load."""
    from safetensors import SafetensorError, safe_open

    from dlmd.model.config import readable
    from dlmd.model.weights import DERIVED, weight_files

    found: dict[str, tuple[Sizes, str]] = {}
    for file in weight_files(folder):
        with readable(file):
            try:
                with safe_open(file, framework="np") as opened:
                    for name in opened.keys():  # noqa: SIM118 (not a dict)
                        if not name.endswith(DERIVED):
                            part: Any = opened.get_slice(name)
                            sizes = tuple(part.get_shape())
                            found[name] = sizes, part.get_dtype()
            except SafetensorError as error:
                raise ValueError(
                    f"{file} is damaged or cut short ({error}); download it again"
                ) from None
    return found


def complaints(found: dict[str, tuple[Sizes, str]], shape: Shape) -> list[str]:
    """What is not as the shape calls for; nothing where all is well."""
    wanted = tensors(shape)
    allowed = dict(wanted)
    if shape.tied:  # some write it out all the same
        allowed[HEAD] = allowed["model.embed_tokens.weight"]
    missing = [f"{name} is missing" for name in wanted if name not in found]
    strange = [f"{name} is none of its tensors" for name in found.keys() - allowed]
    types = {dtype for _, dtype in found.values()}
    main = shape.dtype or max(types & set(PLAIN), default=PLAIN[0])
    sizes, kinds = [], []
    for name in sorted(found.keys() & allowed.keys()):
        seen, dtype = found[name]
        if seen != allowed[name]:
            sizes.append(f"{name} is {list(seen)}, expected {list(allowed[name])}")
        if dtype not in PLAIN:
            kinds.append(f"{name} is {dtype}, expected {main}: a quantised release")
        elif dtype != main:
            kinds.append(f"{name} is {dtype}, expected {main}")
    return [told for each in (missing, strange, sizes, kinds) for told in first(each)]


def first(complaints: list[str]) -> Iterator[str]:
    told = sorted(complaints)
    yield from told[:MOST_TOLD]
    if len(told) > MOST_TOLD:
        yield f"{len(told) - MOST_TOLD} more like these"
