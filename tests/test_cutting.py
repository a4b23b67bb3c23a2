"""Where holes are cut, and how much of each counts."""

import numpy as np
from dlmd_finetune.cutting import Mix, body_spans, hide, line_spans, plan_holes
from hypothesis import given
from hypothesis import strategies as st


@given(length=st.integers(0, 60), extra=st.integers(0, 40), seed=st.integers(0, 1000))
def test_surplus_never_outweighs_its_first_label(
    length: int, extra: int, seed: int
) -> None:
    if length + extra == 0:
        return
    masked, weight = hide(length, extra, np.random.default_rng(seed), 0.1)
    assert masked.any()
    assert len(masked) == len(weight) == length + extra
    assert np.allclose(weight[length + 1 :], weight[0 if length else length] * 0.1)


def test_line_spans_cover_the_text() -> None:
    text = "a\n\n  b\n"
    assert [text[start:end] for start, end in line_spans(text)] == ["a", "", "  b", ""]


def test_bodies_end_where_the_indentation_does() -> None:
    text = "def f(x):\n    y = x\n\n    return y\n\nz = 1\n"
    assert [text[start:end] for start, end in body_spans(text)] == [
        "    y = x\n\n    return y"
    ]


TEXT = "def f(x):\n    y = x\n    z = y\n    return z\n" * 9


def test_the_mix_decides_what_is_cut() -> None:
    chance = np.random.default_rng(0)
    whole = Mix(bodies=1.0, runs=0.0, dense=0.0)
    for _ in range(20):
        ((start, end),) = plan_holes(TEXT, chance, whole)
        assert TEXT[start:end] == "    y = x\n    z = y\n    return z"
    dense, thin = (
        [len(plan_holes(TEXT, chance, mix)) for _ in range(200)]
        for mix in (Mix(bodies=0, runs=0, dense=1), Mix(bodies=0, runs=0, dense=0))
    )
    # 36 lines, of which four in ten are cut, or eight in a hundred.
    assert 13 < np.mean(dense) < 16 and 2 < np.mean(thin) < 4
