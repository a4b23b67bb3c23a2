"""The step over buffers that never move, called by hand: padding, the ring, finished holes."""

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings
from dlmd.decode.cached import Windows
from dlmd.decode.places import find_places
from dlmd.decode.static import SLOTS, Board, Bucket, bits, floats
from dlmd.model import Dream, load

from tests.fakes.tiny import tiny_model_folder

EVEN = DecodeSettings(schedule="even")
HOLE = range(20, 26)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Dream:
    return load(tiny_model_folder(tmp_path_factory.mktemp("model")))


def filled(model: Dream, *, capacity: int = 128, window: int = 48) -> Board:
    """A board after the full forward over a document of 60 tokens."""
    cache = model.new_cache(rows=1, capacity=capacity, whole=True)
    board = Board(model, Bucket(window=window, capacity=capacity), cache)
    drawn = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(4, 200, (1, 60), generator=drawn)
    tokens_BT[0, HOLE.start : HOLE.stop] = model.config.mask_token_id
    canvas = Canvas(tokens_BT, mask_id=model.config.mask_token_id)
    windows, places = Windows(model, EVEN, cache), find_places(canvas)
    with torch.no_grad():
        windows.begin(canvas, places)
        assert windows.slots_W is not None and windows.index_T is not None
        board.put(canvas, places, windows.slots_W, windows.index_T)
        board.steps_1.fill_(len(HOLE))
        windows.everything(canvas, places, [len(HOLE)])
    return board


def stepped(board: Board, times: int) -> list[tuple[list[int], int]]:
    """Tokens of the hole and masks left, after each of some steps."""
    found = []
    for n in range(times):
        with torch.no_grad():
            board.step(EVEN)
        board.outbox.send(n)
        tokens_m, _, left, _ = board.read(n, len(HOLE))
        found.append((tokens_m.tolist(), left))
    return found


def test_each_step_commits_and_a_finished_hole_stays(model: Dream) -> None:
    board, mask_id = filled(model), model.config.mask_token_id
    seen = stepped(board, len(HOLE) + 3)
    assert [left for _, left in seen] == [5, 4, 3, 2, 1, 0, 0, 0, 0]
    assert all(tokens.count(mask_id) == left for tokens, left in seen)
    assert seen[5] == seen[-1]
    known = board.confidence_1S.clone()
    stepped_again = board.tokens_1S.clone()
    with torch.no_grad():
        board.step(EVEN)
    assert torch.equal(board.tokens_1S, stepped_again)
    assert torch.equal(board.confidence_1S, known)


def test_padding_changes_nothing(model: Dream) -> None:
    assert stepped(filled(model), 6) == stepped(
        filled(model, capacity=256, window=144), 6
    )


def test_only_the_hole_is_written(model: Dream) -> None:
    board = filled(model)
    before = board.tokens_1S.clone()
    stepped(board, 6)
    changed = (before != board.tokens_1S)[0].nonzero()[:, 0].tolist()
    assert changed == list(HOLE)


def test_every_buffer_stays_where_it_is(model: Dream) -> None:
    """A graph replays addresses."""
    board = filled(model)
    tensors = [v for v in vars(board).values() if isinstance(v, torch.Tensor)]
    tensors += [board.outbox.ring_RX, board.cache.keys_LBKSE, board.cache.seen_BS]
    before = [t.data_ptr() for t in tensors]
    stepped(board, 3)
    after = [t for t in vars(board).values() if isinstance(t, torch.Tensor)]
    after += [board.outbox.ring_RX, board.cache.keys_LBKSE, board.cache.seen_BS]
    assert [t.data_ptr() for t in after] == before


def test_the_ring_is_wider_than_the_reader_lags() -> None:
    assert SLOTS >= 3


def test_a_record_holds_floats_bit_for_bit() -> None:
    numbers = torch.tensor([0.0, -1.5, 3.4e38, 1e-45, -0.0])
    assert torch.equal(floats(bits(numbers)), numbers)


def test_what_does_not_fit_is_our_fault(model: Dream) -> None:
    with pytest.raises(AssertionError):
        filled(model, capacity=60)
