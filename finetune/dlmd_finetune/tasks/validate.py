"""Which holes deserve trust: the original passes, every stub fails, mutants are noticed.

A hole's tests are those that fail on one of its quiet stubs. Some of them are held back from
the reward, or calls of the original are replayed instead, so that code which only suits
the rewarded tests is found out. Must not know how a room runs them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dlmd_finetune.sandbox.room import Candidate, InfraFault, Outcome, Room, Score
from dlmd_finetune.tasks.audit import audits
from dlmd_finetune.tasks.inventory import Function, Hole
from dlmd_finetune.tasks.stubs import Edit, apply, mutants, stubs

UNWELL = "the tests fail in the sandbox"
BATCH = 8  # functions
BLOCKS, STATEMENTS = 3, 4  # of one function at most
KILLED_LEAST, KILLED_WELL = 0.3, 0.5
HOLD_FROM, HOLD_SHARE = 4, 0.3
LEAST_S = 5.0
PATIENCE_S = 2.0  # with stubs and mutants, of which many never end


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A covered function, before it is known what its tests are worth."""

    function: Function
    text: str  # of its file
    lines: dict[str, frozenset[int]]  # by test: what it runs of the function
    seconds: dict[str, float]  # by test
    audit: str | None  # the test that replays its calls
    returned: tuple[str, ...]  # type names


@dataclass(frozen=True, slots=True, kw_only=True)
class Valid:
    """A hole, its tests and those held back."""

    function: Function
    hole: Hole
    tests: tuple[str, ...]
    held_back: tuple[str, ...]
    timeout_s: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    function: Function
    valid: tuple[Valid, ...]  # the whole body first; none without it
    reason: str | None
    killed: float | None  # of its mutants
    dropped: tuple[str, ...] = ()  # why parts of it are no tasks


@dataclass(frozen=True, slots=True)
class Tried:
    """What stubs showed of one hole."""

    names: dict[str, frozenset[str]]  # by stub: the tests that failed
    reason: str | None

    @property
    def targets(self) -> frozenset[str]:
        """What fails on `raise` alone would reward anything that does not raise."""
        quiet = [failed for name, failed in self.names.items() if name != "raise"]
        return frozenset().union(*(quiet or self.names.values()))


def validate(room: Room, subjects: Sequence[Subject], seed: int) -> Iterator[Verdict]:
    for start in range(0, len(subjects), BATCH):
        batch = subjects[start : start + BATCH]
        bodies = _bodies(room, batch)
        good = [(s, t) for s, t in zip(batch, bodies, strict=True) if t.reason is None]
        rates = dict(zip(_ids(good), _killed(room, good, seed), strict=True))
        parts = _parts(room, good)
        for subject, tried in zip(batch, bodies, strict=True):
            key = subject.function.id
            rate = rates.get(key)
            inside = [each for each in parts if each[0] is subject]
            yield _verdict(subject, tried, rate, [each[1:] for each in inside])


def _ids(good: Iterable[tuple[Subject, Tried]]) -> list[str]:
    return [subject.function.id for subject, _ in good]


# ---- asking the room ----


def _candidate(subject: Subject, edit: Edit | None, tests: Iterable[str]) -> Candidate:
    tests = tuple(tests)
    return Candidate(
        path=subject.function.path,
        text=subject.text if edit is None else apply(subject.text, edit),
        node_ids=tests,
        timeout_s=timeout_s(subject, tests, PATIENCE_S),
    )


def timeout_s(subject: Subject, tests: Iterable[str], least: float = LEAST_S) -> float:
    """Three times what they took, and some patience."""
    return max(least, 3 * sum(subject.seconds.get(test, 0.3) for test in tests))


def _failed(outcome: Outcome, tests: Iterable[str]) -> frozenset[str] | None:
    """None when the room could not tell."""
    if isinstance(outcome, InfraFault):
        return None
    return frozenset(outcome.failed if isinstance(outcome, Score) else tests)


def _all_tests(subject: Subject) -> tuple[str, ...]:
    return (*subject.lines, *([subject.audit] if subject.audit else ()))


def _bodies(room: Room, batch: Sequence[Subject]) -> list[Tried]:
    plans = [
        (s, [None, *stubs(s.text, s.function, s.function.body, s.returned)])
        for s in batch
    ]
    outcomes = iter(
        room.evaluate(
            [_candidate(s, e, _all_tests(s)) for s, edits in plans for e in edits]
        )
    )
    found = []
    for subject, edits in plans:
        tests = _all_tests(subject)
        failed = [_failed(next(outcomes), tests) for _ in edits]
        found.append(_tried(edits, failed, UNWELL, tests))
    return found


def _tried(
    edits: Sequence[Edit | None],
    failed: Sequence[frozenset[str] | None],
    unwell: str,
    tests: Sequence[str],
) -> Tried:
    """The original's failures, if it was asked for, come first under no edit. That an
    audit fails on a stub is no merit of the tests."""
    own = {test for test in tests if not audits(test)}
    names: dict[str, frozenset[str]] = {}
    reason = None
    broken: frozenset[str] = frozenset()
    for edit, fails in zip(edits, failed, strict=True):
        if fails is None:
            reason = reason or "the sandbox could not run it"
        elif edit is None:
            broken = fails
            if not own - fails:
                reason = unwell
        else:
            names[edit.name] = fails - broken
            if not names[edit.name] & own:
                reason = reason or f"its tests pass on the stub `{_short(edit)}`"
    if not names:
        reason = reason or "nothing differs from it"
    return Tried(names, reason)


def _short(edit: Edit) -> str:
    return edit.text if len(edit.text) <= 30 else edit.name


def _killed(
    room: Room, good: Sequence[tuple[Subject, Tried]], seed: int
) -> list[float | None]:
    plans = [(s, t, mutants(s.text, s.function, seed)) for s, t in good]
    outcomes = iter(
        room.evaluate(
            [
                _candidate(s, e, sorted(t.targets))
                for s, t, edits in plans
                for e in edits
            ]
        )
    )
    rates: list[float | None] = []
    for _, tried, edits in plans:
        said = [_failed(next(outcomes), tried.targets) for _ in edits]
        known = [bool(each) for each in said if each is not None]
        rates.append(sum(known) / len(known) if known else None)
    return rates


def _parts(
    room: Room, good: Sequence[tuple[Subject, Tried]]
) -> list[tuple[Subject, Hole, Tried]]:
    plans = []
    for subject, tried in good:
        for hole in chosen_parts(subject.function):
            tests = _touching(subject, hole, tried)
            edits = stubs(subject.text, subject.function, hole, subject.returned)
            plans.append((subject, hole, tests, edits))
    outcomes = iter(
        room.evaluate(
            [
                _candidate(s, e, tests)
                for s, _, tests, edits in plans
                for e in edits
                if tests
            ]
        )
    )
    found = []
    for subject, hole, tests, edits in plans:
        if not tests:
            found.append((subject, hole, Tried({}, "no test runs it")))
            continue
        failed = [_failed(next(outcomes), tests) for _ in edits]
        found.append((subject, hole, _tried(edits, failed, "", tests)))
    return found


def chosen_parts(function: Function) -> list[Hole]:
    """A few blocks and statements, always the same, from all over the function."""
    ranked = sorted(
        function.parts, key=lambda h: _rank(f"{function.id} {h.first} {h.end}")
    )
    blocks = [hole for hole in ranked if hole.level == "block"][:BLOCKS]
    statements = [hole for hole in ranked if hole.level == "statement"][:STATEMENTS]
    return sorted(blocks + statements, key=lambda hole: (hole.start, -hole.end))


def _touching(subject: Subject, hole: Hole, tried: Tried) -> list[str]:
    """Of the function's tests those that run a line of the hole, and the audit."""
    lines = set(range(hole.first, hole.last + 1))
    hit = [t for t, ran in subject.lines.items() if ran & lines and t in tried.targets]
    if hit and subject.audit in tried.targets and subject.audit:
        hit.append(subject.audit)
    return hit


# ---- deciding ----


def _verdict(
    subject: Subject,
    tried: Tried,
    rate: float | None,
    parts: Sequence[tuple[Hole, Tried]],
) -> Verdict:
    function = subject.function
    reason = tried.reason
    if reason is None and rate is not None and rate < KILLED_LEAST:
        reason = "its tests notice fewer than 3 in 10 mutants"
    if reason is None:
        weight = 1.0 if rate is not None and rate >= KILLED_WELL else 0.5
        held = _held(subject, tried.targets)
        whole = _valid(subject, function.body, tried, held, weight)
        if whole is None:
            reason = "has one test, and its calls cannot be replayed"
    if reason is not None:
        return Verdict(function=function, valid=(), reason=reason, killed=rate)
    assert whole is not None
    valid, dropped = [whole], []
    for hole, seen in parts:
        one = _valid(subject, hole, seen, held, weight) if not seen.reason else None
        if one is not None:
            valid.append(one)
        else:
            dropped.append(seen.reason or "nothing is left to audit it by")
    return Verdict(
        function=function,
        valid=tuple(valid),
        reason=None,
        killed=rate,
        dropped=tuple(dropped),
    )


def _held(subject: Subject, targets: frozenset[str]) -> frozenset[str]:
    """The same for all holes of a function, so that none rewards what another audits."""
    ranked = sorted(targets - {subject.audit}, key=lambda t: _rank(str(t)))
    if len(ranked) < HOLD_FROM:
        return frozenset()
    return frozenset(map(str, ranked[: max(1, int(HOLD_SHARE * len(ranked)))]))


def _valid(
    subject: Subject, hole: Hole, tried: Tried, held: frozenset[str], weight: float
) -> Valid | None:
    targets = sorted(t for t in tried.targets if t != subject.audit)
    tests = [t for t in targets if t not in held]
    back = [t for t in targets if t in held]
    if not back and subject.audit in tried.targets and subject.audit is not None:
        back = [subject.audit]
    if not back and len(tests) > 1:
        back = [min(tests, key=_rank)]
        tests.remove(back[0])
    if not tests or not back:
        return None
    return Valid(
        function=subject.function,
        hole=hole,
        tests=tuple(tests),
        held_back=tuple(back),
        timeout_s=round(timeout_s(subject, [*tests, *back]), 1),
        weight=weight,
    )


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
