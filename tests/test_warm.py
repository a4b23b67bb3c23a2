"""Warm starts on a small real network: what they reuse, and that nothing old stays."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from dlmd.decode import (
    Canvas,
    DecodeSettings,
    Frame,
    Hole,
    InfillSettings,
    Part,
    Tokenizer,
    denoise_cached,
    infill,
)
from dlmd.decode.warm import MOST_EDITED, MOST_KEPT, Pool, Warmth, denoise_warm
from dlmd.model import Dream, load
from dlmd.profiles import for_folder

from tests.fakes.tiny import tiny_model_folder

GOLDEN = Path(__file__).parent / "golden"
MASK = 511
EVEN = DecodeSettings(schedule="even")


@cache
def model() -> Dream:
    return load(GOLDEN / "tiny_dream").requires_grad_(False)


def text(count: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


BEFORE, AFTER = text(90), text(90, seed=1)


def canvas(before: list[int], after: list[int], masks: int = 6) -> Canvas:
    return Canvas(torch.tensor([[*before, *[MASK] * masks, *after]]), mask_id=MASK)


def warm(
    warmth: Warmth, before: list[int], after: list[int], masks: int = 6
) -> list[Canvas]:
    return list(denoise_warm(model(), canvas(before, after, masks), EVEN, warmth))


def cold(before: list[int], after: list[int], masks: int = 6) -> list[Canvas]:
    return list(denoise_cached(model(), canvas(before, after, masks), EVEN))


def counts(state: Canvas) -> tuple[int, int]:
    return state.forwards_full, state.forwards_cached


def test_the_first_run_is_a_cold_one() -> None:
    states = warm(Warmth(), BEFORE, AFTER)
    wanted = cold(BEFORE, AFTER)
    assert tokens(states) == tokens(wanted)
    assert counts(states[0]) == (1, 0)


def tokens(states: list[Canvas]) -> list[list[list[int]]]:
    return [state.tokens_BT.tolist() for state in states]


def test_the_next_shows_one_state_more_and_then_those_of_a_cold_run() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    states = warm(warmth, [*BEFORE, 7], AFTER)
    assert [counts(state) for state in states[:3]] == [(0, 1), (1, 1), (1, 2)]
    assert tokens(states[1:]) == tokens(cold([*BEFORE, 7], AFTER))


def test_a_state_that_would_be_the_last_is_not_shown_before_the_full_forward() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    assert counts(warm(warmth, [*BEFORE, 7], AFTER, masks=1)[0]) == (1, 0)


def test_a_canvas_sent_back_at_the_first_state_is_gone_on_from() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    states = denoise_warm(model(), canvas(BEFORE, AFTER), EVEN, warmth)
    first = next(states)
    typed = first.tokens_BT.clone()
    typed[0, len(BEFORE)] = 7
    states.send(replace(first, tokens_BT=typed))
    assert list(states)[-1].tokens_BT[0, len(BEFORE)] == 7


def test_keys_of_the_same_canvas_give_the_same_first_state() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    again = warm(warmth, BEFORE, AFTER)
    assert again[0].tokens_BT.equal(cold(BEFORE, AFTER)[0].tokens_BT)


def test_moved_keys_are_those_of_where_they_stand() -> None:
    """In one layer keys depend on token and position only: moved ones must be exact."""
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    moved = canvas([*BEFORE, *text(5, seed=2)], AFTER)
    next(denoise_warm(model(), moved, EVEN, warmth))
    carried = warmth.spare
    assert carried is not None
    fresh = model().new_cache(rows=1, capacity=moved.tokens_BT.shape[1])
    model()(moved.tokens_BT, cache=fresh)
    there = slice(0, moved.tokens_BT.shape[1])
    assert torch.allclose(
        carried.keys_LBKSE[0, ..., there, :],
        fresh.keys_LBKSE[0, ..., there, :],
        atol=1e-4,
    )


def test_a_change_in_the_far_suffix_shows_in_the_first_state() -> None:
    changed = [*AFTER[:80], 3, *AFTER[81:]]
    sure = []
    for after in (AFTER, changed):
        warmth = Warmth()
        warm(warmth, BEFORE, AFTER)
        first = next(denoise_warm(model(), canvas(BEFORE, after), EVEN, warmth))
        assert counts(first) == (0, 1)
        assert first.confidence_BT is not None
        sure.append(first.confidence_BT)
    assert not torch.allclose(sure[0], sure[1])


def test_a_large_edit_starts_cold() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    other = text(MOST_EDITED + 1, seed=3)
    states = warm(warmth, [*BEFORE[:-1], *other], AFTER)
    assert counts(states[0]) == (1, 0)


def test_a_window_over_half_the_canvas_starts_cold() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE[:20], AFTER[:20])
    assert counts(warm(warmth, BEFORE[:20], AFTER[:20])[0]) == (1, 0)


def test_a_run_dropped_after_its_warm_step_leaves_the_kept_keys_alone() -> None:
    warmth = Warmth()
    warm(warmth, BEFORE, AFTER)
    kept = warmth.kept
    dropped = denoise_warm(model(), canvas([*BEFORE, 7], AFTER), EVEN, warmth)
    next(dropped)
    dropped.close()
    assert warmth.kept is kept
    states = warm(warmth, [*BEFORE, 7, 8], AFTER)
    assert counts(states[0]) == (0, 1)


def test_no_more_than_two_caches_however_long_the_typing() -> None:
    warmth = Warmth()
    seen = set()
    for typed in range(6):
        warm(warmth, [*BEFORE, *text(typed, seed=4)], AFTER)
        assert warmth.kept is not None
        seen |= {id(warmth.kept.cache), id(warmth.spare)}
    assert len(seen - {id(None)}) <= 3  # two, and the first, outgrown or not


def used(pool: Pool, before: list[int]) -> Warmth:
    warmth = pool.take(canvas(before, AFTER))
    warm(warmth, before, AFTER)
    pool.give_back(warmth)
    return warmth


def test_a_pool_knows_documents_by_their_text_and_forgets_the_oldest() -> None:
    pool = Pool()
    others = [text(300, seed=seed) for seed in range(10, 10 + MOST_KEPT)]
    first = used(pool, others[0])
    assert used(pool, [*others[0], 5]) is first
    for other in others[1:]:
        assert used(pool, other) is not first
    assert used(pool, others[0]) is first
    used(pool, text(300, seed=99))
    assert len(pool.idle) == MOST_KEPT
    assert used(pool, others[1]) is not first


def test_a_warmth_in_use_is_nobody_elses() -> None:
    pool = Pool()
    first = used(pool, BEFORE)
    assert pool.take(canvas(BEFORE, AFTER)) is first
    assert pool.take(canvas(BEFORE, AFTER)) is not first


def test_keys_that_other_weights_computed_do_not_come_back() -> None:
    pool = Pool()
    used(pool, BEFORE)
    old = pool.take(canvas(BEFORE, AFTER))
    pool.clear()  # while a run works with it
    pool.give_back(old)
    assert pool.idle == []
    assert pool.take(canvas(BEFORE, AFTER)) is not old


def test_a_document_that_grows_by_a_key_is_shown_by_kept_keys_first(
    tmp_path: Path,
) -> None:
    folder = tiny_model_folder(tmp_path)
    whole = load(folder), Tokenizer.load(folder), for_folder(folder)
    pool = Pool()
    lines = "value = other + 1\n" * 12

    def asked(typed: str) -> list[Frame]:
        parts: list[Part] = [lines + typed, Hole(length=5), "\n" + lines]
        return list(infill(*whole, parts, InfillSettings(mode="quality"), pool=pool))

    asked("")
    frames = asked("x")
    assert [frame.forwards_full for frame in frames[:2]] == [0, 1]
    assert all(frame.step <= frame.of for frame in frames)
    assert frames[-1].step == frames[-1].of
    assert len(pool.idle) == 1
