"""The published usage snippet on transformers 5, without running a repository's code.

Importing this registers configuration, model and tokenizer of Dream and DiffuCoder with
transformers' Auto classes. Then `AutoModel.from_pretrained(...)` gives this repository's
network, even where `trust_remote_code=True` is said, and `diffusion_generate` runs the
published decoder of `dlmd.decode`. The product itself does not pass here.

Shapes: B rows, T positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Tokenizer,
)
from transformers.modeling_outputs import MaskedLMOutput
from transformers.utils import ModelOutput

from dlmd.decode import Canvas, DecodeSettings, step
from dlmd.model.dream import Dream, DreamConfig

TokensHook = Callable[[int | None, Tensor, Tensor | None], Tensor]
LogitsHook = Callable[[int, Tensor, Tensor], Tensor]
# Of `diffusion_generate`; `alg` is "origin" there. No hidden top_k=50, which the published
# code takes from transformers' old defaults.
DEFAULTS = DecodeSettings(algorithm="origin", steps=512)


class DreamModelConfig(PreTrainedConfig):
    """`config.json` of Dream and DiffuCoder, with its published defaults."""

    model_type = "Dream"

    def __init__(
        self,
        *,
        vocab_size: int = 151936,
        hidden_size: int = 4096,
        intermediate_size: int = 22016,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 32,
        num_key_value_heads: int = 32,
        max_position_embeddings: int = 32768,
        rms_norm_eps: float = 1e-6,
        rope_theta: float = 10000.0,
        mask_token_id: int = 151666,
        pad_token_id: int | None = 151643,
        tie_word_embeddings: bool = False,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.max_position_embeddings = max_position_embeddings
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.mask_token_id = mask_token_id
        super().__init__(
            pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings, **others
        )

    def network(self) -> DreamConfig:
        names = (
            *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
            *("num_attention_heads", "num_key_value_heads", "mask_token_id"),
            *("pad_token_id", "bos_token_id", "eos_token_id", "rope_theta"),
            *("rms_norm_eps", "max_position_embeddings", "tie_word_embeddings"),
        )
        values: dict[str, Any] = {name: getattr(self, name, None) for name in names}
        return DreamConfig(**values)


class DreamTokenizer(Qwen2Tokenizer):
    """Qwen2's, under the name that the checkpoints ask for."""


@dataclass
class DreamGeneration(ModelOutput):
    """What `return_dict_in_generate=True` gives back."""

    sequences: Tensor | None = None  # (B, T)
    history: tuple[Tensor, ...] | None = None  # after each step


class DreamModel(PreTrainedModel):
    """Dream under transformers' loading: shards, device maps, dtypes are its work."""

    config_class = DreamModelConfig
    _supports_sdpa = True
    _no_split_modules = ["Layer"]  # noqa: RUF012
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: DreamModelConfig) -> None:
        super().__init__(config)
        network = Dream(config.network())
        self.model, self.lm_head = network.model, network.lm_head
        # Beside the module tree, because its parameters have their names already.
        object.__setattr__(self, "network", network)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Checkpoints are whole: nothing is left to draw."""

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.model.embed_tokens

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        **_: Any,
    ) -> MaskedLMOutput:
        """Unshifted logits (B, T, V); `attention_mask` (B, T), 0 for padding."""
        valid_BT = None if attention_mask is None else attention_mask.bool()
        logits_BTV = self.network(input_ids, valid_BT, positions_BT=position_ids)
        return MaskedLMOutput(logits=logits_BTV)

    def diffusion_generate(
        self,
        inputs: Tensor,
        *,
        attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
        max_length: int = 20,
        steps: int = 512,
        eps: float = DEFAULTS.eps,
        alg: str = DEFAULTS.algorithm,
        alg_temp: float | None = None,
        temperature: float = 0.0,
        top_p: float | None = None,
        top_k: int | None = None,
        num_return_sequences: int = 1,
        return_dict_in_generate: bool = False,
        output_history: bool = False,
        generation_tokens_hook_func: TokensHook = lambda step, x, logits: x,
        generation_logits_hook_func: LogitsHook = lambda step, x, logits: logits,
    ) -> Tensor | DreamGeneration:
        """The published loop over `inputs` (B, T) and masks to their right.

        Draws from torch's default generator. Holes inside `inputs` are filled as well, so
        0 new tokens are allowed. Rows keep schedules of their own.
        """
        settings = DecodeSettings(
            algorithm=alg,
            steps=steps,
            eps=eps,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            alg_temp=alg_temp or None,
        )
        new = max_length - inputs.shape[1] if max_new_tokens is None else max_new_tokens
        tokens_BT, valid_BT = self._prolonged(inputs, attention_mask, new)
        tokens_BT = tokens_BT.repeat_interleave(num_return_sequences, dim=0)
        if valid_BT is not None:
            valid_BT = valid_BT.repeat_interleave(num_return_sequences, dim=0)
        tokens_BT = generation_tokens_hook_func(None, tokens_BT, None)
        canvas = self._canvas(tokens_BT, valid_BT)
        history: list[Tensor] = []
        for i in range(steps):
            with torch.no_grad():
                logits_BTV = self.network(canvas.tokens_BT, canvas.valid_BT)
            logits_BTV = torch.cat([logits_BTV[:, :1], logits_BTV[:, :-1]], dim=1)
            logits_BTV = generation_logits_hook_func(i, canvas.tokens_BT, logits_BTV)
            canvas = step(canvas, logits_BTV, settings, i)
            tokens_BT = generation_tokens_hook_func(i, canvas.tokens_BT, logits_BTV)
            if tokens_BT is not canvas.tokens_BT:
                canvas = self._canvas(tokens_BT, valid_BT)
            history.append(canvas.tokens_BT)
        if not return_dict_in_generate:
            return canvas.tokens_BT
        return DreamGeneration(
            sequences=canvas.tokens_BT,
            history=tuple(history) if output_history else None,
        )

    def _canvas(self, tokens_BT: Tensor, valid_BT: Tensor | None) -> Canvas:
        return Canvas(tokens_BT, mask_id=self.config.mask_token_id, valid_BT=valid_BT)

    def _prolonged(
        self, tokens_BT: Tensor, seen_BT: Tensor | None, new: int
    ) -> tuple[Tensor, Tensor | None]:
        if new < 0:
            raise ValueError(
                f"the input has {tokens_BT.shape[1]} tokens and max_length is "
                f"{tokens_BT.shape[1] + new}; give max_new_tokens"
            )
        valid_BT = None if seen_BT is None else seen_BT.bool()
        masks = tokens_BT.new_full((tokens_BT.shape[0], new), self.config.mask_token_id)
        if valid_BT is None or valid_BT.all():
            return torch.cat([tokens_BT, masks], dim=1), None
        seen = torch.ones_like(masks, dtype=torch.bool)
        return torch.cat([tokens_BT, masks], dim=1), torch.cat([valid_BT, seen], dim=1)


AutoConfig.register(DreamModelConfig.model_type, DreamModelConfig, exist_ok=True)
AutoModel.register(DreamModelConfig, DreamModel, exist_ok=True)
AutoTokenizer.register(DreamModelConfig, tokenizer_class=DreamTokenizer, exist_ok=True)
