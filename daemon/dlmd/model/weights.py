"""From a folder with `config.json` and safetensors to a module.

Reads Dream, DiffuCoder and Qwen2-shaped folders, single file or sharded with an index.
Runs no code it finds there: pickles are refused, `auto_map` is never followed.
Every fault of the folder is one ValueError: what was seen, what was expected, what to do.
Must not know what the model is for: no decoding rules, no profiles, no downloads.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dlmd.model.dream import Dream, DreamConfig

MODEL_TYPES = ("Dream", "dream", "qwen2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX = "model.safetensors.index.json"
SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
# Tables that old exports carry along; ours computes them.
DERIVED = "rotary_emb.inv_freq"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"

Progress = Callable[[int, int], None]


def load(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Dream:
    """The model in `path`, in eval mode. `progress` hears (bytes done, bytes in all)."""
    if dtype not in DTYPES:
        raise ValueError(
            f"cannot compute in {dtype}; pass torch.float32, torch.bfloat16 or torch.float16"
        )
    config = read_config(path)
    folder = Path(path)
    files = weight_files(folder)
    with torch.device("meta"):  # no memory and no random numbers for what is replaced
        model = Dream(config)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    state: dict[str, Tensor] = {}
    done, total = 0, sum(file.stat().st_size for file in files)
    for file in files:
        for name, tensor in read_tensors(file, shapes, tied=config.tie_word_embeddings):
            done += tensor.nbytes
            state[name] = tensor.to(device=device, dtype=dtype)
            if progress is not None:
                progress(min(done, total), total)
    if config.tie_word_embeddings and EMBEDDING in state:
        state[HEAD] = state[EMBEDDING]
    refuse_missing(folder, shapes.keys() - state.keys())
    model.load_state_dict(state, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    if progress is not None:
        progress(total, total)
    return model.eval()


def refuse_missing(folder: Path, names: set[str]) -> None:
    if names:
        raise ValueError(
            f"{len(names)} tensors are missing in {folder}, first {min(names)}; "
            "config.json and weights do not belong together or a shard is absent: "
            "download the folder again"
        )


# ---- config.json ----


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
    numbers = {key: positive(folder, raw, key) for key in SIZES}
    if numbers["hidden_size"] % numbers["num_attention_heads"] or (
        numbers["num_attention_heads"] % numbers["num_key_value_heads"]
    ):
        raise ValueError(
            f"the head counts in {folder}/config.json do not divide; hidden_size must be "
            "a multiple of num_attention_heads, and that of num_key_value_heads"
        )
    rope = raw.get("rope_parameters") or {}
    return DreamConfig(
        **numbers,
        mask_token_id=mask_id(folder, raw, numbers["vocab_size"]),
        pad_token_id=raw.get("pad_token_id"),
        bos_token_id=raw.get("bos_token_id"),
        eos_token_id=raw.get("eos_token_id"),
        rope_theta=float(raw.get("rope_theta") or rope.get("rope_theta") or 10000.0),
        rms_norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
        max_position_embeddings=positive(folder, raw, "max_position_embeddings", 2048),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
    )


def refuse_other_networks(folder: Path, raw: dict) -> None:
    """Say so when the config asks for anything our one module does not compute."""
    kind = raw.get("model_type")
    if kind not in MODEL_TYPES:
        remote = " (its own code, named under auto_map, is never run)"
        raise ValueError(
            f"{folder} holds a model of type {kind!r}{remote if 'auto_map' in raw else ''}; "
            "dlmd runs Dream and DiffuCoder models: pass the folder of one"
        )
    scaling = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    rope_type = scaling.get("rope_type", scaling.get("type", "default"))
    wrong = {
        "rope scaling": bool(scaling) and rope_type != "default",
        f"hidden_act {raw.get('hidden_act')!r}": raw.get("hidden_act", "silu")
        != "silu",
        "a sliding attention window": bool(raw.get("use_sliding_window")),
        "quantised weights": bool(raw.get("quantization_config")),
        "a head_dim of its own": raw.get("head_dim") is not None
        and raw["head_dim"] * raw.get("num_attention_heads", 0)
        != raw.get("hidden_size"),
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(
                f"{folder}/config.json asks for {what}, which dlmd does not compute; "
                "use the plain bf16 or float32 release of the model"
            )


def positive(folder: Path, raw: dict, key: str, default: int | None = None) -> int:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{key} in {folder}/config.json is {value!r}; expected a whole number of at "
            "least 1: download the folder again"
        )
    return value


def mask_id(folder: Path, raw: dict, vocab_size: int) -> int:
    """`mask_token_id`, or for Qwen2-shaped folders the id of the tokenizer's mask token."""
    found = raw.get("mask_token_id")
    if found is None and (folder / "tokenizer_config.json").exists():
        tokens = read_json(folder / "tokenizer_config.json")
        mask = tokens.get("mask_token")
        content = mask.get("content") if isinstance(mask, dict) else mask
        for token, entry in (tokens.get("added_tokens_decoder") or {}).items():
            if content is not None and entry.get("content") == content:
                found = int(token)
    if not isinstance(found, int) or not 0 <= found < vocab_size:
        raise ValueError(
            f"{folder} names no mask token below {vocab_size} (mask_token_id is {found!r}); "
            "dlmd runs masked-diffusion models: pass the folder of one"
        )
    return found


def read_json(file: Path) -> dict:
    with readable(file):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
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
            f"cannot read {path} ({error.strerror}); check that it is there and that "
            "you may read it"
        ) from None


# ---- safetensors ----


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of the folder: what the index names, or else the single file."""
    if (folder / INDEX).exists():
        return indexed_files(folder)
    with readable(folder):
        names = sorted(file.name for file in folder.iterdir())
    found = [name for name in names if name.endswith(".safetensors")]
    if "model.safetensors" in found or len(found) == 1:
        return [
            folder / ("model.safetensors" if "model.safetensors" in found else found[0])
        ]
    if found:
        raise ValueError(
            f"{len(found)} safetensors files in {folder} but no {INDEX}; download the "
            "index too"
        )
    if any(name.endswith(PICKLES) for name in names):
        raise ValueError(
            f"only pickled weights in {folder}; pickles can run code when opened, so dlmd "
            "reads safetensors only: get that release or convert it"
        )
    raise ValueError(
        f"no weights in {folder}; expected model.safetensors beside config.json: "
        "download the folder again"
    )


def indexed_files(folder: Path) -> list[Path]:
    table = read_json(folder / INDEX).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise ValueError(f"{folder / INDEX} has no weight_map; download it again")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        # By name, not by target: download caches link a folder's files elsewhere.
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(
                f"{folder / INDEX} names {name!r}; expected safetensors files in the same "
                "folder: download it from its publisher again"
            )
        if not (folder / name).exists():
            raise ValueError(
                f"{folder} lacks {name}, which {INDEX} names; download the folder again"
            )
    return [folder / name for name in names]


def read_tensors(
    file: Path, shapes: dict[str, torch.Size], *, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of everything in `file`, mapped from disk and not yet copied."""
    with readable(file):
        try:
            with safe_open(file, framework="pt", device="cpu") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a dict)
                    if name.endswith(DERIVED) or (tied and name == HEAD):
                        continue
                    tensor = tensors.get_tensor(name)
                    refuse_strange(file, name, tensor, shapes)
                    yield name, tensor
        except SafetensorError as error:
            raise ValueError(
                f"{file} is damaged or cut short ({error}); download it again"
            ) from None


def refuse_strange(
    file: Path, name: str, tensor: Tensor, shapes: dict[str, torch.Size]
) -> None:
    if name not in shapes:
        raise ValueError(
            f"{file} holds the tensor {name}, which a model of its config.json has not; "
            "config.json and weights do not belong together: download both again"
        )
    if tensor.shape != shapes[name]:
        raise ValueError(
            f"{name} in {file} has shape {list(tensor.shape)}, config.json calls for "
            f"{list(shapes[name])}; config.json and weights do not belong together: "
            "download both again"
        )
    if tensor.dtype not in DTYPES:
        raise ValueError(
            f"{name} in {file} is {tensor.dtype}; expected float32, bfloat16 or float16: "
            "use the unquantised release"
        )
