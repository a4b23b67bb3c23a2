"""What the models stand beside: a counter of words and a left-to-right model, each of which
answers as the ruler asks and keeps its results as the ruler does."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dlmd_finetune.corpus import build
from dlmd_finetune.pretrain import pretrain
from dlmd_finetune.sources import read_sources
from hypothesis import given
from hypothesis import strategies as st

from bench.ngram_infill import ORDER, Counts, Direction, keys_of
from tests.fakes.infilling import sample_rows, write_rows
from tests.test_pretrain import toy

REPO = Path(__file__).resolve().parent.parent
TOKENS = st.lists(st.integers(1, 4), min_size=1, max_size=30)


@given(TOKENS, st.lists(st.integers(1, 4), max_size=ORDER - 1))
def test_counts_are_those_of_a_reader(text: list[int], context: list[int]) -> None:
    keys = keys_of(np.array(text, dtype=np.uint64))
    found = Counts(keys, size=5).after(context)
    n = len(context)
    wanted = Counter(
        text[at + n] for at in range(len(text) - n) if text[at : at + n] == context
    )
    assert [int(c) for c in found[1:]] == [wanted[token] for token in range(1, 5)]


@given(TOKENS, TOKENS, st.lists(st.integers(1, 4), max_size=6))
def test_likelihoods_are_of_something(
    corpus: list[int], own: list[int], before: list[int]
) -> None:
    direction = Direction(Counts(keys_of(np.array(corpus, dtype=np.uint64)), 5))
    assert direction.likely(before).sum() == pytest.approx(1)
    direction.own = Counts(keys_of(np.array(own, dtype=np.uint64)), 5)
    likely = direction.likely(before)
    assert likely.sum() == pytest.approx(1) and (likely > 0).all()


def test_what_followed_always_follows_again() -> None:
    text = np.array([1, 2, 3, 4] * 20, dtype=np.uint64)
    direction = Direction(Counts(keys_of(text), 5))
    assert direction.likely([1, 2, 3]).argmax() == 4
    assert direction.told([1, 2, 3, 4], 3) > direction.told([1, 2, 3, 1], 3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_answer_as_the_ruler_asks_and_can_be_compared(tmp_path: Path) -> None:
    config = toy(tmp_path, objective="fim", tokens=8192, causal_share=0.25)
    folder = pretrain(config)
    build(read_sources([config.corpus]), tmp_path / "packed")
    data = write_rows(tmp_path / "sample.jsonl", sample_rows())
    shared = ["--data", str(data), "--limit", "3", "--json"]
    commands = {
        "fim": ["bench/fim_infill.py", str(folder)],
        "ngram": [
            *("bench/ngram_infill.py", str(tmp_path / "packed")),
            *("--tokenizer", str(folder), "--work", str(tmp_path / "counts")),
        ],
    }
    for name, words in commands.items():
        out = tmp_path / f"{name}.jsonl"
        done = subprocess.run(
            [sys.executable, *words, *shared, "--out", str(out)],
            cwd=REPO,
            env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tasks"] == 3
    from dlmd_finetune.evidence.compare import CompareConfig, compare

    files = [tmp_path / f"{name}.jsonl" for name in commands]
    assert compare(CompareConfig(results=files))["tasks"] == 3
