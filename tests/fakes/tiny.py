"""A real model folder small enough for tests: random weights that prefer printable ASCII.

`tiny_model_folder(path)` writes config.json, model.safetensors and tokenizer.json; the
result loads like any published checkpoint and decodes to text, though to nonsense. The
weights depend on `seed` alone. Must not know who loads it: no daemon, no decoding rules.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

SPECIALS = ("<|pad|>", "<|bos|>", "<|eos|>", "<|mask|>")
WORDS = ("    ", " return", "def", " self", " import", "():", "print", " not", " in")
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
STEADY = 4.0  # one embedding entry shared by all tokens: the head can lean on it


def byte_tokenizer() -> Tokenizer:
    """Byte-level BPE over 256 bytes and a few Python words, split as the published one."""
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        letters = word.replace(" ", "Ġ")
        for end in range(1, len(letters)):
            left, right = letters[:end], letters[end]
            if left + right not in vocab:
                vocab[left + right] = len(vocab)
                merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, normalized=False) for s in SPECIALS])
    return tokenizer


def tiny_config(tokenizer: Tokenizer, *, tied: bool = False) -> dict[str, object]:
    ids = {name.strip("<|>"): tokenizer.token_to_id(name) for name in SPECIALS}
    return {
        "model_type": "Dream",
        "architectures": ["DreamModel"],
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        **{f"{name}_token_id": token for name, token in ids.items()},
    }


def tiny_tensors(config: dict[str, object], *, seed: int) -> dict[str, torch.Tensor]:
    """Random weights under the published names."""
    generator = torch.Generator().manual_seed(seed)
    vocab, width, inner = (
        int(str(config[key]))
        for key in ("vocab_size", "hidden_size", "intermediate_size")
    )
    heads, kv_heads = (
        int(str(config[f"num_{k}_heads"])) for k in ("attention", "key_value")
    )
    kv_width = width // heads * kv_heads

    def normal(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    tensors = {"model.embed_tokens.weight": normal(vocab, width, scale=1.0)}
    tensors["model.embed_tokens.weight"][:, 0] = STEADY
    for layer in range(int(str(config["num_hidden_layers"]))):
        at = f"model.layers.{layer}."
        for name, rows in (("q", width), ("k", kv_width), ("v", kv_width)):
            tensors[f"{at}self_attn.{name}_proj.weight"] = normal(rows, width)
            tensors[f"{at}self_attn.{name}_proj.bias"] = normal(rows, scale=0.1)
        tensors[f"{at}self_attn.o_proj.weight"] = normal(width, width)
        tensors[f"{at}mlp.gate_proj.weight"] = normal(inner, width)
        tensors[f"{at}mlp.up_proj.weight"] = normal(inner, width)
        tensors[f"{at}mlp.down_proj.weight"] = normal(width, inner, scale=0.1)
        tensors[f"{at}input_layernorm.weight"] = torch.ones(width)
        tensors[f"{at}post_attention_layernorm.weight"] = torch.ones(width)
    tensors["model.norm.weight"] = torch.ones(width)
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = normal(vocab, width, scale=1.0)
    return tensors


def prefer_ascii(head_VD: torch.Tensor, tokenizer: Tokenizer) -> None:
    """Printable ASCII, newline and padding stay likely; broken bytes and masks do not."""
    for token in range(head_VD.shape[0]):
        text = tokenizer.decode([token], skip_special_tokens=False)
        plain = text == "\n" or (text.isascii() and text.isprintable())
        special = text in SPECIALS and text != "<|pad|>"
        head_VD[token, 0] = 0.0 if plain and not special else -20.0


def tiny_model_folder(path: Path, *, seed: int = 0, tied: bool = False) -> Path:
    """Write the folder (made if need be) and return it."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_tokenizer()
    config = tiny_config(tokenizer, tied=tied)
    tensors = tiny_tensors(config, seed=seed)
    if not tied:
        prefer_ascii(tensors["lm_head.weight"], tokenizer)
    (path / "config.json").write_text(json.dumps(config, indent=2))
    tokenizer.save(str(path / "tokenizer.json"))
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return path
