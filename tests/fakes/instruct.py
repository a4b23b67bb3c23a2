"""A tiny model folder that passes for an instruct model of the table: its name, its ids.

The real vocabulary's ids with a few of its words (tests/golden), random weights that lean
to those words. Answers are nonsense, but text. Must not know who loads it.
"""

import json
import shutil
from pathlib import Path

from dlmd.decode import Tokenizer
from safetensors.torch import save_file

from tests.fakes.tiny import tiny_tensors

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "dream_tokenizer"
VOCABULARY = 151_672  # as far as the control tokens reach


def instruct_folder(parent: Path) -> Path:
    """Write `Dream-v0-Instruct-7B`, which is how the table knows it, and return it."""
    folder = parent / "Dream-v0-Instruct-7B"
    shutil.copytree(GOLDEN, folder)
    config: dict[str, object] = {
        "model_type": "Dream",
        "architectures": ["DreamModel"],
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "mask_token_id": 151666,
        "pad_token_id": 151643,
        "bos_token_id": 151665,
        "eos_token_id": 151643,
    }
    (folder / "config.json").write_text(json.dumps(config))
    tensors = tiny_tensors(config, seed=1)
    tokenizer = Tokenizer.load(folder)
    head_VD = tensors["lm_head.weight"]
    head_VD[:, 0] = -20.0
    for token in range(VOCABULARY):
        text = tokenizer.bytes_of(token)
        if text.isascii() and text.decode().isprintable() and text:
            head_VD[token, 0] = 0.0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
