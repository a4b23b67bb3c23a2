"""From a folder with `config.json` and safetensors to a module.

A single file or shards with an index; float32, bfloat16 or float16. Pickles are refused.
Every fault of the folder is one ValueError: what was seen, what was expected, what to do.
Must not know what the model is for: no decoding rules, no profiles, no downloads.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dlmd.model import quant
from dlmd.model.config import read_config, read_json, readable
from dlmd.model.dream import Dream

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX = "model.safetensors.index.json"
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
    quantise: str = "none",
) -> Dream:
    """The model in `path`, in eval mode. `progress` hears (bytes done, bytes in all).

    `quantise` int8 or fp8: each weight is turned as it comes, so that no more than one is
    ever there in full.
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"cannot compute in {dtype}; pass torch.float32, torch.bfloat16 or torch.float16"
        )
    config = read_config(path)
    folder = Path(path)
    files = weight_files(folder)
    with torch.device("meta"), NoInit():  # no memory for what is replaced at once
        model = Dream(config)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    kinds = {} if quantise == "none" else quant.prepare(model, quantise, device)
    state: dict[str, Tensor] = {}
    done, total = 0, sum(file.stat().st_size for file in files)
    for file in files:
        for name, tensor in read_tensors(file, shapes, tied=config.tie_word_embeddings):
            done += tensor.nbytes
            if name in kinds:
                weight, scale = quant.packed(tensor.to(device=device), kinds[name])
                state |= {name: weight, name.removesuffix("weight") + "scale": scale}
            else:
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


class NoInit(TorchFunctionMode):
    """Skips random starting weights: drawing them on the meta device draws in torch's
    compiler, more than a second of imports."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def refuse_missing(folder: Path, names: set[str]) -> None:
    if names:
        raise ValueError(
            f"{len(names)} tensors are missing in {folder}, first {min(names)}; "
            "config.json and weights do not belong together or a shard is absent: "
            "download the folder again"
        )


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
