"""The step over static buffers, on a CPU: the same states as the eager cached decoder.

What a card adds is the capture alone; `gpu` marks what needs one.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import (
    Canvas,
    DecodeSettings,
    Hole,
    InfillSettings,
    Tokenizer,
    infill,
)
from dlmd.decode.cached import denoise_cached
from dlmd.decode.graphed import (
    CONTEXTS,
    SPARE,
    WINDOWS,
    Graphed,
    buckets,
    capturable,
    common_plans,
    denoise_graphed,
    plan_of,
)
from dlmd.decode.static import Bucket
from dlmd.model import Dream, load
from dlmd.profiles import EMBEDDED_FOLDER, for_folder
from torch import Tensor

from tests.fakes.tiny import tiny_model_folder

SMALL = [Bucket(window=w, capacity=c) for c in (192, 128) for w in (80, 48)]
EVEN = DecodeSettings(schedule="even")
RULES = [
    EVEN,
    DecodeSettings(schedule="even", steps=5),
    DecodeSettings(rule="threshold", threshold=0.999),
    DecodeSettings(rule="entropy_bound", entropy_bound=0.01),
    DecodeSettings(rule="factor", factor=0.01, block=4),
    DecodeSettings(rule="threshold", threshold=0.999, refresh_share=0.3),
    DecodeSettings(schedule="even", refresh_tokens=4),
    DecodeSettings(schedule="even", doubt=0.02),
    DecodeSettings(rule="threshold", threshold=0.999, verify=True),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Dream:
    return load(tiny_model_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def graphed(model: Dream) -> Graphed:
    found = Graphed(model, SMALL)
    list(found.warm(RULES))
    return found


def canvas_of(model: Dream, *holes: range, length: int = 90, seed: int = 0) -> Canvas:
    drawn = torch.Generator().manual_seed(seed)
    tokens_BT = torch.randint(4, 200, (1, length), generator=drawn)
    for hole in holes:
        tokens_BT[0, hole.start : hole.stop] = model.config.mask_token_id
    return Canvas(tokens_BT, mask_id=model.config.mask_token_id)


def same(found: Canvas, expected: Canvas) -> None:
    assert found.tokens_BT.tolist() == expected.tokens_BT.tolist()
    assert found.confidence_BT is not None and expected.confidence_BT is not None
    torch.testing.assert_close(
        found.confidence_BT, expected.confidence_BT, atol=1e-4, rtol=1e-4
    )
    counts = "forwards_full", "forwards_cached", "query_rows", "masks_B"
    assert [getattr(found, c) for c in counts] == [getattr(expected, c) for c in counts]
    assert (found.doubtful_BT is None) == (expected.doubtful_BT is None)
    if found.doubtful_BT is not None and expected.doubtful_BT is not None:
        assert torch.equal(found.doubtful_BT, expected.doubtful_BT)


def same_states(found: Iterator[Canvas], expected: Iterator[Canvas]) -> int:
    pairs = list(zip(found, expected, strict=True))
    for ours, theirs in pairs:
        same(ours, theirs)
    return len(pairs)


# ---- the same states


@pytest.mark.slow
@pytest.mark.parametrize("settings", RULES, ids=lambda s: f"{s.rule}-{s.steps}")
@pytest.mark.parametrize(
    "holes", [(range(30, 45),), (range(1, 8),), (range(80, 90),)], ids=str
)
def test_every_state_is_that_of_the_eager_decoder(
    model: Dream, graphed: Graphed, settings: DecodeSettings, holes: tuple[range, ...]
) -> None:
    canvas, before = canvas_of(model, *holes), graphed.served[0]
    steps = same_states(
        graphed.denoise(canvas, settings), denoise_cached(model, canvas, settings)
    )
    assert steps > 1
    assert graphed.served[0] == before + 1


@pytest.mark.parametrize("settings", RULES[5:8], ids=str)
def test_a_step_made_too_early_is_taken_back_for_a_full_forward(
    model: Dream, graphed: Graphed, settings: DecodeSettings
) -> None:
    states = list(graphed.denoise(canvas_of(model, range(30, 45)), settings))
    again = states[-1].forwards_full - 1
    assert again and states[-1].forwards == len(states) + again * bool(settings.doubt)


def test_several_holes_are_one_window(model: Dream, graphed: Graphed) -> None:
    canvas = canvas_of(model, range(20, 24), range(30, 36), range(50, 53))
    before = graphed.served[0]
    same_states(graphed.denoise(canvas, EVEN), denoise_cached(model, canvas, EVEN))
    assert graphed.served[0] == before + 1


@pytest.mark.slow
def test_buffers_keep_nothing_of_the_run_before(model: Dream, graphed: Graphed) -> None:
    for seed, length, hole in [
        (1, 127, range(60, 90)),
        (2, 50, range(9, 12)),
        (3, 120, range(70, 110)),
        (4, 64, range(40, 47)),
    ]:
        canvas = canvas_of(model, hole, length=length, seed=seed)
        same_states(graphed.denoise(canvas, EVEN), denoise_cached(model, canvas, EVEN))


def test_a_run_that_was_dropped_leaves_no_trace(model: Dream, graphed: Graphed) -> None:
    canvas = canvas_of(model, range(30, 45))
    dropped = graphed.denoise(canvas, EVEN)
    next(dropped)
    next(dropped)
    dropped.close()
    before = graphed.served[0]
    same_states(graphed.denoise(canvas, EVEN), denoise_cached(model, canvas, EVEN))
    assert graphed.served[0] == before + 1


@pytest.mark.parametrize("settings", RULES[:6], ids=lambda s: f"{s.rule}-{s.steps}")
def test_a_canvas_sent_back_goes_on_alike(
    model: Dream, graphed: Graphed, settings: DecodeSettings
) -> None:
    """What the user types into a running hole."""
    canvas = canvas_of(model, range(30, 45))
    runs: list[Any] = [
        graphed.denoise(canvas, settings),
        denoise_cached(model, canvas, settings),
    ]
    states = [next(run) for run in runs]
    same(*states)
    changed = []
    for state in states:
        tokens_BT = state.tokens_BT.clone()
        tokens_BT[0, 30:33] = torch.tensor([7, 8, 9])
        changed.append(replace(state, tokens_BT=tokens_BT))
    same(*(run.send(state) for run, state in zip(runs, changed, strict=True)))
    assert same_states(*runs) > 0


def test_a_change_outside_the_window_is_seen(model: Dream, graphed: Graphed) -> None:
    canvas = canvas_of(model, range(40, 50))
    runs: list[Any] = [
        graphed.denoise(canvas, EVEN),
        denoise_cached(model, canvas, EVEN),
    ]
    for run in runs:
        state = next(run)
        tokens_BT = state.tokens_BT.clone()
        tokens_BT[0, 2] = 17
        run.send(replace(state, tokens_BT=tokens_BT))
    assert same_states(*runs) > 0


# ---- ahead of the reader


def test_the_next_step_is_asked_for_before_the_last_is_read(
    model: Dream, graphed: Graphed, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    board = graphed.boards[-1]
    send, read = board.outbox.send, board.outbox.read

    def asking(n: int) -> None:
        told.append(f"ask {n}")
        send(n)

    def reading(n: int) -> Tensor:
        told.append(f"read {n}")
        return read(n)

    monkeypatch.setattr(board.outbox, "send", asking)
    monkeypatch.setattr(board.outbox, "read", reading)
    list(graphed.denoise(canvas_of(model, range(30, 34)), EVEN))
    assert told == [
        "ask 0",
        "ask 1",
        "read 0",
        "ask 2",
        "read 1",
        "ask 3",
        "read 2",
        "read 3",
    ]


# ---- what is captured, and what is not


@pytest.mark.slow
def test_nothing_is_captured_once_all_is_warm(model: Dream, graphed: Graphed) -> None:
    before = graphed.graphs.captured, graphed.late_forms
    assert before == (len(SMALL) * len({plan_of(each) for each in RULES}), 0)
    for length in (50, 90, 127, 150):
        for hole in (range(20, 25), range(10, 45)):
            list(graphed.denoise(canvas_of(model, hole, length=length), EVEN))
    assert (graphed.graphs.captured, graphed.late_forms) == before


def test_warming_tells_how_far_it_is(model: Dream) -> None:
    found = Graphed(model, SMALL[:2])
    assert list(found.warm([EVEN, RULES[2], EVEN])) == [(n, 4) for n in (1, 2, 3, 4)]


@pytest.mark.slow
def test_requests_during_warming_are_served(model: Dream) -> None:
    found, canvas = Graphed(model, SMALL), canvas_of(model, range(5, 45))
    wide = Bucket(window=80, capacity=128)  # of two that hold it
    for _ in found.warm([EVEN]):
        same_states(found.denoise(canvas, EVEN), denoise_cached(model, canvas, EVEN))
    assert found.served == [4, 0]
    found.replays.pop((wide, plan_of(EVEN)))
    found.replays.pop((SMALL[0], plan_of(EVEN)))
    same_states(found.denoise(canvas, EVEN), denoise_cached(model, canvas, EVEN))
    assert found.served == [4, 1]


def test_a_bucket_in_use_is_not_captured_under_it(model: Dream) -> None:
    found = Graphed(model, SMALL[-1:])
    list(found.warm([EVEN]))
    canvas = canvas_of(model, range(30, 45))
    running = found.denoise(canvas, EVEN)
    next(running)
    before = found.graphs.captured
    list(found.warm(RULES[2:3]))
    assert found.graphs.captured == before
    running.close()
    list(found.warm(RULES[2:3]))
    assert found.graphs.captured == before + 1


def test_two_runs_at_once_do_not_share_buffers(model: Dream, graphed: Graphed) -> None:
    canvases = [canvas_of(model, range(30, 45), seed=seed) for seed in (5, 6)]
    expected = [[c.tokens_BT.tolist() for c in denoise_cached(model, canvas, EVEN)] for canvas in canvases]  # fmt: skip
    runs = [graphed.denoise(canvas, EVEN) for canvas in canvases]
    turns = [[c.tokens_BT.tolist() for c in pair] for pair in zip(*runs, strict=True)]
    assert [list(run) for run in zip(*turns, strict=True)] == expected


@pytest.mark.parametrize(
    ("holes", "length", "settings"),
    [
        ((range(5, 60),), 90, EVEN),  # wider than any window
        ((range(30, 45),), 192, EVEN),  # no spare slot
        (
            (range(30, 45),),
            90,
            DecodeSettings(schedule="even", temperature=0.7, seed=1),
        ),
        ((range(30, 45),), 90, DecodeSettings(rule="threshold", threshold=0.77)),
        ((range(30, 45),), 90, DecodeSettings(schedule="even", top_k=5)),
    ],
)
def test_what_fits_no_captured_step_is_decoded_all_the_same(
    model: Dream,
    graphed: Graphed,
    holes: tuple[range, ...],
    length: int,
    settings: DecodeSettings,
) -> None:
    canvas, before = canvas_of(model, *holes, length=length), graphed.served[1]
    same_states(
        graphed.denoise(canvas, settings), denoise_cached(model, canvas, settings)
    )
    assert graphed.served[1] == before + 1


def test_the_published_schedule_has_steps_no_graph_would_make() -> None:
    assert not capturable(DecodeSettings())
    assert capturable(DecodeSettings(rule="threshold"))


# ---- sizes


def test_the_smallest_bucket_that_holds_a_run_is_taken(graphed: Graphed) -> None:
    def sizes(window: int, places: int, context: int) -> tuple[int, int] | None:
        found = graphed.fitting(EVEN, window=window, places=places, context=context)
        return found and (found[0].bucket.window, found[0].bucket.capacity)

    assert sizes(48, 15, 127) == (48, 128)
    assert sizes(48, 16, 127) == (80, 128)
    assert sizes(49, 15, 128) == (80, 192)
    assert sizes(81, 15, 100) is None
    assert sizes(48, 15, 192) is None


@pytest.mark.parametrize("context", [300, 1024, 1500, 4096, 32768])
def test_buckets_go_up_to_the_context(context: int) -> None:
    found = buckets(context)
    most = max(size.capacity for size in found)
    assert most >= min(context, CONTEXTS[-1]) + SPARE
    assert all(size.capacity % 64 == 0 for size in found)
    assert len(set(found)) == len(found)
    assert [size.capacity for size in found] == sorted(
        (size.capacity for size in found), reverse=True
    )
    assert {size.window for size in found} == set(WINDOWS)


# ---- on a card


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("settings", RULES[:6], ids=lambda s: f"{s.rule}-{s.steps}")
@pytest.mark.parametrize("scheme", ["none", "int8", "fp8"])
def test_on_a_card_the_graph_gives_what_the_eager_step_gives(
    tmp_path: Path, settings: DecodeSettings, scheme: str
) -> None:
    if scheme == "fp8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this card has no fp8")
    folder = tiny_model_folder(tmp_path)
    model = load(folder, device="cuda", dtype=torch.bfloat16, quantise=scheme)
    captured = Graphed(model, SMALL)
    list(captured.warm([settings]))
    eager = Graphed(model, SMALL)
    for board in eager.boards:  # the same function over the same sizes, not captured
        eager.replays[board.bucket, plan_of(settings)] = partial(board.step, settings)
    for hole in (range(30, 45), range(1, 40)):
        canvas = canvas_of(model, hole)
        canvas = replace(canvas, tokens_BT=canvas.tokens_BT.cuda())
        same_states(captured.denoise(canvas, settings), eager.denoise(canvas, settings))
    assert captured.served == [2, 0]
    assert captured.late_forms == 0


# ---- as infill asks for it


@pytest.mark.parametrize("mode", ["quality", "fast"])
def test_modes_are_among_the_common_plans(mode: str) -> None:
    known = {plan_of(each) for each in common_plans()}
    asked = [InfillSettings(mode=mode), InfillSettings(mode=mode, steps=8)]
    assert {plan_of(each.decoding(masks=20)) for each in asked} <= known
    assert all(capturable(each) for each in common_plans())


@pytest.mark.parametrize("mode", ["quality", "fast"])
def test_infill_gives_the_same_frames_by_captured_steps(
    tmp_path: Path, mode: str
) -> None:
    folder = tiny_model_folder(tmp_path)
    small, tokenizer, profile = load(folder), Tokenizer.load(folder), for_folder(folder)
    captured = Graphed(small, SMALL)
    list(captured.warm(common_plans()))
    parts: list[str | Hole] = ["def f(x):\n    return ", Hole(length=9), "\n"]
    frames = [
        list(
            infill(
                small, tokenizer, profile, parts, InfillSettings(mode=mode), graphed=g
            )
        )
        for g in (None, captured)
    ]
    assert [f.texts for f in frames[0]] == [f.texts for f in frames[1]]
    assert [f.holes for f in frames[0]] == [f.holes for f in frames[1]]
    assert [f.forwards for f in frames[0]] == [f.forwards for f in frames[1]]
    assert captured.served == [1, 0]


def test_captured_steps_belong_to_their_model(model: Dream, graphed: Graphed) -> None:
    canvas = canvas_of(model, range(30, 45))
    with pytest.raises(AssertionError, match="the model they were made with"):
        denoise_graphed(load(EMBEDDED_FOLDER), canvas, EVEN, graphed=graphed)
