"""Which length wins, by a desk that was told what to say; and what the embedded model
makes of it."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, Frame, Hole, InfillSettings, Tokenizer, infill
from dlmd.decode.length_desk import Said
from dlmd.decode.length_trials import LENGTHS, judged, tried
from dlmd.model import Dream, load
from dlmd.profiles import EMBEDDED_FOLDER, for_folder

MASK, WORD = 9, 4
ROOM = 12


class Told:
    """A desk of holes that each want so many tokens: the further from it, the less sure
    is the text, the worse explained are the neighbours, the less likely is an end."""

    mask_id = MASK

    def __init__(self, wanted: Sequence[int], unsure: float = 0.01) -> None:
        self.wanted, self.unsure = wanted, unsure
        self.row: list[int] = [1, 5, 5]
        spots = []
        for _ in wanted:
            spots.append(range(len(self.row), len(self.row) + ROOM))
            self.row += [MASK] * ROOM + [6, 7, 8]
        self.spots = tuple(spots)
        self.sizes: list[int] = []

    def ask(
        self, rows: Sequence[Sequence[list[int]]], hidden: Sequence[int] = ()
    ) -> list[dict[int, Said]]:
        self.sizes.append(len(rows))
        answers = []
        for row in rows:
            said = {}
            for spot, inside, want in zip(self.spots, row, self.wanted, strict=True):
                text = sum(token != MASK for token in inside) or len(inside)
                sure = -self.unsure - abs(text - want)
                for i, token in enumerate(inside):
                    if token == MASK:
                        said[spot.start + i] = Said(
                            token=WORD, sure=sure, nothing=sure, there=0.0
                        )
                for place in hidden:
                    if place in range(spot.start - 3, spot.stop + 3):
                        said[place] = Said(token=0, sure=0, nothing=0, there=sure)
            answers.append(said)
        return answers


def lengths(desk: Any, most: Sequence[int]) -> list[int]:
    trials = judged(desk, most)
    return [len(max(each, key=lambda t: t.score).inside) for each in trials]


@pytest.mark.parametrize("want", LENGTHS)
def test_the_length_that_the_desk_wants(want: int) -> None:
    assert lengths(Told([want]), [32]) == [want]


def test_several_holes_in_the_same_rows() -> None:
    desk = Told([2, 7, 1])
    assert lengths(desk, [32, 32, 32]) == [2, 7, 1]
    assert len(desk.sizes) <= 5 and max(desk.sizes) == len(LENGTHS)


def test_no_more_than_a_hole_may_hold() -> None:
    few, free = lengths(Told([6, 6]), [3, 32])
    assert few <= 3 and free == 6
    assert lengths(Told([6]), [1]) == [1]


@pytest.mark.parametrize("asked", ["there", "nothing"])
def test_an_answer_decides_between_texts_that_are_as_likely(asked: str) -> None:
    """The neighbours alone, and the end alone."""

    class Even(Told):
        def ask(self, rows: Any, hidden: Any = ()) -> Any:
            answers = super().ask(rows, hidden)
            for row, said in zip(rows, answers, strict=True):
                text = sum(token != MASK for token in row[0]) or len(row[0])
                told = -1.0 if text == 2 else -4.0
                for place in said:
                    said[place] = Said(
                        token=WORD,
                        sure=-0.1,
                        there=told if asked == "there" else 0.0,
                        nothing=told if asked == "nothing" else 0.0,
                    )
            return answers

    assert lengths(Even([2]), [4]) == [2]


# ---- on the embedded model ----


@pytest.fixture(scope="module")
def embedded() -> tuple[Dream, Tokenizer, Any]:
    folder = EMBEDDED_FOLDER
    return load(folder), Tokenizer.load(folder), for_folder(folder)


PIECES: list[Any] = [
    "import os\n\n\nclass Shelf:\n    def __init__(",
    Hole(max_tokens=32),
    ", size):\n        self.size = size\n\n    def full(self)",
    Hole(max_tokens=32),
    "\n        return False\n",
]


def frames(embedded: Any, parts: list[Any], **how: Any) -> list[Frame]:
    model, tokenizer, profile = embedded
    return list(infill(model, tokenizer, profile, parts, InfillSettings(**how)))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exact", "quality", "fast"])
@pytest.mark.parametrize("n", [1, 2])
def test_short_holes_stay_short(embedded: Any, mode: str, n: int) -> None:
    *_, last = frames(embedded, PIECES, mode=mode, n=n)
    assert last.texts == ["self", ":"]
    assert last.finish == "stop"


@pytest.mark.slow
def test_work_is_counted_and_little(embedded: Any) -> None:
    first, *_ = frames(embedded, PIECES, mode="quality")
    assert first.forwards_full == 1 and first.forwards_cached <= 6
    assert first.query_rows < 900


@pytest.mark.slow
def test_a_start_that_is_given_stays(embedded: Any) -> None:
    parts = [*PIECES[:1], Hole(max_tokens=32, initial="se"), *PIECES[2:]]
    *_, last = frames(embedded, parts)
    assert last.texts is not None and last.texts[0].startswith("se")
    assert last.texts[1] == ":"


def test_where_nothing_is_likely_enough_there_is_no_length() -> None:
    canvas = Canvas(torch.tensor([[1, 5, MASK, MASK, 6]]), mask_id=MASK)
    found, same = tried(None, canvas, [], [0])  # type: ignore[arg-type]
    assert found == {} and same is canvas
