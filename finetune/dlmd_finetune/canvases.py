"""Training canvases: source text with holes as a user's cursor would leave them.

Holes are cut in the text, before encoding, and every side is encoded by itself, so that
tokens meet at a hole's edge in training exactly as they do when a request is laid out.
Knows text and token ids; must not know the network.

Labels: the content of a hole, then padding for its surplus masks. The first padding label
says where the content ends and weighs as much as a token; the others only repeat it and
weigh SURPLUS_WEIGHT, lest they win by their number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from dlmd_finetune.corpus import Corpus

SURPLUS_WEIGHT = 0.1
MAX_TOKEN_WEIGHT = 4.0
WIDTHS = (16, 24, 32, 48, 64)
BODY_LINES = 30
NO_LABEL = -100
DEF = re.compile(r"^([ \t]*)(?:async )?def .*:\s*(?:#.*)?$")
Span = tuple[int, int]


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


def line_spans(text: str) -> list[Span]:
    """Start and end (before the newline) of every line."""
    spans, start = [], 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def body_spans(text: str) -> list[Span]:
    """Bodies of functions, from the start of the first body line to the end of the last."""
    lines = text.split("\n")
    spans = line_spans(text)
    found = []
    for number, line in enumerate(lines[:-1]):
        header = DEF.match(line)
        if not header:
            continue
        depth, last = len(header[1]), number
        for below in range(number + 1, min(number + 1 + BODY_LINES, len(lines))):
            if lines[below].strip() and indent_of(lines[below]) <= depth:
                break
            last = below if lines[below].strip() else last
        if last > number:
            found.append((spans[number + 1][0], spans[last][1]))
    return found


def cut_line(text: str, span: Span, rng: np.random.Generator) -> Span:
    """One hole in one line: the whole line, from the indentation on, to the line's end, or inside it."""
    start, end = span
    first = start + indent_of(text[start:end])
    kind = rng.random()
    if kind < 0.5:
        return start, end
    if kind < 0.75 or end - first < 4:
        return first, end
    middle = int(rng.integers(first + 1, end))
    if kind < 0.92:
        return middle, end
    return middle, int(rng.integers(middle, end)) + 1


def plan_holes(text: str, rng: np.random.Generator) -> list[Span]:
    """Where to cut: mostly lines, some runs of lines, some function bodies."""
    kind = rng.random()
    if kind < 0.08:
        bodies = body_spans(text)
        if bodies:
            return [bodies[int(rng.integers(len(bodies)))]]
    lines = [span for span in line_spans(text) if text[span[0] : span[1]].strip()]
    if not lines:
        return []
    if kind < 0.2:
        first = int(rng.integers(len(lines)))
        last = min(first + int(rng.integers(1, 6)), len(lines) - 1)
        return [(lines[first][0], lines[last][1])]
    share = 0.4 if kind < 0.75 else 0.08
    chosen = np.flatnonzero(rng.random(len(lines)) < share)
    if not len(chosen):
        chosen = rng.integers(0, len(lines), 1)
    return [cut_line(text, lines[index], rng) for index in chosen]


def surplus(length: int, crowded: bool, rng: np.random.Generator) -> int:
    """How many masks too many: none for one hole in four, else up to a width that requests use."""
    if rng.random() < 0.25:
        return 0
    if crowded:
        return int(rng.integers(0, 9))
    wide = [width - length for width in WIDTHS if width >= length]
    return int(rng.choice(wide[:3])) if wide else int(rng.integers(0, 17))


def hide(
    length: int, extra: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which of a hole's slots are masked, and each slot's loss weight.

    The masked share t is 1 for a third of the holes (every hole starts that way), else
    uniform: for a third anywhere, for a third from the right, the order in which a hole
    without a known length is best filled. The weight 1/t (masked-diffusion bound) is
    applied as slots/masked, capped.
    """
    slots = length + extra
    masked = np.ones(slots, dtype=bool)
    kind = rng.random()
    if kind < 0.67:
        count = max(1, round(rng.random() * slots))
        order = np.arange(slots)[::-1] if kind < 0.33 else rng.permutation(slots)
        masked[:] = False
        masked[order[:count]] = True
    weight = np.full(
        slots, min(slots / masked.sum(), MAX_TOKEN_WEIGHT), dtype=np.float32
    )
    weight[length + 1 :] *= SURPLUS_WEIGHT
    return masked, weight


class CanvasMaker:
    """Draws batches from a corpus. Deterministic given its seed and how often it was asked."""

    def __init__(
        self, corpus: Corpus, tokenizer: Tokenizer, ids: Ids, *, held_out: bool = False
    ) -> None:
        self.corpus, self.tokenizer, self.ids = corpus, tokenizer, ids
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
        holes = plan_holes(text, rng)
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
            masked, weight = hide(len(ids), extra, rng)
            tokens += np.where(masked, self.ids.mask, truth).tolist()
            labels += np.where(masked, truth, NO_LABEL).tolist()
            weights += np.where(masked, weight, 0.0).tolist()
        return tokens, labels, weights

    def row(
        self, length: int, causal: bool, rng: np.random.Generator
    ) -> tuple[list[int], list[int], list[float]]:
        """One row of exactly `length` slots, from as many documents as it takes."""
        tokens: list[int] = []
        labels: list[int] = []
        weights: list[float] = []
        draw = self.whole if causal else self.holed
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


def texts(corpus: Corpus, every: int) -> Iterator[str]:
    """Every n-th training document: enough to train a vocabulary on."""
    for index in range(0, len(corpus), every):
        if not corpus.held_out[index]:
            yield corpus.text(index)
