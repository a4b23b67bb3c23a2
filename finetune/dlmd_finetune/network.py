"""The network that a pretraining run starts from, and what moves its weights.

Dream's body at a size that trains on a CPU. Knows shapes; must not know data or masks.
"""

import math

import torch
from dlmd.model.dream import Dream, DreamConfig

CONTEXT = 1024  # tokens, the longest row that is trained on


def small_network(hidden: int, layers: int, vocabulary: int) -> DreamConfig:
    """Dream's proportions at a small size: heads of 64, two queries to a key, a tied head."""
    heads = hidden // 64
    return DreamConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else 1,
        rope_theta=1e4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        mask_token_id=3,
    )


def initialise(model: Dream, seed: int) -> None:
    """Normal weights of 0.02; projections back into the residual stream smaller with depth."""
    generator = torch.Generator().manual_seed(seed)
    shrink = 1 / math.sqrt(2 * model.config.num_hidden_layers)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            scale = (
                shrink if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
            )
            torch.nn.init.normal_(weight, std=0.02 * scale, generator=generator)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)


def optimisers(model: Dream, rate: float) -> list[torch.optim.Optimizer]:
    """Muon on the layers' matrices, AdamW on embeddings, norms and biases."""
    matrices = [w for w in model.model.layers.parameters() if w.ndim == 2]
    chosen = {id(w) for w in matrices}
    rest = [w for w in model.parameters() if id(w) not in chosen]
    return [
        torch.optim.Muon(
            matrices, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
