"""dlmd.decode.draft: what stays of a text that a hole is laid over, on a tiny real model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, Hole, InfillSettings, Part, Tokenizer, infill
from dlmd.decode.draft import certainty, laid_over
from dlmd.model import Dream, load
from dlmd.profiles import for_folder

from tests.fakes.tiny import tiny_model_folder

DRAFT = "return value + other"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Dream:
    return load(folder)


def last_frame(model: Dream, folder: Path, keep: float, **settings: Any) -> Any:
    parts: list[Part] = ["def f():\n    ", Hole(initial=DRAFT, keep=keep), "\n"]
    frames = infill(
        model,
        Tokenizer.load(folder),
        for_folder(folder),
        parts,
        InfillSettings(**settings),
    )
    return list(frames)[-1]


@pytest.mark.parametrize("mode", ["exact", "quality", "fast"])
def test_all_of_a_draft_stays_where_nothing_is_asked_of_it(
    model: Dream, folder: Path, mode: str
) -> None:
    frame = last_frame(model, folder, 0.0, mode=mode)
    assert frame.texts == [DRAFT]


@pytest.mark.parametrize("mode", ["exact", "quality"])
def test_a_draft_of_which_nothing_is_sure_is_written_anew(
    model: Dream, folder: Path, mode: str
) -> None:
    frame = last_frame(model, folder, 1.0, mode=mode)
    assert len(frame.tokens[0]) == len(Tokenizer.load(folder).encode(DRAFT))
    assert frame.texts != [DRAFT] and frame.step > 1


def test_what_is_sure_enough_stays_in_its_place(model: Dream) -> None:
    ids = [5, 9, 14, 33, 60, 7]
    canvas = Canvas(torch.tensor([[1, 2, *[0] * len(ids), 3]] * 2), mask_id=0)
    laid = canvas.tokens_BT[:1].clone()
    laid[0, 2:8] = torch.tensor(ids)
    places = list(range(2, 8))
    sure = certainty(model, laid, places[::2], 0) | certainty(
        model, laid, places[1::2], 0
    )
    middle = sorted(sure.values())[3]
    found = laid_over(model, canvas, [(range(2, 8), ids, middle)])
    kept = [ids[p - 2] if sure[p] >= middle else 0 for p in places]
    assert found.tokens_BT.tolist() == [[1, 2, *kept, 3]] * 2
    assert found.masks_B == (3, 3)


def test_each_token_has_a_piece_and_the_text_is_the_same(
    model: Dream, folder: Path
) -> None:
    merged = last_frame(model, folder, 1.0, by_token=False)
    split = last_frame(model, folder, 1.0, by_token=True)
    assert split.texts == merged.texts
    assert len(merged.holes[0]) == 1 < len(split.holes[0])
    assert "".join(split.holes[0]) == merged.texts[0]
    assert len(split.confidence[0]) == len(split.holes[0])
