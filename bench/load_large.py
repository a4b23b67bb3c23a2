"""What loading a 7B takes: seconds, and the peak of anonymous memory.

    python bench/load_large.py                  # DiffuCoder-7B's shape in bf16, 15.2 GB of disk
    python bench/load_large.py --quantise int8
    python bench/load_large.py --layers 2       # the same, smaller, to try it out
    python bench/load_large.py --write DIR      # only write it; --read DIR loads it, and
                                                # neither deletes anything

Random weights of the shape that the table of models states, written shard by shard, loaded
by the daemon's own backend on the CPU in a process of its own, and deleted. Just written,
they are read from the page cache where it holds them.

Anonymous memory (RssAnon) is what the process cannot give back: the tables of the kernel
count pages of a mapped file as resident too, which are the page cache's and go when
somebody needs the room, so VmHWM says little and is shown beside. RssAnon has no peak of
its own: it is read every 10 ms. Asserts nothing.
"""

import argparse
import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dlmd.profiles import EMBEDDED_FOLDER, PROFILES, Shape
from dlmd.serve.manifest import Sizes, parameters, tensors

SHARD = 2_000_000_000  # bytes; writing takes twice that of memory
POOL = 1 << 25  # random numbers, used again and again: every tensor starts elsewhere
EVERY_S = 0.01

LOAD = """
import sys, time
from dlmd.serve.backend import ModelBackend
from dlmd.settings import Settings
settings = Settings(model=sys.argv[1], device="cpu", dtype="bfloat16",
                    quantise=sys.argv[2], first_state_ms=0.0)
backend = ModelBackend(settings)
import torch, dlmd.decode, dlmd.model
print("begin", flush=True)
began = time.monotonic()
loaded = []
def progress(done, total):
    if done == total and not loaded:
        loaded.append(time.monotonic() - began)
backend.load(progress)
print(f"done {loaded[0]:.1f} {time.monotonic() - began:.1f}", flush=True)
sys.stdin.read()
"""


def main() -> None:
    options = parsed()
    shape = PROFILES[options.name].shape
    assert shape is not None
    if options.layers:
        shape = replace(shape, layers=options.layers)
    size = 2 * parameters(shape)
    if options.read:
        return loaded(options.read, options.quantise, size)
    if options.write:
        options.write.mkdir(parents=True)
        return written(options.write, shape, PROFILES[options.name].mask_id)
    folder = Path(tempfile.mkdtemp(prefix="dlmd-load-", dir=options.folder))
    try:
        free = shutil.disk_usage(folder).free
        if size * 1.05 > free:
            raise SystemExit(
                f"{free / 1e9:.1f} GB free, {size / 1e9:.1f} GB wanted; give another --folder"
            )
        written(folder, shape, PROFILES[options.name].mask_id)
        loaded(folder, options.quantise, size)
    finally:
        shutil.rmtree(folder)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="diffucoder-7b-cpgrpo")
    parser.add_argument("--layers", type=int, help="fewer than the model has")
    parser.add_argument("--quantise", choices=("none", "int8"), default="none")
    parser.add_argument(
        "--folder", type=Path, help="where there is room; deleted after"
    )
    parser.add_argument("--write", type=Path, metavar="DIR")
    parser.add_argument("--read", type=Path, metavar="DIR")
    return parser.parse_args()


def written(folder: Path, shape: Shape, mask_id: int) -> None:
    """A model's folder: shards with their index, a config, a tokenizer that will do."""
    import torch
    from safetensors.torch import save_file

    began = time.monotonic()
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(0)) * 0.02
    pool = pool.to(torch.bfloat16)
    table: dict[str, str] = {}
    at = 0
    for number, names in enumerate(shards(tensors(shape))):
        part = {}
        for name, sizes in names.items():
            count = torch.Size(sizes).numel()
            rolled = pool.roll(at) if count > 1 << 16 else pool
            tiled = rolled.repeat(-(-count // POOL))[:count]
            part[name] = tiled.reshape(sizes).contiguous()
            at += 7919
            table[name] = f"model-{number:05}.safetensors"
        save_file(part, folder / f"model-{number:05}.safetensors")
    index = {"weight_map": table}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "model_type": "Dream",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "rope_theta": shape.theta,
        "tie_word_embeddings": shape.tied,
        "mask_token_id": mask_id,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(EMBEDDED_FOLDER / "tokenizer.json", folder)
    size = 2 * parameters(shape)
    print(f"written: {size / 1e9:.2f} GB in {time.monotonic() - began:.0f} s")


def shards(names: dict[str, Sizes]) -> list[dict[str, Sizes]]:
    found: list[dict[str, Sizes]] = [{}]
    held = 0
    for name, sizes in names.items():
        size = 2
        for each in sizes:
            size *= each
        if held + size > SHARD and held:
            found.append({})
            held = 0
        found[-1][name] = sizes
        held += size
    return found


def loaded(folder: Path, quantise: str, size: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder), quantise],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdin is not None
    with child:
        if child.stdout.readline() != "begin\n":
            raise SystemExit("the loading process ended before it began")
        before = peak = memory(child.pid, "RssAnon")
        while not select.select([child.stdout], [], [], EVERY_S)[0]:
            peak = max(peak, memory(child.pid, "RssAnon"))
        said = child.stdout.readline().split()
        if said[:1] != ["done"]:
            raise SystemExit("the loading process ended before the model was there")
        held, resident = memory(child.pid, "RssAnon"), memory(child.pid, "VmHWM")
        child.stdin.close()
    print(f"loaded: {said[1]} s, first forward done after {said[2]} s, {quantise=}")
    print(
        f"anonymous memory: {before / 1e9:.2f} GB before, {peak / 1e9:.2f} GB at most"
    )
    print(f"  = {peak / size:.3f} x the weights; {held / 1e9:.2f} GB in the end")
    print(f"VmHWM, with the pages of the files: {resident / 1e9:.2f} GB")


def memory(pid: int, field: str) -> int:
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith(f"{field}:"):
            return int(row.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
