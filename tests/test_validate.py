"""What deserves trust: judged by a room that runs candidates in this process."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from dlmd_finetune.sandbox.room import (
    Candidate,
    InfraFault,
    Outcome,
    PolicyFault,
    Score,
)
from dlmd_finetune.tasks.inventory import inventory
from dlmd_finetune.tasks.validate import Subject, Verdict, validate

SOURCE = """\
def grade(points):
    if points > 10:
        share = points * 2
        return share
    return points + 1
"""
Check = Callable[[Any], bool]
CHECKS: dict[str, Check] = {
    "t::low": lambda f: f(3) == 4,
    "t::high": lambda f: f(20) == 40,
    "t::border": lambda f: f(10) == 11,
    "t::more": lambda f: f(30) == 60,
    "t::blind": lambda f: bool([f(1)]),
}


class Here:
    """A room for text that we wrote ourselves."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self.checks = checks
        self.seen: list[Candidate] = []

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        self.seen += candidates
        return [self.confirm(each) for each in candidates]

    def confirm(self, candidate: Candidate) -> Outcome:
        passed = tuple(t for t in candidate.node_ids if self.passes(candidate.text, t))
        failed = tuple(t for t in candidate.node_ids if t not in passed)
        return Score(passed, failed)

    def confirm_all(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        return [self.confirm(each) for each in candidates]

    def passes(self, text: str, test: str) -> bool:
        known: dict[str, Any] = {}
        try:
            exec(text, known)
            return self.checks[test](known["grade"])
        except Exception:
            return False


def subject(
    *tests: str, audit: str | None = None, lines: frozenset[int] | None = None
) -> Subject:
    [function] = inventory("m.py", SOURCE)[0]
    every = lines or frozenset(range(2, 6))
    ran = {"t::low": frozenset({2, 5}), "t::border": frozenset({2, 5})}
    ran |= {"t::high": frozenset({2, 3, 4}), "t::more": frozenset({2, 3, 4})}
    return Subject(
        function=function,
        text=SOURCE,
        lines={test: ran.get(test, every) for test in tests},
        seconds=dict.fromkeys(tests, 0.01),
        audit=audit,
        returned=("int",),
    )


def judged(found: Subject, checks: dict[str, Check] | None = None) -> Verdict:
    [verdict] = validate(Here(CHECKS if checks is None else checks), [found], 0)
    return verdict


def test_a_tested_function_gives_tasks_at_three_levels() -> None:
    verdict = judged(subject("t::low", "t::high", "t::border", "t::more"))
    assert verdict.reason is None
    assert verdict.killed is not None and verdict.killed > 0.8
    levels = [valid.hole.level for valid in verdict.valid]
    assert levels[0] == "body" and {*levels} == {"body", "block", "statement"}
    for valid in verdict.valid:
        assert valid.tests and valid.held_back
        assert not {*valid.tests} & {*valid.held_back}
        assert valid.weight == 1.0 and valid.timeout_s == 5.0


def test_one_of_four_tests_is_held_back_from_every_hole() -> None:
    verdict = judged(subject("t::low", "t::high", "t::border", "t::more"))
    [held] = verdict.valid[0].held_back
    assert all(held not in valid.tests for valid in verdict.valid)


def test_the_tests_of_a_hole_are_those_that_see_it() -> None:
    verdict = judged(subject("t::low", "t::high", "t::border", "t::more"))
    [block] = [v for v in verdict.valid if v.hole.level == "block"]
    assert {*block.tests, *block.held_back} == {"t::high", "t::more"}


def test_a_test_that_only_wants_no_exception_judges_nothing() -> None:
    verdict = judged(subject("t::low", "t::high", "t::blind"))
    assert all("t::blind" not in (*v.tests, *v.held_back) for v in verdict.valid)


def test_a_function_whose_tests_pass_on_a_stub_is_left_out() -> None:
    verdict = judged(subject("t::blind"))
    assert verdict.reason == "its tests pass on the stub `pass`" and not verdict.valid


def test_one_test_without_an_audit_is_too_little() -> None:
    verdict = judged(subject("t::high", lines=frozenset({2, 3, 4})))
    assert verdict.reason == "has one test, and its calls cannot be replayed"


def test_the_audit_stands_in_for_what_cannot_be_held_back() -> None:
    checks = CHECKS | {
        "test_dlmd_audit.py::audit": lambda f: [f(n) for n in (1, 11)] == [2, 22]
    }
    verdict = judged(
        subject("t::low", "t::high", audit="test_dlmd_audit.py::audit"), checks
    )
    assert verdict.valid[0].tests == ("t::high", "t::low")
    assert verdict.valid[0].held_back == ("test_dlmd_audit.py::audit",)


def test_an_audit_does_not_make_weak_tests_better() -> None:
    checks = CHECKS | {"test_dlmd_audit.py::audit": lambda f: f(11) == 22}
    verdict = judged(subject("t::blind", audit="test_dlmd_audit.py::audit"), checks)
    assert verdict.reason == "its tests pass on the stub `pass`"


def test_an_audit_that_lets_stubs_pass_audits_nothing() -> None:
    checks = CHECKS | {"test_dlmd_audit.py::audit": lambda f: True}
    verdict = judged(
        subject("t::low", "t::high", audit="test_dlmd_audit.py::audit"), checks
    )
    assert all(
        "test_dlmd_audit.py::audit" not in valid.held_back for valid in verdict.valid
    )


def test_tests_that_notice_few_mutants_weigh_less_or_nothing() -> None:
    checks: dict[str, Check] = {
        "t::vague": lambda f: f(20) is not None and f(3) not in (0, None),
        "t::vaguer": lambda f: f(30) not in (0, None) and f(2) not in (0, None),
    }
    verdict = judged(subject("t::vague", "t::vaguer"), checks)
    assert verdict.killed is not None and verdict.killed < 0.5
    if verdict.killed < 0.3:
        assert verdict.reason == "its tests notice fewer than 3 in 10 mutants"
    else:
        assert {valid.weight for valid in verdict.valid} == {0.5}


def test_tests_that_fail_in_the_room_are_named() -> None:
    verdict = judged(subject("t::low"), {"t::low": lambda f: False})
    assert verdict.reason == "the tests fail in the sandbox"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (InfraFault("gone"), "the sandbox could not run it"),
        (PolicyFault("no"), "the tests fail in the sandbox"),
    ],
)
def test_faults_of_the_room_are_no_verdict_on_tests(
    outcome: Outcome, reason: str
) -> None:
    class Broken(Here):
        def confirm(self, candidate: Candidate) -> Outcome:
            return outcome

    [verdict] = validate(Broken({}), [subject("t::low")], 0)
    assert verdict.reason == reason


def test_the_same_seed_tries_the_same() -> None:
    rooms = [Here(CHECKS) for _ in range(2)]
    for room in rooms:
        [*_] = validate(room, [subject("t::low", "t::high")], 0)
    assert rooms[0].seen == rooms[1].seen
