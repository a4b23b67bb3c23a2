"""Dream: a Qwen2 body that looks both ways, as one compact module.

Parameter names are those of the published checkpoints, so safetensors load as they are.
Knows tensors only: no files, no text, no decoding rules.

Shapes: B rows, T positions, D hidden, H query heads, K key/value heads, E head width,
N chosen rows of B*T, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHORT_T = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DreamConfig:
    """The numbers of a `config.json` that shape the network, and the ids that steer decoding."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    mask_token_id: int
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 2048
    tie_word_embeddings: bool = False

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_BTD: Tensor) -> Tensor:
        # The published model normalises in float32 and applies the weight after casting back.
        x32 = x_BTD.float()
        x32 = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * x32.to(x_BTD.dtype)


def rotary(
    positions_BT: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (B, 1, T, E): computed in float32, then cast, as published."""
    half = torch.arange(0, head_dim, 2, device=positions_BT.device, dtype=torch.float32)
    inverse = 1.0 / (theta ** (half / head_dim))
    angle_BTE = positions_BT[..., None].float() * inverse
    angle_BTE = torch.cat([angle_BTE, angle_BTE], dim=-1)[:, None]
    return angle_BTE.cos().to(dtype), angle_BTE.sin().to(dtype)


def rotate(x_BHTE: Tensor, cos_B1TE: Tensor, sin_B1TE: Tensor) -> Tensor:
    left, right = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_B1TE + torch.cat([-right, left], dim=-1) * sin_B1TE


def attend(
    q_BHTE: Tensor,
    k_BKTE: Tensor,
    v_BKTE: Tensor,
    allow_B1TT: Tensor | None,
    causal: bool,
) -> Tensor:
    """Scaled dot-product attention with grouped keys, (B, H, T, E)."""
    B, H, T, E = q_BHTE.shape
    K = k_BKTE.shape[1]
    if T > SHORT_T or not q_BHTE.is_cpu or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(
            q_BHTE,
            k_BKTE,
            v_BKTE,
            attn_mask=allow_B1TT,
            is_causal=causal,
            enable_gqa=H != K,
        )
    # Training on a CPU: the fused kernel's backward pass is the slower one for short rows.
    scores = (q_BHTE.reshape(B, K, -1, E) @ k_BKTE.transpose(-1, -2)) * E**-0.5
    if causal:
        allow_B1TT = torch.ones(1, 1, T, T, dtype=torch.bool).tril()
    if allow_B1TT is not None:
        hidden = ~allow_B1TT.expand(B, 1, T, T).repeat(1, 1, H // K, 1)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    shares = scores.float().softmax(-1).to(v_BKTE.dtype)
    return (shares @ v_BKTE).view(B, H, T, E)


class Attention(nn.Module):
    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        width, head = config.hidden_size, config.head_dim
        self.heads, self.kv_heads = (
            config.num_attention_heads,
            config.num_key_value_heads,
        )
        self.q_proj = nn.Linear(width, self.heads * head, bias=True)
        self.k_proj = nn.Linear(width, self.kv_heads * head, bias=True)
        self.v_proj = nn.Linear(width, self.kv_heads * head, bias=True)
        self.o_proj = nn.Linear(self.heads * head, width, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        cos: Tensor,
        sin: Tensor,
        allow_B1TT: Tensor | None,
        causal: bool,
    ) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BHTE = self.q_proj(x_BTD).view(B, T, self.heads, -1).transpose(1, 2)
        k_BKTE = self.k_proj(x_BTD).view(B, T, self.kv_heads, -1).transpose(1, 2)
        v_BKTE = self.v_proj(x_BTD).view(B, T, self.kv_heads, -1).transpose(1, 2)
        out_BHTE = attend(
            rotate(q_BHTE, cos, sin),
            rotate(k_BKTE, cos, sin),
            v_BKTE,
            allow_B1TT,
            causal,
        )
        return self.o_proj(out_BHTE.transpose(1, 2).reshape(B, T, -1))


class MLP(nn.Module):
    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(
            config.hidden_size, config.intermediate_size, bias=False
        )
        self.up_proj = nn.Linear(
            config.hidden_size, config.intermediate_size, bias=False
        )
        self.down_proj = nn.Linear(
            config.intermediate_size, config.hidden_size, bias=False
        )

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class Layer(nn.Module):
    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(
        self,
        x_BTD: Tensor,
        cos: Tensor,
        sin: Tensor,
        allow_B1TT: Tensor | None,
        causal: bool,
    ) -> Tensor:
        x_BTD = x_BTD + self.self_attn(
            self.input_layernorm(x_BTD), cos, sin, allow_B1TT, causal
        )
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class Body(nn.Module):
    """Everything under the published prefix `model.`."""

    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [Layer(config) for _ in range(config.num_hidden_layers)]
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Dream(nn.Module):
    """The masked-diffusion network. Its logits are unshifted: row i predicts token i+1."""

    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        tokens_BT: Tensor,
        valid_BT: Tensor | None = None,
        *,
        rows_N: Tensor | None = None,
        positions_BT: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Logits (B, T, V), or (N, V) for the flat rows `rows_N` of B*T. Differentiable.

        `valid_BT` False marks padding: it neither attends nor is attended to, and positions
        count the valid tokens only. `causal` hides the future; pretraining starts that way
        (DiffuCoder, section 3: adapted from an autoregressive model).
        """
        if valid_BT is not None:
            valid_BT = valid_BT.bool()  # tokenizers give 0 and 1
        if positions_BT is None:
            positions_BT = count_positions(tokens_BT, valid_BT)
        allow_B1TT = None
        if valid_BT is not None:
            assert not causal, "padding and causal attention are never combined"
            allow_B1TT = valid_BT[:, None, :, None] & valid_BT[:, None, None, :]
        x_BTD = self.model.embed_tokens(tokens_BT)
        cos, sin = rotary(
            positions_BT, self.config.head_dim, self.config.rope_theta, x_BTD.dtype
        )
        for layer in self.model.layers:
            x_BTD = layer(x_BTD, cos, sin, allow_B1TT, causal)
        x_BTD = self.model.norm(x_BTD)
        if rows_N is not None:
            return self.lm_head(x_BTD.flatten(0, 1)[rows_N])
        return self.lm_head(x_BTD)


def count_positions(tokens_BT: Tensor, valid_BT: Tensor | None) -> Tensor:
    """Positions 0..T-1; with padding, the count of valid tokens so far, padding itself at 1 (as published)."""
    if valid_BT is None:
        return torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None]
    return (valid_BT.long().cumsum(-1) - 1).masked_fill(~valid_BT, 1)
