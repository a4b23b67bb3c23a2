"""Which tests can be trusted, and which functions they run: five clean runs of the suite.

The first run covers lines by test. The others run the tests that matter in other orders,
under other hash seeds; one of them keeps the calls that functions get. A test that does
not pass each time is left out, with its reason. Must not know holes or stubs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlmd_finetune.tasks import suite
from dlmd_finetune.tasks.inventory import Function
from dlmd_finetune.tasks.suite import Ending, Order, Place, Run

CLEAN_RUNS = 5
TESTS_OF_A_FUNCTION = 20
COVERED_LEAST = 0.6
SECONDS_OF_A_FUNCTION = 10.0
UNITTEST = ("-o", "python_files=test*.py *_test.py tests.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    function: Function
    lines: Mapping[str, frozenset[int]]  # by test, the most particular first


@dataclass(slots=True, kw_only=True)
class Survey:
    place: Place
    found: int = 0  # tests
    lost: dict[str, str] = field(default_factory=dict)  # by test or file, its reason
    seconds: dict[str, float] = field(default_factory=dict)  # by test
    covered: list[Covered] = field(default_factory=list)
    uncovered: dict[str, str] = field(default_factory=dict)  # by function id
    calls: dict[str, Any] = field(default_factory=dict)
    returned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    output: str = ""


def survey(
    place: Place, functions: Sequence[Function], seed: int
) -> Iterator[tuple[str, Survey]]:
    """What is being done, and what is known so far; the last is the whole."""
    found = Survey(place=place)
    yield "running the tests, with coverage", found
    first = _first_run(found)
    _sort_out(first, found, {function.path for function in functions})
    chosen = _map(first, functions, found)
    used = sorted({test for each in chosen for test in each.lines})
    for number in range(1, CLEAN_RUNS):
        yield f"clean run {number + 1} of {CLEAN_RUNS}: {len(used):,} tests", found
        order = Order(
            select=tuple(used),
            shuffle=seed + number,
            hash_seed=number,
            capture=_places(place, chosen) if number == 1 else (),
        )
        _again(suite.run(found.place, order), used, number, found)
    found.covered = list(_still_covered(chosen, found))
    yield "the tests are known", found


def _first_run(found: Survey) -> Run:
    """ValueError when there is nothing to go on."""
    run = suite.run(found.place, Order(cover=True))
    if not run.collected and not run.broken:
        args = (*found.place.pytest_args, *UNITTEST)
        found.place = Place(
            sandbox=found.place.sandbox,
            tree=found.place.tree,
            python=found.place.python,
            pytest_args=args,
            work=found.place.work,
            readable=found.place.readable,
        )
        run = suite.run(found.place, Order(cover=True))
    if run.broken and not run.collected:
        path, why = next(iter(run.broken.items()))
        raise ValueError(
            f"none of {len(run.broken)} test files can be imported: {path}: {why}; make "
            f"them run in {found.place.python}, or name another interpreter with --python"
        )
    if not run.collected:
        raise ValueError(
            "pytest finds no tests here; tests are what the model learns from: write "
            "some (files test_*.py), or let pytest's own settings (testpaths, addopts) "
            "choose those that are there"
        )
    return run


def _sort_out(run: Run, found: Survey, sources: set[str]) -> None:
    found.found = len(run.collected)
    found.output = run.said
    for path, why in run.broken.items():
        found.lost[path] = f"cannot be imported: {why}"
    for test in run.collected:
        ending = run.endings.get(test)
        if test.split("::")[0] in sources:
            found.lost[test] = "is a doctest in the file that would change"
        elif reason := fault(ending, found.place.sandbox):
            found.lost[test] = reason
    if len(found.lost) >= found.found and found.found:
        reasons = Counter(found.lost.values())
        [(reason, count)] = reasons.most_common(1)
        raise ValueError(
            f"no test can be used: of {found.found}, {count} {_plural(reason, count)}"
            f"{_example(run, found)}; run pytest in {found.place.python} by hand and "
            "mend what it says"
        )


def _plural(reason: str, count: int) -> str:
    first, _, rest = reason.partition(" ")
    word = {"is": "are", "has": "have", "needs": "need"}.get(
        first, first.removesuffix("s")
    )
    return reason if count == 1 else f"{word} {rest}"


def _example(run: Run, found: Survey) -> str:
    for test in found.lost:
        ending = run.endings.get(test)
        if ending and ending.why:
            return f" ({test}: {ending.why})"
    return ""


def fault(ending: Ending | None, sandbox: str) -> str | None:
    """Why a test cannot be used; None when it can."""
    if ending is None:
        return "does not report"
    deeds = {verb for verb, _ in ending.deeds}
    if ending.outcome == "hung":
        flood = "printed" in ending.why
        return "prints without end" if flood else "hangs, or ends the whole run"
    if ending.outcome == "skipped":
        return "is skipped"
    if "clock" in deeds:
        return "changes the clock"
    if deeds & {"removes", "writes"}:
        return "changes files of the repository"
    if "adds" in deeds:
        return "writes into the repository"
    if ending.outcome == "passed":
        reaches = "network" in deeds and sandbox == "subprocess"
        return "needs the network" if reaches else None
    if "Overdue" in ending.why:
        return "runs longer than 10 s"
    if "network" in deeds:
        return "needs the network"
    if "service" in deeds:
        return "needs a service"
    return "fails on the unchanged code"


# ---- lines to functions ----


def _map(run: Run, functions: Sequence[Function], found: Survey) -> list[Covered]:
    names: list[str] = run.lines["tests"]
    by_path: dict[str, list[Function]] = defaultdict(list)
    for function in functions:
        by_path[function.path].append(function)
    hits: dict[str, dict[str, set[int]]] = {}
    for path, members in by_path.items():
        lines = {int(n): t for n, t in run.lines["files"].get(path, {}).items()}
        for function in members:
            hits[function.id] = _hits(function, lines, names)
    breadth = Counter(test for tests in hits.values() for test in tests)
    covered = []
    for function in functions:
        tests = hits[function.id]
        good = [test for test in tests if test not in found.lost]
        ran = {line for test in good for line in tests[test]}
        if reason := _uncovered(function, tests, good, ran, found):
            found.uncovered[function.id] = reason
            continue
        good.sort(key=lambda test: (breadth[test], test))
        kept = {t: frozenset(tests[t]) for t in good[:TESTS_OF_A_FUNCTION]}
        covered.append(Covered(function=function, lines=kept))
    return covered


def _hits(
    function: Function, lines: Mapping[int, list[int]], names: Sequence[str]
) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for line in range(function.body.first, function.body.last + 1):
        for index in lines.get(line, ()):
            if names[index]:  # the empty name is what runs outside of tests
                found[names[index]].add(line)
    return found


def _uncovered(
    function: Function,
    tests: Iterable[str],
    good: Sequence[str],
    ran: set[int],
    found: Survey,
) -> str | None:
    if not good:
        lost = Counter(found.lost[test] for test in tests)
        return f"its test {lost.most_common(1)[0][0]}" if lost else "no test runs it"
    done = sum(any(a <= n <= b for n in ran) for a, b in function.steps)
    if done < COVERED_LEAST * len(function.steps):
        return f"less than {COVERED_LEAST:.0%} of its statements run"
    return None


# ---- again and again ----


def _places(
    place: Place, chosen: Sequence[Covered]
) -> tuple[tuple[str, str, int], ...]:
    return tuple(
        (c.function.id, str(place.tree / c.function.path), c.function.opens)
        for c in chosen
    )


def _again(run: Run, used: Sequence[str], number: int, found: Survey) -> None:
    for test in used:
        ending = run.endings.get(test)
        if ending is None or ending.outcome != "passed":
            found.lost.setdefault(test, "passes only sometimes")
        elif number > 1:  # while calls are kept, everything takes longer
            found.seconds[test] = max(found.seconds.get(test, 0.0), ending.seconds)
    if run.calls:
        found.calls = run.calls["calls"]
        found.returned = {k: tuple(v) for k, v in run.calls["returned"].items()}


def _still_covered(chosen: Sequence[Covered], found: Survey) -> Iterator[Covered]:
    for each in chosen:
        kept: dict[str, frozenset[int]] = {}
        spent = 0.0
        for test, lines in each.lines.items():
            spent += found.seconds.get(test, 0.0)
            if test not in found.lost and (spent <= SECONDS_OF_A_FUNCTION or not kept):
                kept[test] = lines
        if not kept:
            found.uncovered[each.function.id] = "its test passes only sometimes"
        elif spent > SECONDS_OF_A_FUNCTION and len(kept) == 1:
            found.uncovered[each.function.id] = "its tests take more than 10 s"
        else:
            yield Covered(function=each.function, lines=kept)
