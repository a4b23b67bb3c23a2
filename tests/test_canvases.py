"""Training canvases: holes cut in text, labels that give the text back, the same batch for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from dlmd_finetune.canvases import (
    NO_LABEL,
    CanvasMaker,
    Ids,
)
from dlmd_finetune.corpus import build, open_corpus
from dlmd_finetune.cutting import Mix
from dlmd_finetune.sources import read_sources
from dlmd_finetune.vocabulary import open_vocabulary, train_vocabulary

SOURCE = "\n".join(
    f"class C{i}:\n    def method(self, value):\n        total = value * {i}\n        if total > {i + 3}:\n            return total\n\n        return self\n"
    for i in range(200)
)
OTHER = SOURCE.replace("total", "amount").replace("value", "price")
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
        open_corpus(root / "packed"),
        open_vocabulary(root / "tokenizer.json"),
        IDS,
        mix=Mix(renamed=0.0),
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


def test_the_middle_stands_last_behind_its_marks(maker: CanvasMaker) -> None:
    other = CanvasMaker(maker.corpus, maker.tokenizer, IDS, mix=Mix(middle_last=True))
    tokens, labels, _ = other.middle_last(400, np.random.default_rng(0))
    assert tokens == labels and tokens[0] == IDS.bos and tokens[-1] == IDS.pad
    hole, end = tokens.index(IDS.mask), tokens.index(IDS.eos)
    before, after, middle = tokens[1:hole], tokens[hole + 1 : end], tokens[end + 1 : -1]
    decode = maker.tokenizer.decode
    assert middle and decode(before) + decode(middle) + decode(after) in SOURCE


def test_names_change_in_as_many_canvases_as_the_mix_says(
    maker: CanvasMaker, tmp_path: Path
) -> None:
    for name, text in (("a", SOURCE), ("b", OTHER), ("c", "# held out\n" + SOURCE)):
        (tmp_path / f"{name}.py").write_text(text)
    build(read_sources([tmp_path]), tmp_path / "packed")
    corpus = open_corpus(tmp_path / "packed")

    def unchanged(mix: Mix) -> int:
        other = CanvasMaker(corpus, maker.tokenizer, IDS, mix=mix)
        drawn = [other.holed(600, np.random.default_rng(n))[:2] for n in range(20)]
        texts = [
            maker.tokenizer.decode(filled(np.array(tokens), np.array(labels)))
            for tokens, labels in drawn
        ]
        return sum(text in SOURCE or text in OTHER for text in texts)

    assert unchanged(Mix(renamed=0.0)) == 20
    assert 0 < unchanged(Mix(renamed=0.5)) < 20
