"""Dream: a Qwen2 body that looks both ways, as one compact module.

Parameter names are those of the published checkpoints, so safetensors load as they are.
Knows tensors only: no files, no text, no decoding rules.

Shapes: B rows, T positions, D hidden, H query heads, K key/value heads, E head width,
S positions attended to, C chosen columns of T, N chosen rows of B*T, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dlmd.model import flash, packed
from dlmd.model.cache import Cache
from dlmd.model.fused import FEW_ROWS, attention, gated, normed, rotate, usable

SHORT_T = 256
CHUNK_BYTES = 2**28  # of float32 logits that are there at once, where only labels count


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
        return normed(x_BTD, self.weight, self.eps)


def rotary(
    positions_BT: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (B, 1, T, E): computed in float32, then cast, as published."""
    half = torch.arange(0, head_dim, 2, device=positions_BT.device, dtype=torch.float32)
    inverse = 1.0 / (theta ** (half / head_dim))
    angle_BTE = positions_BT[..., None].float() * inverse
    angle_BTE = torch.cat([angle_BTE, angle_BTE], dim=-1)[:, None]
    return angle_BTE.cos().to(dtype), angle_BTE.sin().to(dtype)


def attend(
    q_BHTE: Tensor,
    k_BKSE: Tensor,
    v_BKSE: Tensor,
    allow_B11S: Tensor | None,
    causal: bool,
) -> Tensor:
    """Scaled dot-product attention with grouped keys, (B, H, T, E)."""
    B, H, T, E = q_BHTE.shape
    K = k_BKSE.shape[1]
    if causal and (T > SHORT_T or not q_BHTE.is_cpu or not torch.is_grad_enabled()):
        return F.scaled_dot_product_attention(
            q_BHTE, k_BKSE, v_BKSE, is_causal=True, enable_gqa=H != K
        )
    if allow_B11S is not None and T <= FEW_ROWS and usable(q_BHTE):
        return attention(q_BHTE, k_BKSE, v_BKSE, allow_B11S[:, 0, 0])
    if allow_B11S is None and T > FEW_ROWS and flash.suits(q_BHTE, k_BKSE):
        return flash.attended(q_BHTE, k_BKSE, v_BKSE)
    # Without an order among positions, the heads that share keys are more queries of one
    # head: nothing is repeated.
    q_BKQE = q_BHTE.reshape(B, K, -1, E)
    if allow_B11S is None and packed.suits(q_BKQE, k_BKSE):
        return packed.attended(q_BKQE, k_BKSE, v_BKSE).view(B, H, T, E)
    if T > SHORT_T or not q_BHTE.is_cpu or not torch.is_grad_enabled():
        out_BKQE = F.scaled_dot_product_attention(
            q_BKQE, k_BKSE, v_BKSE, attn_mask=allow_B11S
        )
        return out_BKQE.view(B, H, T, E)
    # Training on a CPU: the fused kernel's backward pass is the slower one for short rows.
    scores = (q_BKQE @ k_BKSE.transpose(-1, -2)) * E**-0.5
    if causal:
        order_TT = torch.ones(T, T, dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(
            ~order_TT.repeat(H // K, 1), torch.finfo(scores.dtype).min
        )
    if allow_B11S is not None:
        scores = scores.masked_fill(~allow_B11S, torch.finfo(scores.dtype).min)
    shares = scores.float().softmax(-1).to(v_BKSE.dtype)
    return (shares @ v_BKSE).view(B, H, T, E)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all layers of one forward have in common."""

    cos_B1TE: Tensor
    sin_B1TE: Tensor
    allow_B11S: Tensor | None
    causal: bool
    cache: Cache | None
    slots_T: Tensor | None  # of the cache; None: the forward computes every position


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
        self, x_BTD: Tensor, shared: Shared, layer: int, columns_C: Tensor | None
    ) -> Tensor:
        """What every position learns from all, (B, T, D); or the chosen columns only."""
        B, T, _ = x_BTD.shape
        cos, sin, cache = shared.cos_B1TE, shared.sin_B1TE, shared.cache
        k_BKSE = self.k_proj(x_BTD).view(B, T, self.kv_heads, -1).transpose(1, 2)
        v_BKSE = self.v_proj(x_BTD).view(B, T, self.kv_heads, -1).transpose(1, 2)
        k_BKSE = rotate(k_BKSE, cos, sin)
        if cache is not None and shared.slots_T is not None:
            k_BKSE, v_BKSE = cache.write(layer, shared.slots_T, k_BKSE, v_BKSE)
        elif cache is not None:
            cache.fill(layer, k_BKSE, v_BKSE)
        if columns_C is not None:
            x_BTD = x_BTD.index_select(1, columns_C)
            cos, sin = cos.index_select(2, columns_C), sin.index_select(2, columns_C)
            T = len(columns_C)
        q_BHTE = self.q_proj(x_BTD).view(B, T, self.heads, -1).transpose(1, 2)
        q_BHTE = rotate(q_BHTE, cos, sin)
        out_BHTE = attend(q_BHTE, k_BKSE, v_BKSE, shared.allow_B11S, shared.causal)
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
        return self.down_proj(gated(self.gate_proj(x_BTD), self.up_proj(x_BTD)))


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
        shared: Shared,
        layer: int,
        columns_C: Tensor | None = None,
    ) -> Tensor:
        normed_BTD = self.input_layernorm(x_BTD)
        learnt_BTD = self.self_attn(normed_BTD, shared, layer, columns_C)
        if columns_C is not None:
            x_BTD = x_BTD.index_select(1, columns_C)
        x_BTD = x_BTD + learnt_BTD
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
        self.recompute = False  # layers, in the backward pass: less memory, more time

    def forward(
        self,
        tokens_BT: Tensor,
        valid_BT: Tensor | None = None,
        *,
        rows_N: Tensor | None = None,
        labels_N: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
        slots_T: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Logits (B, T, V), or (N, V) for the flat rows `rows_N` of B*T; with `labels_N`
        only log p of these, (N,), without ever holding all logits. Differentiable.

        `valid_BT` False marks padding: it is not attended to, its own rows mean nothing,
        and positions count the valid tokens only. `cache` alone is filled by this forward.
        With `slots_T`, the tokens are a window: they take these slots of a filled cache,
        which knows their positions and padding, and attend to all that is seen there.
        `causal` hides the future; pretraining starts that way (DiffuCoder, section 3:
        adapted from an autoregressive model).
        """
        B, T = tokens_BT.shape
        x_BTD = self.model.embed_tokens(tokens_BT)
        shared = self.prepare(
            x_BTD, valid_BT, positions_BT, cache=cache, slots_T=slots_T, causal=causal
        )
        columns_C, chosen_N = None, rows_N
        if rows_N is not None and not causal:
            columns_C, chosen_N = columns(rows_N, B, T)
        last = len(self.model.layers) - 1
        for number, layer in enumerate(self.model.layers):
            # Nothing reads the last layer's other columns; the keys it leaves are all there.
            given = (x_BTD, shared, number, columns_C if number == last else None)
            if self.recompute and torch.is_grad_enabled():
                x_BTD = checkpoint(layer, *given, use_reentrant=False)
            else:
                x_BTD = layer(*given)
        x_BTD = self.model.norm(x_BTD)
        if rows_N is None:
            return self.lm_head(x_BTD)
        x_ND = x_BTD.flatten(0, 1)
        if chosen_N is not None:
            x_ND = x_ND.index_select(0, chosen_N)
        return self.lm_head(x_ND) if labels_N is None else self.told(x_ND, labels_N)

    def told(self, x_ND: Tensor, labels_N: Tensor) -> Tensor:
        """log p of the labels, a chunk of logits after the other, kept for none of them."""
        size = max(1, CHUNK_BYTES // (4 * self.config.vocab_size))
        parts = []
        for x_CD, labels_C in zip(x_ND.split(size), labels_N.split(size), strict=True):
            if torch.is_grad_enabled():
                parts.append(
                    checkpoint(self.told_chunk, x_CD, labels_C, use_reentrant=False)
                )
            else:
                parts.append(self.told_chunk(x_CD, labels_C))
        return torch.cat(parts)

    def told_chunk(self, x_CD: Tensor, labels_C: Tensor) -> Tensor:
        return -F.cross_entropy(self.lm_head(x_CD).float(), labels_C, reduction="none")

    def prepare(
        self,
        x_BTD: Tensor,
        valid_BT: Tensor | None,
        positions_BT: Tensor | None,
        *,
        cache: Cache | None,
        slots_T: Tensor | None,
        causal: bool,
    ) -> Shared:
        if slots_T is not None:
            assert cache is not None and not causal, "a window lives in a filled cache"
            cos, sin = cache.rotation(slots_T)
            allow_B11S = cache.allow_B11S
        else:
            if valid_BT is not None:
                assert not causal, "padding and causal attention are never combined"
                valid_BT = valid_BT.bool()  # tokenizers give 0 and 1
            if positions_BT is None:
                positions_BT = count_positions(x_BTD, valid_BT)
            cos, sin = rotary(
                positions_BT, self.config.head_dim, self.config.rope_theta, x_BTD.dtype
            )
            allow_B11S = None if valid_BT is None else valid_BT[:, None, None]
            if cache is not None:
                cache.begin(x_BTD.shape[1], valid_BT, cos[:, 0], sin[:, 0])
        return Shared(
            cos_B1TE=cos,
            sin_B1TE=sin,
            allow_B11S=allow_B11S,
            causal=causal,
            cache=cache,
            slots_T=slots_T,
        )

    def new_cache(self, *, rows: int, capacity: int, whole: bool = False) -> Cache:
        """Room for `rows` canvases of up to `capacity` positions, beside the weights."""
        weight_VD = self.model.embed_tokens.weight
        return Cache(
            layers=self.config.num_hidden_layers,
            rows=rows,
            kv_heads=self.config.num_key_value_heads,
            head_dim=self.config.head_dim,
            capacity=capacity,
            device=weight_VD.device,
            dtype=weight_VD.dtype,
            whole=whole,
        )


def columns(rows_N: Tensor, B: int, T: int) -> tuple[Tensor | None, Tensor | None]:
    """The columns that hold the flat rows `rows_N` of B*T, and where these lie among the
    chosen columns; (None, rows_N) where leaving columns out would not pay."""
    if B == 1:
        return rows_N, None
    if not rows_N.is_cpu:  # which columns are needed is not known without waiting
        return None, rows_N
    columns_C, at_N = (rows_N % T).unique(return_inverse=True)
    if 2 * len(columns_C) > T:
        return None, rows_N
    return columns_C, rows_N // T * len(columns_C) + at_N


def count_positions(tokens_BT: Tensor, valid_BT: Tensor | None) -> Tensor:
    """Positions 0..T-1; with padding, the count of valid tokens so far, padding itself at 1 (as published)."""
    if valid_BT is None:
        return torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None]
    return (valid_BT.long().cumsum(-1) - 1).masked_fill(~valid_BT, 1)
