"""What a desk says of a row is what a forward over that row says."""

from typing import Any

import pytest
import torch
from dlmd.decode import Canvas
from dlmd.decode import length_desk as desks
from dlmd.decode.length_desk import Desk, Said, spread
from dlmd.model import Dream, DreamConfig

MASK, PAD, BEGIN = 3, 0, 1


def network(layers: int) -> Dream:
    torch.manual_seed(layers)
    config = DreamConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        mask_token_id=MASK,
        rope_theta=1e4,
    )
    return Dream(config).eval().requires_grad_(False)


def laid(before: int, masks: list[int], between: int, after: int) -> Any:
    row, holes = [BEGIN, *[5 + t % 30 for t in range(before)]], []
    for k, count in enumerate(masks):
        row += [7 + k] * between if k else []
        holes.append(range(len(row), len(row) + count))
        row += [MASK] * count
    row += [9 + t % 20 for t in range(after)]
    return Canvas(torch.tensor([row]), mask_id=MASK), holes


def alone(model: Dream, row: list[int], was: dict[int, int]) -> dict[int, Said]:
    """The same by a forward over the row as it stands."""
    logits_TV = model(torch.tensor([row]))[0]
    said = {}
    for t, token in enumerate(row):
        if token != MASK:
            continue
        logits_V = logits_TV[t - 1].clone()
        logits_V[MASK] = torch.finfo(torch.float32).min
        sure_V = logits_V.log_softmax(dim=-1)
        words_V = sure_V.clone()
        words_V[PAD] = float("-inf")
        said[t] = Said(
            token=int(words_V.argmax()),
            sure=float(words_V.max()),
            nothing=float(sure_V[PAD]),
            there=float(sure_V[was.get(t, MASK)]),
        )
    return said


def compared(model: Dream, canvas: Canvas, holes: list[range], plans: Any) -> None:
    """Rows of different lengths in one question, and each of them alone, with the place
    behind the last hole hidden."""
    desk = Desk(model, canvas, holes, [PAD], room=6)
    hidden = desk.spots[-1].stop
    rows = [[[MASK] * (n - 1) + [11] for n in plan] for plan in plans]
    for row, plan, said in zip(rows, plans, desk.ask(rows, [hidden]), strict=True):
        tokens = list(desk.row)
        behind = tokens[hidden]
        tokens[hidden] = MASK
        columns = list(range(len(tokens)))
        for spot, inside in reversed(list(zip(desk.spots, row, strict=True))):
            tokens[spot.start : spot.stop] = inside
            columns[spot.start + len(inside) : spot.stop] = []
        expected = alone(model, tokens, {columns.index(hidden): behind})
        assert {columns.index(t) for t in said} == set(expected), plan
        for t, ours in said.items():
            theirs = expected[columns.index(t)]
            assert ours.token == theirs.token
            for name in ("sure", "nothing"):
                assert getattr(ours, name) == pytest.approx(
                    getattr(theirs, name), abs=1e-4
                )
        assert said[hidden].there == pytest.approx(
            expected[columns.index(hidden)].there, abs=1e-4
        )


PLANS = [(1, 1), (2, 5), (6, 3), (3, 3)]


def test_turned_keys_are_those_of_the_row_where_nothing_was_mixed_yet() -> None:
    """In one layer keys depend on a token and its place alone: no window is too small."""
    canvas, holes = laid(20, [4, 2], 5, 20)
    compared(network(1), canvas, holes, PLANS)


def test_a_window_over_everything_is_a_forward(monkeypatch: Any) -> None:
    monkeypatch.setattr(desks, "REACH", 100)
    canvas, holes = laid(12, [4, 2], 3, 9)
    compared(network(3), canvas, holes, PLANS)


def test_the_same_layout_is_turned_once_and_little_is_computed() -> None:
    canvas, holes = laid(60, [4], 0, 60)
    desk = Desk(network(2), canvas, holes, [PAD], room=6)
    before = desk.rows
    desk.ask([[[MASK, 11]], [[MASK]]])
    kept = desk.turned
    desk.ask([[[11, 11]], [[MASK]]])
    assert desk.turned is kept and desk.forwards == 3
    assert desk.rows - before == 2 * 2 * (desks.REACH * 2 + 1 + 2)


def test_only_what_is_near_is_seen() -> None:
    canvas, holes = laid(300, [40, 7], 2, 300)
    row, spots = spread(canvas, holes, 6)
    assert [row[0], row.count(MASK)] == [BEGIN, 12]
    assert len(row) == 1 + desks.NEAR + 6 + 2 + 6 + desks.NEAR
    first = 1 + desks.NEAR
    assert spots == (range(first, first + 6), range(first + 8, first + 14))
    canvas, holes = laid(3, [2], 0, 0)
    assert spread(canvas, holes, 6)[0] == [BEGIN, 5, 6, 7, *[MASK] * 6]
