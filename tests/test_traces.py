"""Orders read from states: by hand, and against the decoder's own schedule."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from dlmd.decode import Hole, InfillSettings, Tokenizer, infill
from dlmd.model import load
from dlmd.profiles import for_folder
from dlmd_finetune.evidence.traces import traces

from tests.fakes.tiny import tiny_model_folder

MASK, PAD = 9, 0


@dataclass
class Seen:
    tokens: list[list[int]]
    certainty: list[list[float]]
    candidate: int = 0


def test_what_a_step_commits_stands_by_certainty() -> None:
    states = [
        Seen([[MASK, 5, MASK, MASK]], [[0.1, 0.9, 0.2, 0.1]]),
        Seen([[4, 5, 6, MASK]], [[0.6, 0.9, 0.7, 0.1]]),
        Seen([[4, 5, 6, PAD]], [[0.6, 0.9, 0.7, 0.8]]),
    ]
    found = traces(states, MASK, {PAD})[0]
    assert found.order == (1, 2, 0)
    assert found.tokens == (5, 6, 4)
    assert found.certainty == (0.9, 0.7, 0.6)
    assert found.steps == 3


def test_candidates_are_kept_apart() -> None:
    states = [
        Seen([[MASK, 5]], [[0.0, 0.5]], 0),
        Seen([[7, MASK]], [[0.5, 0.0]], 1),
        Seen([[4, 5]], [[0.5, 0.5]], 0),
        Seen([[7, 8]], [[0.5, 0.5]], 1),
    ]
    found = traces(states, MASK, ())
    assert [found[c].order for c in (0, 1)] == [(1, 0), (0, 1)]


@pytest.mark.parametrize("per_step", [1, 3])
def test_every_token_of_a_hole_has_its_place(tmp_path: Path, per_step: int) -> None:
    folder = tiny_model_folder(tmp_path)
    model, profile = load(folder), for_folder(folder)
    settings = InfillSettings(tokens_per_step=per_step, temperature=1.0, seed=1, n=2)
    parts: list[str | Hole] = ["def f(x):\n    return ", Hole(length=9), "\n"]
    frames = list(infill(model, Tokenizer.load(folder), profile, parts, settings))
    found = traces(frames, profile.mask_id, ())
    assert sorted(found) == [0, 1]
    for trace in found.values():
        assert sorted(trace.order) == list(range(9))
        assert trace.steps == 9 // per_step
        assert all(0 <= sure <= 1 for sure in trace.certainty)
    last = {frame.candidate: frame for frame in frames}
    for candidate, trace in found.items():
        placed = dict(zip(trace.order, trace.tokens, strict=True))
        assert [placed[n] for n in range(9)] == last[candidate].tokens[0]
