"""What counts as the same, and how the load of other processes is made and ended."""

import os

import pytest
from dlmd.bench.agreement import agreement, tokens_per_forward
from dlmd.bench.asked import Timing, typed_on
from dlmd.bench.busy import blocks, loaded
from dlmd.bench.places import Place


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def timing(fill: str, full: int = 1, cached: int = 0, total: float = 10.0) -> Timing:
    return Timing(
        context=10,
        first_ms=1.0,
        total_ms=total,
        steps=full + cached,
        forwards_full=full,
        forwards_cached=cached,
        fill=fill,
    )


def test_tokens_agree_place_by_place() -> None:
    exact = [timing("abcd", 4), timing("xy", 2), timing("", 1)]
    fast = [timing("abcd", 1, 1), timing("xz!", 1, 1, 2.0), timing("", 1, 0, 1.0)]
    told = agreement("fast", fast, exact, letters)
    assert told.same_holes == pytest.approx(2 / 3)
    assert told.same_tokens == pytest.approx(5 / 7)
    assert told.full_forwards == pytest.approx(3 / 7)
    assert told.tokens_per_forward == pytest.approx(7 / 5)
    assert (told.total_ms_p50, told.exact_ms_p50) == (2.0, 10.0)
    shifted = agreement("fast", [timing("abcd")], [timing("!abcd")], letters)
    assert shifted.same_tokens == 0.0
    assert tokens_per_forward([timing("", 0)], letters) == 0.0


def test_a_keystroke_moves_one_character_out_of_the_hole() -> None:
    place = Place(before="a\n", code="return", after="\n", context=3)
    after = typed_on(place)
    assert (after.before, after.code, after.after) == ("a\nr", "eturn", "\n")


def test_every_infill_is_asked_idle_and_busy() -> None:
    for infills in (1, 2, 5, 40):
        asked = {state: [] for state in (False, True)}  # type: dict[bool, list[int]]
        for is_loaded, which in blocks(infills):
            asked[is_loaded] += which
        assert asked[False] == asked[True] == list(range(infills))


@pytest.mark.slow
def test_the_load_is_gone_when_it_is_over() -> None:
    children = f"/proc/self/task/{os.getpid()}/children"
    if not os.path.exists(children):
        pytest.skip("only Linux lists children")

    def count() -> int:
        with open(children) as file:
            return len(file.read().split())

    before = count()
    with pytest.raises(KeyError), loaded(2):
        assert count() == before + 2
        raise KeyError
    assert count() == before
