"""Training canvases: source text with holes as a user's cursor would leave them.

Holes are cut in the text, before encoding, and every side is encoded by itself, so that
tokens meet at a hole's edge in training exactly as they do when a request is laid out.
Knows text and token ids; must not know the network.

Labels: the content of a hole, then padding for its surplus masks. The first padding label
says where the content ends and weighs as much as a token; the others only repeat it and
weigh less, lest they win by their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from dlmd_finetune.copying import rename_throughout
from dlmd_finetune.corpus import Corpus
from dlmd_finetune.cutting import Mix, hide, plan_holes, surplus

NO_LABEL = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvases:
    """A batch: canvas tokens, what the masks hide (NO_LABEL elsewhere), and loss weights; all (B, T)."""

    tokens_BT: np.ndarray
    labels_BT: np.ndarray
    weights_BT: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    mask: int
    pad: int
    bos: int
    eos: int


class CanvasMaker:
    """Draws batches from a corpus. Deterministic given its seed and how often it was asked."""

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        ids: Ids,
        *,
        held_out: bool = False,
        mix: Mix | None = None,
    ) -> None:
        self.corpus, self.tokenizer, self.ids = corpus, tokenizer, ids
        self.mix = mix or Mix()
        self.documents = np.flatnonzero(corpus.held_out == held_out)
        lengths = np.diff(corpus.offsets)[self.documents]
        self.cumulative = np.cumsum(lengths)

    def window(self, chars: int, rng: np.random.Generator) -> str:
        """About `chars` characters of one document, cut at line starts; a document weighs by its length."""
        spot = int(rng.integers(self.cumulative[-1]))
        index = int(np.searchsorted(self.cumulative, spot, side="right"))
        text = self.corpus.text(int(self.documents[index]))
        if len(text) > chars and rng.random() < 0.75:
            start = text.rfind("\n", 0, int(rng.integers(len(text) - chars // 2))) + 1
            text = text[start:]
        return text[: text.rfind("\n", 0, chars) + 1] or text[:chars]

    def encode(self, pieces: list[str]) -> list[list[int]]:
        return [
            encoding.ids
            for encoding in self.tokenizer.encode_batch(
                pieces, add_special_tokens=False
            )
        ]

    def whole(
        self, chars: int, rng: np.random.Generator
    ) -> tuple[list[int], list[int], list[float]]:
        """A document without holes: every token is its own label (for the left-to-right stage)."""
        tokens = [self.ids.bos, *self.encode([self.window(chars, rng)])[0]]
        return tokens, tokens, [1.0] * len(tokens)

    def holed(
        self, chars: int, rng: np.random.Generator
    ) -> tuple[list[int], list[int], list[float]]:
        text = self.window(chars, rng)
        if self.mix.renamed and rng.random() < self.mix.renamed:
            text = rename_throughout(text, self.window(600, rng), rng)
        holes = plan_holes(text, rng, self.mix)
        pieces, at = [], 0
        for start, end in holes:
            pieces += [text[at:start], text[start:end]]
            at = end
        encoded = self.encode([*pieces, text[at:]])
        tokens, labels, weights = [self.ids.bos], [NO_LABEL], [0.0]
        for number, ids in enumerate(encoded):
            if number % 2 == 0:
                tokens += ids
                labels += [NO_LABEL] * len(ids)
                weights += [0.0] * len(ids)
                continue
            extra = surplus(len(ids), len(holes) > 3, rng)
            truth = np.array(ids + [self.ids.pad] * extra, dtype=np.int64)
            if not len(truth):
                continue
            masked, weight = hide(len(ids), extra, rng, self.mix.surplus_weight)
            tokens += np.where(masked, self.ids.mask, truth).tolist()
            labels += np.where(masked, truth, NO_LABEL).tolist()
            weights += np.where(masked, weight, 0.0).tolist()
        return tokens, labels, weights

    def middle_last(
        self, chars: int, rng: np.random.Generator
    ) -> tuple[list[int], list[int], list[float]]:
        """For a left-to-right model that fills holes (Bavarian et al. 2022, prefix first): the
        text with one hole marked by the mask, then end, what the hole held, and padding."""
        text = self.window(chars, rng)
        holes = plan_holes(text, rng, self.mix)
        if not holes:
            return self.whole(chars, rng)
        start, end = holes[int(rng.integers(len(holes)))]
        before, inside, after = self.encode([text[:start], text[start:end], text[end:]])
        tokens = [*fim_prompt(before, after, self.ids), *inside, self.ids.pad]
        return tokens, tokens, [1.0] * len(tokens)

    def row(
        self, length: int, causal: bool, rng: np.random.Generator
    ) -> tuple[list[int], list[int], list[float]]:
        """One row of exactly `length` slots, from as many documents as it takes."""
        tokens: list[int] = []
        labels: list[int] = []
        weights: list[float] = []
        draw = self.whole if causal else self.holed
        if self.mix.middle_last and not causal:
            draw = self.middle_last
        while len(tokens) < length:
            chars = max(120, int((length - len(tokens)) * (3.6 if causal else 2.9)))
            more = draw(chars, rng)
            tokens += more[0]
            labels += more[1]
            weights += more[2]
        return tokens[:length], labels[:length], weights[:length]

    def batch(
        self, rows: int, length: int, causal: bool, seed: tuple[int, ...]
    ) -> Canvases:
        """The batch that belongs to `seed`: the same whenever it is asked for, so that runs resume exactly."""
        rng = np.random.default_rng(seed)
        drawn = [self.row(length, causal, rng) for _ in range(rows)]
        labels = np.array([row[1] for row in drawn], dtype=np.int64)
        labels[:, 0] = NO_LABEL
        return Canvases(
            tokens_BT=np.array([row[0] for row in drawn], dtype=np.int64),
            labels_BT=labels,
            weights_BT=np.array([row[2] for row in drawn], dtype=np.float32),
        )


def fim_prompt(before: list[int], after: list[int], ids: Ids) -> list[int]:
    """What a left-to-right model is shown before it writes the middle."""
    return [ids.bos, *before, ids.mask, *after, ids.eos]


def texts(corpus: Corpus, every: int) -> Iterator[str]:
    """Every n-th training document: enough to train a vocabulary on."""
    for index in range(0, len(corpus), every):
        if not corpus.held_out[index]:
            yield corpus.text(index)
