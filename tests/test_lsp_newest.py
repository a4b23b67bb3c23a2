"""Which text of a state is new, though neighbouring tokens come as one text."""

import pytest
from dlmd_lsp.show.newest import Pieces, told_apart
from hypothesis import given
from hypothesis import strategies as st


def new(pieces: Pieces, before: Pieces) -> list[str | int]:
    return [piece for piece, fresh, _ in told_apart(pieces, before) if fresh]


@pytest.mark.parametrize(
    ("before", "pieces", "expected"),
    [
        ([4], ["a", 3], ["a"]),
        (["a", 3], ["a + b", 1], [" + b"]),
        (["a", 3, "c"], ["a + b", 1, "c"], [" + b"]),
        (["a", 1, "c"], ["abc"], ["b"]),
        ([2, "x", 2], [1, "yx", 2], ["y"]),
        (["a", 1, "b", 1], ["a", 1, "b", 1], []),
        (["gone", 1, "kept"], ["other", 1, "kept"], ["other"]),
        (["", 2], ["", 2], []),
    ],
)
def test_only_the_new(before: Pieces, pieces: Pieces, expected: list[str]) -> None:
    assert new(pieces, before) == expected


@given(st.lists(st.sampled_from(["a", "b", " ", "(", 1, 2]), max_size=12), st.data())
def test_nothing_is_lost_and_no_more_is_new(
    tokens: Pieces, data: st.DataObject
) -> None:
    def drawn(settled: set[int]) -> Pieces:
        pieces: Pieces = []
        for at, token in enumerate(tokens):
            piece: str | int = str(token) if at in settled else 1
            if pieces and type(pieces[-1]) is type(piece):
                pieces[-1] += piece  # type: ignore[operator]
            else:
                pieces.append(piece)
        return pieces

    places = st.sets(st.integers(0, max(0, len(tokens) - 1)))
    first = data.draw(places)
    then = first | data.draw(places)
    told = told_apart(drawn(then), drawn(first))
    joined = "".join(str(piece) for piece, _, _ in told if isinstance(piece, str))
    assert joined == "".join(p for p in drawn(then) if isinstance(p, str))
    count = sum(len(str(piece)) for piece, fresh, _ in told if fresh)
    assert count == sum(len(str(tokens[n])) for n in then - first if n < len(tokens))
