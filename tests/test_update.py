"""One step of learning: what was rewarded becomes likelier, and batches do not matter."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dlmd.model import adapting
from dlmd_finetune.rl.policy import Policy, open_policy
from dlmd_finetune.rl.rollout import Rollout
from dlmd_finetune.rl.update import Learning, Taught, laid, learn, scored
from torch import Tensor

from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.slow  # importing peft takes seconds
BEFORE, AFTER = (257, 40, 41), (42, 43)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("update") / "model")


def lesson(tokens: Sequence[int], advantage: float, number: int = 0) -> Taught:
    rollout = Rollout(
        task="t",
        number=number,
        text="",
        before=BEFORE,
        tokens=tuple(tokens),
        after=AFTER,
    )
    return Taught(rollout=rollout, advantage=advantage, seed=number)


LESSONS = [
    lesson((50, 51, 52), 1.0),
    lesson((60, 61), -1.0, 1),
    lesson((70,), 0.5, 2),
    lesson((50, 51, 52), 1.0, 3),
]


def test_two_holes_that_leave_the_same_file_are_taught_apart() -> None:
    one = lesson((50, 51), 1.0)
    shifted = replace(one.rollout, before=(*BEFORE, 50), tokens=(51, *AFTER), after=())
    other = replace(one, rollout=shifted, advantage=-1.0)
    assert one.rollout.canvas == shifted.canvas
    (rows,) = laid([one, other], Learning(), 0, "cpu")
    assert len(rows.tokens_UT) == 2


def fresh(folder: Path) -> Policy:
    return open_policy(folder, rank=4, rate=1e-2)


def likelihood(policy: Policy, taught: Taught) -> float:
    (rows,) = laid([taught], Learning(), 0, "cpu")
    with torch.no_grad():
        (found,) = scored(policy.trained, rows, Learning())
    return float(found[0].sum())


def gradients(policy: Policy) -> list[Tensor]:
    return [half.grad.clone() for half in adapting.learning(policy.trained)]


def test_what_was_rewarded_becomes_likelier_and_what_was_not_does_not(
    folder: Path,
) -> None:
    policy = fresh(folder)
    before = [likelihood(policy, each) for each in LESSONS[:2]]
    figures = learn(policy.trained, policy.optimiser, LESSONS, Learning())
    for _ in range(5):
        learn(policy.trained, policy.optimiser, LESSONS, Learning())
    after = [likelihood(policy, each) for each in LESSONS[:2]]
    assert after[0] > before[0] and after[1] < before[1]
    assert figures.distance == pytest.approx(0, abs=1e-8)
    assert figures.ratio == pytest.approx(1)
    assert figures.rows == 3  # two of the four are alike


@pytest.mark.parametrize("estimator", ["coupled", "indep", "released"])
def test_every_estimator_changes_the_adapter_and_nothing_else(
    folder: Path, estimator: str
) -> None:
    policy = fresh(folder)
    base = policy.trained.model.embed_tokens.weight.clone()
    how = Learning(estimator=estimator, kl_form="k3", pairs=2)
    learn(policy.trained, policy.optimiser, LESSONS, how)
    assert any(gradient.any() for gradient in gradients(policy))
    assert torch.equal(policy.trained.model.embed_tokens.weight, base)


def test_small_batches_give_the_gradient_of_one_large_one(folder: Path) -> None:
    found = []
    for size in (4096, 8):
        policy = fresh(folder)
        how = Learning(batch_tokens=size, gradient_norm=1e9)
        learn(policy.trained, policy.optimiser, LESSONS, how)
        found.append(gradients(policy))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_recomputing_layers_gives_the_same_gradient(folder: Path) -> None:
    found = []
    for thrifty in (False, True):
        policy = fresh(folder)
        policy.trained.recompute = thrifty
        learn(policy.trained, policy.optimiser, LESSONS, Learning())
        found.append(gradients(policy))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_a_pull_to_the_reference_brings_a_policy_back(folder: Path) -> None:
    policy = fresh(folder)
    for _ in range(5):
        learn(policy.trained, policy.optimiser, LESSONS, Learning())
    idle = [replace(each, advantage=0.0) for each in LESSONS]
    pull = Learning(kl=1.0)
    first = learn(policy.trained, policy.optimiser, idle, pull).distance
    for _ in range(20):
        last = learn(policy.trained, policy.optimiser, idle, pull).distance
    assert 0 < last < first


def test_nothing_to_learn_changes_nothing(folder: Path) -> None:
    policy = fresh(folder)
    before = policy.state()["adapter"]
    assert learn(policy.trained, policy.optimiser, [], Learning()).rows == 0
    empty = [lesson((), 1.0)]
    assert learn(policy.trained, policy.optimiser, empty, Learning()).rows == 0
    after = policy.state()["adapter"]
    assert all(torch.equal(before[name], after[name]) for name in before)
