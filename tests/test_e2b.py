"""The room `e2b`, through E2B's own SDK, against a provider of ours on loopback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune.sandbox import e2b, open_room, shipment
from dlmd_finetune.sandbox.room import InfraFault, Limits, PolicyFault, Room, Score

from tests import room_rig as rig
from tests.fakes.e2b import Provider, provider
from tests.room_rig import HONEST, STUB, candidate

pytestmark = pytest.mark.slow
GOOD = Score(rig.SLUG_TESTS, ())
BAD = Score((), rig.SLUG_TESTS)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = rig.toy(tmp_path)
    (tree / ".env").write_text("TOKEN=hidden-7\n")
    (tree / "notes.txt").write_text("-----BEGIN RSA PRIVATE" + " KEY-----\nhidden-8\n")
    return tree


@pytest.fixture
def rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    machines = tmp_path / "machines"
    machines.mkdir()
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):  # for another user, as there
        folder.chmod(folder.stat().st_mode | 0o011)
    with provider(machines) as told:
        for name, value in told.environment().items():
            monkeypatch.setenv(name, value)
        yield told


@contextmanager
def room(tree: Path, **about: Any) -> Iterator[Room]:
    given = {"shipment": shipment(tree), "pytest_args": rig.ALONE, **about}
    with open_room("e2b", tree, sys.executable, **given) as opened:
        yield opened


def test_create_run_confirm_and_kill(tree: Path, rented: Provider) -> None:
    with room(tree) as opened:
        assert opened.evaluate([candidate(STUB), candidate(HONEST)]) == [BAD, GOOD]
        assert opened.confirm(candidate(HONEST)) == GOOD
        assert isinstance(opened.evaluate([candidate("import os")])[0], PolicyFault)
        assert len(rented.machines) == 1
    assert rented.machines == {}
    created = [
        asked for verb, path, asked in rented.asked if path.endswith("sandboxes")
    ]
    assert created[0]["allow_internet_access"] is False
    assert created[0]["timeout"] == e2b.LIFETIME_S
    sent = b"".join(p.read_bytes() for p in rented.folder.rglob("*") if p.is_file())
    assert b"hidden-7" not in sent and b"hidden-8" not in sent
    assert not list(rented.folder.rglob(".git"))


def test_a_candidate_that_hangs_fails_in_its_time(tree: Path, rented: Provider) -> None:
    body = f"if text == 'X':\n    while True: pass\n{HONEST}"
    with room(tree) as opened:
        slow, good = opened.evaluate([candidate(body, timeout_s=2), candidate(HONEST)])
    assert slow == Score(rig.SLUG_TESTS[:2], rig.SLUG_TESTS[2:]) and good == GOOD


@pytest.mark.parametrize("trouble", ["error", "garbage", "kill"])
def test_trouble_is_tried_again_on_a_new_machine(
    tree: Path, rented: Provider, trouble: str
) -> None:
    rented.on_run = [trouble]
    with room(tree) as opened:
        assert opened.evaluate([candidate(HONEST)]) == [GOOD]
    assert rented.made == 2 and rented.machines == {}


@pytest.mark.parametrize("trouble", ["error", "kill"])
def test_trouble_twice_is_an_infrastructure_fault(
    tree: Path, rented: Provider, trouble: str
) -> None:
    rented.on_run = [trouble, trouble]
    with room(tree) as opened:
        [outcome] = opened.evaluate([candidate(HONEST)])
        assert isinstance(outcome, InfraFault), outcome
        assert opened.evaluate([candidate(HONEST)]) == [GOOD]  # the next batch is fine


REPLACES = "import math\nmath.isclose = lambda *a, **k: True\nreturn 0.0"


@pytest.mark.parametrize("troubles", [["", "error", "error"], [""]])
def test_a_room_that_cannot_run_the_original_accuses_nobody(
    tree: Path,
    rented: Provider,
    monkeypatch: pytest.MonkeyPatch,
    troubles: list[str],
) -> None:
    monkeypatch.setattr(e2b, "judge", rig.lenient)
    replaces = candidate(REPLACES, rig.AREA, rig.AREA_TESTS)
    with room(tree) as opened:
        rented.on_run = list(troubles)
        [outcome] = opened.evaluate([replaces])
    kind = InfraFault if "error" in troubles else PolicyFault
    assert isinstance(outcome, kind), outcome


def test_a_worker_that_does_not_last_is_the_rooms_fault_if_the_original_has_none_either(
    tree: Path, rented: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with room(tree) as opened:
        assert isinstance(opened, e2b.Cloud)
        died = [{"died": "ended without an answer"}]
        monkeypatch.setattr(e2b.Cloud, "_ask", lambda *_: died)
        [outcome] = opened.evaluate([candidate(HONEST)])
        assert isinstance(outcome, InfraFault), outcome
        whole = {(True, rig.SLUG_TESTS): frozenset[str]()}
        monkeypatch.setattr(opened, "usual", whole)
        assert isinstance(opened.evaluate([candidate(HONEST)])[0], PolicyFault)


def test_a_time_out_of_the_provider_is_an_infrastructure_fault(
    tree: Path, rented: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    rented.on_run = ["hang", "hang"]
    monkeypatch.setattr(e2b, "GRACE_S", 0.5)
    with room(tree, limits=Limits(opening_s=0.5)) as opened:
        [outcome] = opened.evaluate([candidate(HONEST, timeout_s=0.5)])
    assert isinstance(outcome, InfraFault) and "imed out" in outcome.reason


def test_a_quota_is_said_when_the_room_is_opened(tree: Path, rented: Provider) -> None:
    rented.quota = "you have reached your limit of 20 sandboxes"
    with (
        pytest.raises(ValueError, match=r"no machine could be rented.*limit of 20"),
        room(tree),
    ):
        pass


def test_a_quota_in_the_middle_is_an_infrastructure_fault(
    tree: Path, rented: Provider
) -> None:
    with room(tree) as opened:
        rented.on_run, rented.quota = ["kill"], "limit reached"
        [outcome] = opened.evaluate([candidate(HONEST)])
    assert isinstance(outcome, InfraFault) and "limit" in outcome.reason


def test_a_wrong_or_missing_key_is_said(
    tree: Path, rented: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_" + "1" * 40)
    with (
        pytest.raises(ValueError, match=r"no machine could be rented.*key"),
        room(tree),
    ):
        pass
    monkeypatch.delenv("E2B_API_KEY")
    with pytest.raises(ValueError, match=r"E2B_API_KEY is not set"), room(tree):
        pass


def test_nothing_is_sent_that_nobody_agreed_to(tree: Path, rented: Provider) -> None:
    with (
        pytest.raises(ValueError, match=r"nobody has agreed.*5 files"),
        open_room("e2b", tree, sys.executable),
    ):
        pass
    seen = shipment(tree)
    (tree / "toy/more.py").write_text("x = 1\n")
    with (
        pytest.raises(ValueError, match=r"ask again"),
        open_room("e2b", tree, sys.executable, shipment=seen),
    ):
        pass
    assert rented.asked == []


def test_a_machine_without_pytest_is_said(tree: Path, rented: Provider) -> None:
    bare = "/usr/bin/python3"
    if not os.path.exists(bare):
        pytest.skip("needs a second Python, without pytest")
    given = {"shipment": shipment(tree)}
    with (
        pytest.raises(ValueError, match=r"no pytest.*template"),
        open_room("e2b", tree, bare, **given),  # type: ignore[arg-type]
    ):
        pass
    assert rented.machines == {}
