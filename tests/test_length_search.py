"""How many masks a hole gets, by a network that knows the answer."""

from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings, denoise
from dlmd.decode.length_search import ROUNDS, ROWS, Search, next_lengths, top, usual
from hypothesis import given, settings
from hypothesis import strategies as st

MASK, WORD, VOID = 9, 3, 0
VOCABULARY = 10


class Knowing:
    """Says WORD at every mask, sure by how near a run of masks comes to its answer, on top
    of what every run of that length gets. Answers stand before their holes, as tokens
    above the vocabulary would in a real prompt: 10 + n for n masks."""

    def __init__(self, bias: bool = True) -> None:
        self.bias = bias
        self.rows: list[int] = []  # of each forward

    def __call__(
        self,
        tokens_BT: torch.Tensor,
        valid_BT: torch.Tensor | None = None,
        *,
        rows_N: torch.Tensor,
    ) -> torch.Tensor:
        B, T = tokens_BT.shape
        self.rows.append(B)
        seen_BT = torch.ones_like(tokens_BT) if valid_BT is None else valid_BT
        logits_BTV = torch.full((B, T, VOCABULARY), -30.0)
        for b in range(B):
            for place, sure in self.sure(tokens_BT[b].tolist(), seen_BT[b].tolist()):
                other = (1 - sure) / (VOCABULARY - 2)
                logits_BTV[b, place - 1] = torch.tensor(other).log()
                logits_BTV[b, place - 1, WORD] = torch.tensor(sure).log()
                logits_BTV[b, place - 1, MASK] = -30.0
        return logits_BTV.flatten(0, 1)[rows_N]

    def sure(self, row: list[int], seen: list[int]) -> list[tuple[int, float]]:
        said: list[tuple[int, float]] = []
        answer, run = 0, []
        for place, (token, here) in enumerate(zip(row, seen, strict=True)):
            if not here:
                continue
            if token == MASK:
                run.append(place)
                continue
            said += self.told(run, answer)
            run = []
            answer = token - VOCABULARY if token > VOCABULARY else answer
        return said + self.told(run, answer)

    def told(self, run: list[int], answer: int) -> list[tuple[int, float]]:
        fit = 1.3 - 0.6 * min(1.0, abs(len(run) - answer) / max(answer, 1))
        sure = fit * usual(len(run)) if self.bias else fit / 1.4
        return [(place, min(0.98, sure / 1.4)) for place in run]


def laid(answers: list[int], most: int, rows: int = 1) -> tuple[Canvas, list[range]]:
    row, holes = [1], []
    for answer in answers:
        row.append(VOCABULARY + answer)
        holes.append(range(len(row), len(row) + most))
        row += [MASK] * most
    return Canvas(torch.tensor([[*row, 2]] * rows), mask_id=MASK), holes


def lengths(model: Any, canvas: Canvas, holes: list[range]) -> list[int]:
    _, found = Search(holes=holes, void_id=VOID).begin(model, canvas, holes)
    return [len(hole) for hole in found]


@pytest.mark.parametrize("answer", [1, 2, 3, 5, 7, 12, 20, 29, 32])
def test_the_length_that_the_network_knows(answer: int) -> None:
    canvas, holes = laid([answer], 32)
    assert lengths(Knowing(), canvas, holes) == [answer]


def test_without_the_calibration_short_holes_win(monkeypatch: Any) -> None:
    canvas, holes = laid([12], 32)
    monkeypatch.setattr("dlmd.decode.length_search.usual", lambda length: 1.0)
    assert lengths(Knowing(), canvas, holes)[0] < 4


def test_several_holes_at_once_for_the_price_of_one() -> None:
    model = Knowing()
    canvas, holes = laid([3, 11, 26], 32)
    assert lengths(model, canvas, holes) == [3, 11, 26]
    assert len(model.rows) <= ROUNDS and max(model.rows) <= ROWS


def test_the_canvas_closes_up_and_the_rest_of_the_text_stays() -> None:
    canvas, holes = laid([2, 5], 8, rows=3)
    model: Any = Knowing()
    canvas, found = Search(holes=[holes[0]], void_id=VOID).begin(model, canvas, holes)
    assert found == (range(2, 4), range(5, 13))
    row = [1, 12, MASK, MASK, 15, *[MASK] * 8, 2]
    assert canvas.tokens_BT.tolist() == [row] * 3
    assert canvas.masks_B == (10, 10, 10)
    assert canvas.forwards_full <= ROUNDS and canvas.query_rows > 0


def test_what_was_found_is_denoised_like_any_hole() -> None:
    model: Any = Knowing()
    canvas, holes = laid([3], 16)
    canvas, _ = Search(holes=holes, void_id=VOID).begin(model, canvas, holes)
    *_, last = denoise(model, canvas, DecodeSettings(schedule="even"))
    assert last.tokens_BT.tolist() == [[1, 13, WORD, WORD, WORD, 2]]
    assert last.forwards <= ROUNDS + 3


def test_a_request_without_a_hole_of_its_own_length_costs_nothing() -> None:
    model = Knowing()
    canvas, holes = laid([3], 4)
    same, found = Search(holes=[], void_id=VOID).begin(model, canvas, holes)  # type: ignore[arg-type]
    assert same is canvas and found == tuple(holes) and not model.rows


@settings(max_examples=60, deadline=None)
@given(most=st.integers(1, 300), answer=st.integers(1, 300))
def test_the_trials_close_in(most: int, answer: int) -> None:
    """Whatever the bound: few trials, all within it, none twice, the best never lost."""
    hole = range(most)
    seen: dict[int, float] = {}
    for _ in range(ROUNDS):
        trials = next_lengths(hole, seen)
        assert len(trials) <= ROWS and not set(trials) & set(seen)
        assert all(1 <= length <= most for length in trials)
        seen |= {length: -abs(length - answer) for length in trials}
    assert top(seen) in seen
    if most <= 32:
        assert top(seen) == min(answer, most)
