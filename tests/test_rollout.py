"""Rollouts: what they show the model, where they end, and that seeds say it all."""

from pathlib import Path

import pytest
import torch
from dlmd import profiles
from dlmd.decode import Tokenizer
from dlmd.model import load
from dlmd_finetune.rl.rollout import DRAWN, Draw, Writer, ended, roll, seed_of, settled
from dlmd_finetune.tasks.task import Task

from tests.fakes.tiny import tiny_model_folder
from tests.fakes.toy_tasks import toy_repository

pytestmark = pytest.mark.slow
HOT = Draw(temperature=1.0)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    folder = tiny_model_folder(tmp_path_factory.mktemp("rollout") / "model")
    return Writer(
        network=load(folder),
        tokenizer=Tokenizer.load(folder),
        profile=profiles.for_folder(folder),
        context=128,
    )


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return toy_repository(tmp_path, 3)


def test_it_stands_between_the_text_of_the_file(
    writer: Writer, tasks: list[Task], tmp_path: Path
) -> None:
    decode = writer.tokenizer.decode
    for rollout in roll(writer, tmp_path, tasks[1], HOT, 3, seed=(0,)):
        assert decode(rollout.before[1:]) == "def f1(a):\n    "
        assert decode(rollout.after) == "\n"
        assert rollout.canvas == rollout.before + rollout.tokens + rollout.after
        assert not {*writer.profile.pad_ids, writer.profile.mask_id} & set(
            rollout.tokens
        )
        assert tasks[1].original not in decode(rollout.before + rollout.after)
        assert sorted(rollout.order) == list(range(len(rollout.tokens)))


def test_a_seed_says_it_all(writer: Writer, tasks: list[Task], tmp_path: Path) -> None:
    once, again, other = (
        [r.text for r in roll(writer, tmp_path, tasks[0], HOT, 4, seed=seed)]
        for seed in ((0, 1), (0, 1), (0, 2))
    )
    assert once == again != other


def test_a_rollout_does_not_depend_on_how_many_there_are(
    writer: Writer, tasks: list[Task], tmp_path: Path
) -> None:
    few = roll(writer, tmp_path, tasks[0], HOT, 2, seed=(0,))
    many = roll(writer, tmp_path, tasks[0], HOT, 5, seed=(0,))
    assert [r.text for r in few] == [r.text for r in many[:2]]


def test_half_of_those_that_explore_have_a_length_drawn_by_chance(
    writer: Writer, tasks: list[Task], tmp_path: Path
) -> None:
    curious = Draw(temperature=1.0, explore=True)
    lengths = set()
    for step in range(6):
        found = roll(writer, tmp_path, tasks[0], curious, 4, seed=(step,))
        plain = roll(writer, tmp_path, tasks[0], HOT, 2, seed=(step,))
        assert [r.text for r in found[:2]] == [r.text for r in plain]
        assert [r.number for r in found] == [0, 1, 2, 3]
        assert max(len(r.tokens) for r in found[2:]) <= DRAWN["statement"]
        lengths.add(len(found[2].tokens))
    assert len(lengths) > 2


def test_drawing_leaves_the_global_generator_alone(
    writer: Writer, tasks: list[Task], tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    roll(writer, tmp_path, tasks[0], HOT, 2, seed=(0,))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_differ_by_each_part() -> None:
    parts = [(0, 1, "t"), (0, 2, "t"), (1, 1, "t"), (0, 1, "u"), (0, "1t")]
    seeds = {seed_of(*each) for each in parts}
    assert len(seeds) == len(parts) and all(0 <= seed < 2**63 for seed in seeds)


def test_what_follows_the_end_is_no_part_of_a_fill() -> None:
    assert ended([5, 6, 0, 7], {0}) == 2
    assert ended([5, 6], {0}) == 2


def test_an_order_is_by_certainty_and_of_equals_from_the_left() -> None:
    assert settled([9, 3, 9, 9], [0.1, 0.0, 0.5, 0.5], [], 3) == [2, 3, 0]
    assert settled([9, 4, 9, 9], [0.1, 0.2, 0.5, 0.5], [2, 3, 0], 3) == [1]
