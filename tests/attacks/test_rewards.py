"""Candidates that want the reward without the work: each earns no more than a stub.

Each attack is tried warm and cold with all defences up, and then again with every
defence against it taken away, where it has to succeed: else it would prove nothing.
Where the room itself holds, it is tried a third time with the syntax rules alone gone.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd_finetune.sandbox.crew import Crew
from dlmd_finetune.sandbox.room import Score

from tests import room_rig as rig
from tests.attacks.rewards import ATTACKS, NO_GUARD, SHARED, Attack
from tests.room_rig import STUB, candidate, no_policy, passed

pytestmark = [pytest.mark.slow, rig.needs_bubblewrap]


each = pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rig.toy(tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def room(tree: Path) -> Iterator[Crew]:
    with rig.room(tree) as opened:
        yield opened


def earned(room: Crew, attack: Attack, *, cold: bool) -> int:
    run = room.confirm_all if cold else room.evaluate
    if attack.setup:
        run([candidate(attack.setup)])
    return passed(run([attack.candidate])[0])


def test_a_stub_earns_nothing_and_honest_work_everything(room: Crew) -> None:
    assert room.evaluate([candidate(STUB), candidate(rig.HONEST)]) == [
        Score((), rig.SLUG_TESTS),
        Score(rig.SLUG_TESTS, ()),
    ]
    assert room.confirm(candidate(rig.HONEST)) == Score(rig.SLUG_TESTS, ())


@each
def test_it_earns_no_more_than_a_stub(room: Crew, attack: Attack) -> None:
    assert earned(room, attack, cold=False) == 0
    assert earned(room, attack, cold=True) == 0


@pytest.mark.parametrize(
    "attack", [a for a in ATTACKS if a.room_holds], ids=lambda a: a.name
)
def test_the_room_holds_without_the_syntax_rules(
    room: Crew, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_policy(monkeypatch)
    assert earned(room, attack, cold=False) == 0
    assert earned(room, attack, cold=True) == 0


@each
def test_it_succeeds_without_any_defence(
    tree: Path, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_policy(monkeypatch)
    for defence in attack.defences:
        defence(monkeypatch)
    with rig.room(tree) as weak:
        assert earned(weak, attack, cold=attack.cold) >= len(attack.node_ids) * 0.6


def test_shared_memory_is_cleared_whoever_could_make_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_policy(monkeypatch)
    NO_GUARD(monkeypatch)
    [attack] = [each for each in ATTACKS if each.body == SHARED]
    with rig.room(tree) as weak:
        assert earned(weak, attack, cold=False) == earned(weak, attack, cold=True) == 0


SPECIAL = (
    "return {'A b': 'a-b', 'Hello  big World': 'hello-big-world', 'X': 'x'}.get(text)"
)


def test_a_table_of_the_tested_inputs_fails_the_tests_held_back(room: Crew) -> None:
    """No room can see it: what was never shown has to be kept for the audit."""
    assert passed(room.evaluate([candidate(SPECIAL)])[0]) == len(rig.SLUG_TESTS)
    audit = candidate(SPECIAL, node_ids=(*rig.SLUG_TESTS, *rig.HELD_BACK))
    assert room.evaluate([audit]) == [Score(rig.SLUG_TESTS, rig.HELD_BACK)]
