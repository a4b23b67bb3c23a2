"""The one table of models: ids, prompt form, stop text, length policy, licence.

A profile says what a checkpoint's files do not say, or say wrongly. It loads neither torch
nor a tokenizer, so that the command line and the language server can read it.
It must not know how decoding uses a fact: it only states the fact, and how sure we are.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

EMBEDDED_FOLDER = Path(__file__).parent / "model" / "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of a Qwen2 body: they say what every tensor of it is called and holds."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    theta: float  # the rotary base
    tied: bool = False  # the head is the embedding
    dtype: str = ""  # of the file's tensors, as safetensors says it; "": any


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a request needs to know about one model."""

    name: str
    repository: str | None
    licence: str
    mask_id: int
    # Labels that mean "nothing here" inside a hole; the first is the trained one.
    pad_ids: tuple[int, ...]
    # Goes in front of a canvas, because logits are shifted: position 0 is never a mask.
    bos_id: int | None
    eos_id: int | None
    expand_id: int | None = None
    # "infill": bare text only. "chat": also follows the chat template; holes stay bare.
    prompt_form: str = "infill"
    stop: str | None = "<|endoftext|>"
    # "padding": surplus masks become pad_ids. "calibrated": the number of masks is searched.
    # "expand": expand and delete labels. "fixed": as many tokens as were asked for.
    length_policy: str = "calibrated"
    context: int
    # Does row i of the logits predict token i + 1? So it is in all of these families.
    shifted: bool = True
    # The begin token stands in front of every canvas, not only before a mask.
    always_bos: bool = False
    # What the weights hold and take on disk, as published: told before a download.
    parameters: int | None = None
    tensors: int | None = None
    size: int | None = None  # bytes
    shape: Shape | None = None
    # What `dlmd doctor --model` expects: a masked-diffusion loss on its sample below this,
    # and so many of its trivial holes right. None: nobody can say.
    loss_ceiling: float | None = None
    holes_right: int | None = None
    # Fields above that were not read in the published checkpoint's own files.
    unverified: tuple[str, ...] = ()
    notes: str

    @property
    def verified(self) -> bool:
        return not self.unverified


# The Qwen2.5 vocabulary as Dream extends it. 151667 is free there, and is used twice:
# DiffuCoder's <|dlm_pad|> (nothing here) and DreamOn's expand label (two masks here).
_ENDOFTEXT, _BEGINOFTEXT, _MASK, _EXTRA = 151643, 151665, 151666, 151667

_IDS = ("mask_id", "pad_ids", "bos_id", "eos_id")
_WEIGHTS = ("parameters", "tensors", "size", "shape")
# Never measured: far below chance (11.9), far above what a code model of that size should
# show.
_CHECK = ("loss_ceiling", "holes_right")
_FORM = ("licence", "stop", "context", "shifted")

_DREAM = Profile(
    name="dream-v0-7b-instruct",
    repository="Dream-org/Dream-v0-Instruct-7B",
    licence="Apache-2.0",
    mask_id=_MASK,
    pad_ids=(_ENDOFTEXT,),
    bos_id=_BEGINOFTEXT,
    eos_id=_ENDOFTEXT,
    prompt_form="chat",
    context=2048,
    parameters=7_615_616_512,
    tensors=339,
    size=15_231_233_024,
    shape=Shape(
        vocabulary=152_064,
        hidden=3584,
        inner=18_944,
        layers=28,
        heads=28,
        kv_heads=4,
        theta=1e6,
        dtype="BF16",
    ),
    loss_ceiling=2.5,
    holes_right=14,
    unverified=("licence", "context", *_CHECK),
    notes="Ids and sizes from its config.json, tokenizer and index; context is the "
    "documented working length, config.json says 131072. Licence as its publishers state.",
)
_DIFFUCODER = replace(
    _DREAM,
    name="diffucoder-7b-cpgrpo",
    repository="apple/DiffuCoder-7B-cpGRPO",
    licence="apple-amlr",
    pad_ids=(_EXTRA, _ENDOFTEXT),
    stop="<|dlm_pad|>",
    unverified=(*_IDS, *_WEIGHTS, *_FORM, *_CHECK),
    notes="151667 is <|dlm_pad|> here, by two third-party readings; config.json keeps "
    "151643 as padding. Public copies disagree on the licence (apple-amlr, Apache-2.0): "
    "read it before passing weights on. Trained at 2048 after 4096 in pre-training.",
)
_DREAM_CODER = replace(
    _DREAM,
    name="dream-coder-7b-instruct",
    repository="Dream-org/Dream-Coder-v0-Instruct-7B",
    always_bos=True,
    unverified=(*_IDS, *_WEIGHTS, *_FORM, *_CHECK, "always_bos"),
    notes="Dream's architecture, shift and tokenizer; ids taken from Dream, its own files "
    "not read. Its published infill puts <|beginoftext|> in front of every canvas.",
)

_TABLE = (
    Profile(
        name="embedded",
        repository=None,
        licence="Apache-2.0",
        mask_id=3,
        pad_ids=(0,),
        bos_id=1,
        eos_id=2,
        stop=None,
        length_policy="padding",
        context=1024,
        always_bos=True,
        loss_ceiling=1.55,  # it shows 1.41
        holes_right=15,  # it fills 18
        notes="Ships with dlmd; small, for trying and for machines without a GPU.",
    ),
    _DIFFUCODER,
    replace(
        _DIFFUCODER,
        name="diffucoder-7b-instruct",
        repository="apple/DiffuCoder-7B-Instruct",
    ),
    replace(
        _DIFFUCODER,
        name="diffucoder-7b-base",
        repository="apple/DiffuCoder-7B-Base",
        prompt_form="infill",
        stop="<|endoftext|>",
        context=4096,
    ),
    _DREAM,
    replace(
        _DREAM,
        name="dream-v0-7b-base",
        repository="Dream-org/Dream-v0-Base-7B",
        prompt_form="infill",
        unverified=(*_IDS, *_WEIGHTS, *_FORM, *_CHECK),
        notes="Ids taken from Dream Instruct, which shares its tokenizer.",
    ),
    _DREAM_CODER,
    replace(
        _DREAM_CODER,
        name="dream-coder-7b-base",
        repository="Dream-org/Dream-Coder-v0-Base-7B",
        prompt_form="infill",
    ),
    replace(
        _DREAM_CODER,
        name="dreamon-7b",
        repository="Dream-org/DreamOn-v0-7B",
        prompt_form="infill",
        expand_id=_EXTRA,
        length_policy="expand",
        context=1024,
        unverified=(*_IDS, *_WEIGHTS, *_FORM, *_CHECK, "always_bos", "expand_id"),
        notes="151667 is the expand label here and 151643 inside a hole deletes its "
        "position, as its published code hard-codes them; weights not read. "
        "Fine-tuned at 1024 tokens from Dream-Coder.",
    ),
    replace(
        _DREAM_CODER,
        name="d3llm-coder-7b",
        repository="d3LLM/d3LLM_Dream_Coder",
        licence="unknown",
        notes="Distilled from Dream-Coder for fewer steps; ids taken from there, neither "
        "its files nor its licence read.",
    ),
    Profile(
        name="open-dcoder-0.5b",
        repository="fredzzp/open-dcoder-0.5B",
        licence="unknown",
        mask_id=151665,
        pad_ids=(),
        bos_id=_ENDOFTEXT,
        eos_id=_ENDOFTEXT,
        context=2048,
        parameters=494_032_768,
        tensors=290,
        size=988_065_536,
        shape=Shape(
            vocabulary=151_936,
            hidden=896,
            inner=4864,
            layers=24,
            heads=14,
            kv_heads=2,
            theta=1e6,
            tied=True,
            dtype="BF16",
        ),
        loss_ceiling=3.0,
        holes_right=12,
        unverified=(*_IDS, *_WEIGHTS, *_FORM, *_CHECK),
        notes="model_type qwen2, head tied by its base model. Mask is the tokenizer's added "
        "[MASK], 151665 if it is the first one added: confirm, as also context and "
        "licence. It uses no BOS; <|endoftext|> only stands before an empty prefix.",
    ),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in _TABLE}


def find(name: str) -> Profile:
    """The profile of that name, or of that repository id."""
    wanted = name.casefold()
    for profile in _TABLE:
        if wanted in (profile.name, (profile.repository or profile.name).casefold()):
            return profile
    known = ", ".join(PROFILES)
    raise ValueError(
        f"unknown model {name!r}; known are {known}, or give the path of a model folder"
    )


def for_folder(folder: Path) -> Profile:
    """The profile of a checkpoint on disk: its name first, then its tokenizer, then its ids."""
    config = _read(folder / "config.json", required=True)
    generation = _read(folder / "generation_config.json")
    tokens = _added_tokens(folder)
    mask = config.get("mask_token_id", generation.get("mask_token_id"))
    if mask is None:
        mask = tokens.get(
            _content(_read(folder / "tokenizer_config.json").get("mask_token"))
        )
    known = _by_name(folder, config) or _by_tokens(tokens)
    # A folder may bear a known name and hold another vocabulary: then only its own ids count.
    if (
        known is not None
        and known.repository is not None
        and mask in (None, known.mask_id)
    ):
        return known
    if type(mask) is not int:
        raise ValueError(
            f"{folder} has no mask_token_id in config.json; dlmd runs masked-diffusion models only"
        )
    return _from_ids(folder, config, mask)


def _from_ids(folder: Path, config: dict[str, Any], mask: int) -> Profile:
    """A model the table does not know, or our own: the ids in its config.json are all there is."""
    pad, bos, eos = (_id(config, f"{key}_token_id") for key in ("pad", "bos", "eos"))
    # A label of its own for padding is how `dlmd pretrain` teaches a model its lengths.
    own_padding = pad is not None and pad != eos
    shipped = folder.resolve() == EMBEDDED_FOLDER.resolve()
    return replace(
        PROFILES["embedded"],
        name="embedded" if shipped else folder.resolve().name,
        licence=PROFILES["embedded"].licence if shipped else "unknown",
        mask_id=mask,
        pad_ids=() if pad is None else (pad,),
        bos_id=bos,
        eos_id=eos,
        length_policy="padding" if own_padding else "fixed",
        always_bos=own_padding,
        context=max(_id(config, "max_position_embeddings") or 1024, 1),
        loss_ceiling=PROFILES["embedded"].loss_ceiling if shipped else None,
        holes_right=PROFILES["embedded"].holes_right if shipped else None,
        notes=PROFILES["embedded"].notes if shipped else "Ids from its config.json.",
    )


def _id(config: dict[str, Any], key: str) -> int | None:
    value = config.get(key)
    # Several ends of text come as a list, the one that ends a text first.
    first = value[0] if isinstance(value, list) and value else value
    return first if type(first) is int else None


def _by_name(folder: Path, config: dict[str, Any]) -> Profile | None:
    origin = str(config.get("_name_or_path", ""))
    # Download caches name a folder models--owner--name, two levels above the files.
    names = [*reversed(folder.resolve().parts[-3:]), *reversed(origin.split("/"))]
    tails = {name.rsplit("--", 1)[-1].casefold() for name in names}
    for profile in _TABLE:
        known = {profile.name, (profile.repository or "").split("/")[-1].casefold()}
        if profile.repository and known & tails:
            return profile
    return None


def _by_tokens(tokens: dict[str, int]) -> Profile | None:
    if tokens.get("<|dlm_pad|>") == _EXTRA:
        return PROFILES["diffucoder-7b-instruct"]
    if any("expand" in text and number == _EXTRA for text, number in tokens.items()):
        return PROFILES["dreamon-7b"]
    return None


def _added_tokens(folder: Path) -> dict[str, int]:
    """Text and id of each; what is no id is passed over, the folder speaks for itself later."""
    found = {
        str(text): number
        for text, number in _read(folder / "added_tokens.json").items()
        if type(number) is int
    }
    decoder = _read(folder / "tokenizer_config.json").get("added_tokens_decoder")
    entries = decoder.items() if isinstance(decoder, dict) else ()
    return found | {
        _content(entry): int(number)
        for number, entry in entries
        if number.isdecimal() and len(number) < 10
    }


def _content(token: Any) -> str:
    return str(token.get("content", "") if isinstance(token, dict) else token or "")


def _read(path: Path, *, required: bool = False) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as missing:
        if not required:
            return {}
        raise ValueError(
            f"{path.parent} is no model folder: it has no {path.name}"
        ) from missing
    except OSError as failure:
        raise ValueError(f"cannot read {path}: {failure.strerror}") from failure
    # Nested too deep is another error than broken.
    except (ValueError, RecursionError) as broken:
        raise ValueError(f"{path} is not valid JSON: {broken}") from broken
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a JSON {type(value).__name__}, not an object")
    return value
