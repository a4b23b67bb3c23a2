"""A policy is held where it was on code of others, and those lines are not the verdict's."""

from pathlib import Path

import pytest
import torch
from dlmd.model import adapting
from dlmd_finetune.rl import staying
from dlmd_finetune.rl.general import JUDGED, LEARNT, foreign, masked_rows
from dlmd_finetune.rl.policy import Policy, open_policy
from dlmd_finetune.rl.staying import anchors
from dlmd_finetune.rl.update import Learning, learn

from tests.fakes.tiny import tiny_model_folder
from tests.test_update import LESSONS

pytestmark = pytest.mark.slow  # importing peft takes seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("staying") / "model")


def fresh(folder: Path) -> Policy:
    return open_policy(folder, rank=4, rate=1e-2, context=64)


def test_what_is_learnt_from_is_never_judged_by() -> None:
    judged = {line.file for line in foreign(200, 0, side=JUDGED)}
    learnt = {line.file for line in foreign(200, 0, side=LEARNT)}
    assert judged and learnt and not judged & learnt


def test_a_step_has_its_own_lines_wholly_masked(folder: Path) -> None:
    writer = fresh(folder).writer
    one, same, other = (anchors(writer, (0, step)) for step in (1, 1, 2))
    assert torch.equal(one.tokens_BT, same.tokens_BT) and one.share == 1
    assert one.tokens_BT.shape != other.tokens_BT.shape or not torch.equal(
        one.tokens_BT, other.tokens_BT
    )
    flat, mask = one.tokens_BT.flatten(), writer.profile.mask_id
    assert (flat[one.rows_N + 1] == mask).all()
    assert int((flat == mask).sum()) == len(one.rows_N)
    lines = foreign(2, 0)
    *_, rows_N, labels = masked_rows(writer, lines, 64)
    assert len(rows_N) == len(labels)
    assert writer.tokenizer.decode(labels[:4])[:3] == lines[0].line[:3]


def test_before_anything_is_learnt_it_has_not_moved(folder: Path) -> None:
    policy = fresh(folder)
    near = anchors(policy.writer, (0, 0))
    before_NV = staying.before(policy.trained, near)
    assert float(staying.moved(policy.trained, near, before_NV)) == pytest.approx(
        0, abs=1e-6
    )


def test_with_the_pull_it_learns_and_moves_less_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staying, "LINES", 2)
    moved = []
    for stay in (0.0, 10.0):
        policy = fresh(folder)
        for step in range(5):
            near = anchors(policy.writer, (0, step))
            figures = learn(
                policy.trained, policy.optimiser, LESSONS, Learning(stay=stay), near
            )
        moved.append(figures.moved)
        assert any(half.any() for half in adapting.learning(policy.trained))
    assert 0 < moved[1] < moved[0] / 2
