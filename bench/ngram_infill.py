"""A hole filler that is no network: what counting words gets right.

    .venv/bin/python bench/ngram_infill.py CORPUS --tokenizer MODEL_FOLDER \
      --data HumanEval-SingleLineInfilling.jsonl.gz --out ngram.jsonl

Counts runs of up to five tokens, forwards and backwards, in a packed corpus of `dlmd pretrain`
(`run/corpus`) and in the task's own text, interpolated down to single tokens (Witten and Bell
1991). A line is written forwards from what stands before the hole and once more backwards
from what stands behind it, token for token the likeliest, up to a line break: its own length.
Of the two, the one is the answer that both directions together hold for likelier, with what
stands on both sides. Results are a file as `dlmd eval` writes it, for `dlmd eval compare`.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from dlmd.decode import Tokenizer
from dlmd_finetune.corpus import open_corpus
from dlmd_finetune.evidence.answers import Answer, Answerer
from dlmd_finetune.evidence.asking import fingerprint
from dlmd_finetune.evidence.evaluate import EvalConfig, evaluate
from dlmd_finetune.evidence.summary import text as told
from dlmd_finetune.evidence.tasks import Task
from numpy.typing import NDArray
from tokenizers import Tokenizer as Raw

ORDER = 5  # tokens of a run, the predicted one included
BITS = 12  # of a token: five make a key of 60
OWN = 0.4  # weight of the task's own text
LONGEST = 48  # tokens of an answer
JOIN = 4  # tokens beyond the hole that an answer has to fit
SPECIAL = 4  # ids below stand for no text
BATCH = 200  # documents encoded at a time
Keys = NDArray[np.uint64]
After = Callable[[tuple[int, ...]], NDArray[np.float64]]


def keys_of(tokens: NDArray[np.uint64]) -> Keys:
    """Each run of ORDER tokens as one number, sorted: then all runs that begin alike are
    neighbours, whatever their beginning's length. Short of tokens at the end, zeros stand."""
    padded = np.concatenate([tokens, np.zeros(ORDER - 1, dtype=np.uint64)])
    keys = np.zeros(len(tokens), dtype=np.uint64)
    for offset in range(ORDER):
        keys = (keys << np.uint64(BITS)) | padded[offset : offset + len(tokens)]
    keys.sort()
    return keys


@dataclass(frozen=True, eq=False)
class Counts:
    """Runs of one direction of one text."""

    keys: Keys
    size: int  # of the vocabulary

    def after(self, context: Sequence[int]) -> NDArray[np.float64]:
        """How often each token follows that context, of fewer than ORDER tokens."""
        low = 0
        for token in context:
            low = (low << BITS) | token
        shift = BITS * (ORDER - len(context))
        first, last = np.searchsorted(
            self.keys, np.array([low << shift, (low + 1) << shift], dtype=np.uint64)
        )
        down = np.uint64(shift - BITS)
        following = (self.keys[first:last] >> down) & np.uint64(2**BITS - 1)
        return np.bincount(following.astype(np.int64), minlength=self.size).astype(
            np.float64
        )


class Direction:
    """The likelihood of the next token in one direction, from a corpus and an own text."""

    def __init__(self, corpus: Counts) -> None:
        self.corpus = corpus
        self.known = lru_cache(maxsize=4096)(corpus.after)
        self.own: Counts | None = None

    def likely(self, before: Sequence[int]) -> NDArray[np.float64]:
        general = interpolated(self.known, before, self.corpus.size)
        if self.own is None:
            return general
        return (1 - OWN) * general + OWN * interpolated(
            self.own.after, before, self.corpus.size
        )

    def told(self, text: Sequence[int], start: int) -> float:
        """Log-likelihood of a text from that position on."""
        return sum(
            float(np.log(self.likely(text[:at])[text[at]]))
            for at in range(start, len(text))
        )


def interpolated(after: After, before: Sequence[int], size: int) -> NDArray[np.float64]:
    found = np.full(size, 1 / size)
    for length in range(ORDER):
        if length > len(before):
            break
        counts = after(tuple(before[len(before) - length :]))
        kinds = np.count_nonzero(counts)
        if kinds:
            found = (counts + kinds * found) / (counts.sum() + kinds)
    return found


@dataclass(frozen=True)
class Filler:
    forwards: Direction
    backwards: Direction
    tokenizer: Tokenizer
    breaks: frozenset[int]  # tokens that hold a line break

    def fill(self, task: Task) -> str:
        before = self.tokenizer.encode(task.prompt)
        behind = self.tokenizer.encode(task.after)
        for direction, text in (
            (self.forwards, [before, behind]),
            (self.backwards, [behind[::-1], before[::-1]]),
        ):
            joined = np.array([*text[0], 0, *text[1]], dtype=np.uint64)
            direction.own = Counts(keys_of(joined), direction.corpus.size)
        ahead = self.tokenizer.decode(self.written(self.forwards, before))
        back = self.written(self.backwards, behind[::-1])[::-1]
        lines = [
            ahead.split("\n", 1)[0],
            self.tokenizer.decode(back).rsplit("\n", 1)[-1],
        ]
        return max(lines, key=lambda line: self.fits(line, before, behind))

    def written(self, direction: Direction, before: Sequence[int]) -> list[int]:
        found: list[int] = []
        while len(found) < LONGEST and not (found and found[-1] in self.breaks):
            likely = direction.likely([*before[-ORDER:], *found])
            likely[:SPECIAL] = 0
            found.append(int(likely.argmax()))
        return found

    def fits(self, line: str, before: list[int], behind: list[int]) -> float:
        """How likely the line is with both sides, by both directions."""
        inside = self.tokenizer.encode(line)
        ahead = [*before[-ORDER:], *inside, *behind[:JOIN]]
        back = [*before[-JOIN:], *inside, *behind[:ORDER]][::-1]
        return self.forwards.told(ahead, len(before[-ORDER:])) + self.backwards.told(
            back, len(behind[:ORDER])
        )


def encoded(corpus_folder: Path, vocabulary: Path) -> NDArray[np.uint64]:
    """All training documents as one stream, a zero between them."""
    corpus, raw = open_corpus(corpus_folder), Raw.from_file(str(vocabulary))
    raw.encode_special_tokens = True
    wanted = np.flatnonzero(~corpus.held_out)
    found = []
    for at in range(0, len(wanted), BATCH):
        texts = [corpus.text(int(n)) for n in wanted[at : at + BATCH]]
        for each in raw.encode_batch(texts, add_special_tokens=False):
            found.append(np.array([*each.ids, 0], dtype=np.uint16))
    return np.concatenate(found).astype(np.uint64)


def counted(args: argparse.Namespace) -> list[Keys]:
    """Both directions, from the work folder where an earlier run left them."""
    files = [args.work / f"{name}.npy" for name in ("forwards", "backwards")]
    if not all(file.exists() for file in files):
        args.work.mkdir(parents=True, exist_ok=True)
        tokens = encoded(args.corpus, args.tokenizer / "tokenizer.json")
        np.save(files[0], keys_of(tokens))
        np.save(files[1], keys_of(tokens[::-1]))
    return [np.load(file, mmap_mode="r") for file in files]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="packed corpus of a training run")
    parser.add_argument("--tokenizer", type=Path, required=True, help="model folder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("ngram-counts"))
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--renamed", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tokenizer = Tokenizer.load(args.tokenizer)
    size = json.loads((args.tokenizer / "config.json").read_text())["vocab_size"]
    assert size <= 2**BITS, "a larger vocabulary needs wider keys"
    forwards, backwards = (Direction(Counts(keys, size)) for keys in counted(args))
    breaks = frozenset(t for t in range(size) if "\n" in tokenizer.decode([t]))
    filler = Filler(forwards, backwards, tokenizer, breaks)
    tally = (args.corpus / "tally.json").read_text()
    identity = {
        "answers": "n-gram",
        "corpus": tally,
        "tokenizer": fingerprint(args.tokenizer),
        "constants": [ORDER, OWN, LONGEST, JOIN],
        "source": Path(__file__).read_text(),
    }

    def answer(task: Task, samples: Sequence[int]) -> list[Answer]:
        return [Answer(text=filler.fill(task), finish="stop") for _ in samples]

    answerer = Answerer(name="n-gram", identity=identity, answer=answer)
    config = EvalConfig(
        data=args.data, out=args.out, limit=args.limit, renamed=args.renamed
    )
    summary = evaluate(config, "infilling", answerer)
    print(json.dumps(summary, indent=2) if args.json else told(summary))


if __name__ == "__main__":
    main()
