"""Training canvases: holes cut in text, labels that give the text back, the same batch for the same seed."""

import numpy as np
import pytest
from dlmd_finetune.canvases import (
    NO_LABEL,
    SURPLUS_WEIGHT,
    CanvasMaker,
    Ids,
    body_spans,
    hide,
    line_spans,
)
from dlmd_finetune.corpus import build, open_corpus
from dlmd_finetune.sources import read_sources
from dlmd_finetune.vocabulary import open_vocabulary, train_vocabulary
from hypothesis import given
from hypothesis import strategies as st

SOURCE = "\n".join(
    f"class C{i}:\n    def method(self, value):\n        total = value * {i}\n        if total > {i + 3}:\n            return total\n\n        return self\n"
    for i in range(200)
)
IDS = Ids(mask=3, pad=0, bos=1, eos=2)


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> CanvasMaker:
    root = tmp_path_factory.mktemp("canvases")
    (root / "src").mkdir()
    (root / "src" / "a.py").write_text(SOURCE)
    (root / "src" / "b.py").write_text("# held out\n" + SOURCE)
    build(read_sources([root / "src"]), root / "packed")
    vocabulary = train_vocabulary([SOURCE], 400)
    vocabulary.save(str(root / "tokenizer.json"))
    return CanvasMaker(
        open_corpus(root / "packed"), open_vocabulary(root / "tokenizer.json"), IDS
    )


def filled(tokens: np.ndarray, labels: np.ndarray) -> list[int]:
    truth = np.where(labels == NO_LABEL, tokens, labels)
    return [int(token) for token in truth if token not in (IDS.pad, IDS.bos)]


def test_labels_fill_the_canvas_with_the_source(maker: CanvasMaker) -> None:
    batch = maker.batch(16, 128, False, (0, 1))
    assert (batch.labels_BT != NO_LABEL).any()
    for row in range(16):
        starts = np.flatnonzero(batch.tokens_BT[row] == IDS.bos)
        for first, last in zip(starts, [*starts[1:], 128], strict=True):
            ids = filled(
                batch.tokens_BT[row, first:last], batch.labels_BT[row, first:last]
            )
            text = maker.tokenizer.decode(ids)
            assert text in SOURCE


def test_exactly_the_masks_have_labels_and_weights(maker: CanvasMaker) -> None:
    batch = maker.batch(16, 128, False, (0, 2))
    masked = batch.tokens_BT == IDS.mask
    assert ((batch.labels_BT != NO_LABEL) == masked).all()
    assert ((batch.weights_BT > 0) == masked).all()
    assert not masked[:, 0].any(), "nothing predicts position 0"


def test_left_to_right_rows_hide_nothing(maker: CanvasMaker) -> None:
    batch = maker.batch(4, 128, True, (0, 3))
    assert not (batch.tokens_BT == IDS.mask).any()
    assert (batch.labels_BT[:, 1:] == batch.tokens_BT[:, 1:]).all()


def test_same_seed_same_batch(maker: CanvasMaker) -> None:
    one, two, other = (maker.batch(4, 128, False, (7, step)) for step in (1, 1, 2))
    assert (one.tokens_BT == two.tokens_BT).all()
    assert (one.labels_BT == two.labels_BT).all()
    assert (one.tokens_BT != other.tokens_BT).any()


@given(length=st.integers(0, 60), extra=st.integers(0, 40), seed=st.integers(0, 1000))
def test_surplus_never_outweighs_its_first_label(
    length: int, extra: int, seed: int
) -> None:
    if length + extra == 0:
        return
    masked, weight = hide(length, extra, np.random.default_rng(seed))
    assert masked.any()
    assert len(masked) == len(weight) == length + extra
    assert np.allclose(
        weight[length + 1 :], weight[0 if length else length] * SURPLUS_WEIGHT
    )


def test_line_spans_cover_the_text() -> None:
    text = "a\n\n  b\n"
    assert [text[start:end] for start, end in line_spans(text)] == ["a", "", "  b", ""]


def test_bodies_end_where_the_indentation_does() -> None:
    text = "def f(x):\n    y = x\n\n    return y\n\nz = 1\n"
    assert [text[start:end] for start, end in body_spans(text)] == [
        "    y = x\n\n    return y"
    ]
