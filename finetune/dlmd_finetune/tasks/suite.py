"""One run of the repository's tests, in its copy, with its interpreter, watched by the probe.

A test that neither ends nor can be interrupted costs the run: the whole is killed, and
begun again without it. Must not know functions, holes or models.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlmd_finetune.sandbox import visit
from dlmd_finetune.tasks import tree

PROBE = Path(__file__).with_name("probe.py")
LIMIT_S = 10.0  # for one test
GRACE_S = 10.0  # after which a test that does not listen is taken for hung
OPENING_S = 180.0  # to import and collect
HUNG_TESTS = 5
OUTPUT_MB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the repository's code is run, and how."""

    sandbox: str
    tree: Path
    python: str
    pytest_args: tuple[str, ...]
    work: Path  # ours: the probe, its orders, what it tells
    readable: tuple[str, ...] = ()  # what the interpreter consists of

    def __post_init__(self) -> None:
        assert self.tree.is_absolute() and self.work.is_absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    outcome: str  # passed, failed, skipped
    why: str
    seconds: float
    deeds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the probe is to do; unset, nothing of it."""

    select: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    shuffle: int | None = None
    hash_seed: int = 0
    cover: bool = False
    capture: tuple[tuple[str, str, int], ...] = ()  # key, path, line of functions
    limit_s: float = LIMIT_S
    env: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class Run:
    collected: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # files, and why
    endings: dict[str, Ending] = field(default_factory=dict)
    begun: str | None = None
    done: bool = False
    said: str = ""  # the end of what pytest printed
    seconds: float = 0.0
    lines: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, Any] = field(default_factory=dict)


def run(place: Place, order: Order) -> Run:
    """ValueError when the suite cannot be run at all."""
    hung: dict[str, Ending] = {}
    begun = time.monotonic()
    while True:
        with _kept(place):
            outcome = _once(place, replace(order, without=(*order.without, *hung)))
        if outcome.done:
            outcome.endings |= hung
            outcome.seconds = time.monotonic() - begun
            return outcome
        if outcome.begun is None:
            raise ValueError(_no_start(place, outcome))
        why = outcome.endings.pop(outcome.begun, None)
        hung[outcome.begun] = why or _broke_off(outcome)
        if len(hung) > HUNG_TESTS:
            raise ValueError(
                f"{len(hung)} tests hang or end the whole run, {outcome.begun} the last; "
                "mend or deselect them, then try again"
            )


def _broke_off(run: Run) -> Ending:
    return Ending(outcome="hung", why=run.said or "ended the whole run", seconds=0.0)


def _no_start(place: Place, run: Run) -> str:
    last = [line for line in run.said.splitlines() if line.strip()][-3:]
    said = " ".join(last) or "it said nothing"
    if hiding := sorted(_hiding(place.tree)):
        return (
            f"pytest did not start: {said}; {hiding[0]} in the repository's root hides "
            "what Python and pytest import by that name: give it another name"
        )
    return (
        f"pytest did not get to its tests in {place.python}: {said}; run it there by "
        "hand, or name another interpreter with --python"
    )


def _hiding(root: Path) -> set[str]:
    """Files and packages in the root that are imported in place of what we run on."""
    needed = {*sys.stdlib_module_names, "coverage", "pytest", "pluggy", "dlmd_probe"}
    found = [*root.glob("*.py"), *(p.parent for p in root.glob("*/__init__.py"))]
    return {place.name for place in found if place.stem in needed}


@contextmanager
def _kept(place: Place) -> Iterator[None]:
    """Where the room cannot make the copy read-only, what tests did to it is undone."""
    if place.sandbox != "subprocess":
        yield
        return
    aside = place.work.with_name(place.work.name + "-aside")
    before = tree.copy(place.tree, aside)
    try:
        yield
    finally:
        tree.restore(aside, place.tree, before)
        tree.clear(aside)


# ---- one process ----


def _once(place: Place, order: Order) -> Run:
    place.work.mkdir(parents=True, exist_ok=True)
    files = {name: place.work / f"{name}.json" for name in ("events", "cover", "calls")}
    for path in files.values():
        path.unlink(missing_ok=True)
    files["events"].touch()
    (place.work / "dlmd_probe.py").write_bytes(PROBE.read_bytes())
    _write_job(place, order, files)
    result = Run()
    with visit.visit(
        place.sandbox,
        place.tree,
        [place.python, "-B", "-m", "pytest", *_arguments(place, order)],
        writable=place.work,
        env={
            "PYTHONPATH": str(place.work),
            "PYTHONHASHSEED": str(order.hash_seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DLMD_PROBE": str(place.work / "job.json"),
            **dict(order.env),
        },
        readable=place.readable,
        output_mb=OUTPUT_MB,
    ) as process:
        why = _attend(process, files["events"], order, result)
    result.said = why or visit.text(process)
    if result.done and files["cover"].exists():
        result.lines = json.loads(files["cover"].read_text())
    if result.done and files["calls"].exists():
        result.calls = json.loads(files["calls"].read_text())
    return result


def _write_job(place: Place, order: Order, files: dict[str, Path]) -> None:
    job: dict[str, Any] = {
        "tree": str(place.tree),
        "events": str(files["events"]),
        "coverage": str(place.work / "ours"),
        "select": order.select,
        "without": order.without,
        "shuffle": order.shuffle,
        "limit_s": order.limit_s,
    }
    if order.cover:
        lend_coverage(place.work / "ours")
        job["cover"] = str(files["cover"])
    if order.capture:
        job |= {"calls": str(files["calls"]), "capture": order.capture}
    (place.work / "job.json").write_text(json.dumps(job))


def lend_coverage(folder: Path) -> None:
    """Our own coverage.py and nothing else of ours, for interpreters that have none."""
    import shutil

    import coverage

    ours = Path(coverage.__file__).parent
    if not (folder / "coverage").exists():
        skip = shutil.ignore_patterns("__pycache__", "htmlfiles")
        shutil.copytree(ours, folder / "coverage", ignore=skip)


def _arguments(place: Place, order: Order) -> list[str]:
    """Files rather than single tests: ten thousand names do not fit a command line."""
    chosen: Iterable[str] = order.select or ()
    paths = sorted({test.split("::")[0] for test in chosen})
    plain = ["-p", "dlmd_probe", "-s", "-q", "--tb=short", "--color=no", "--maxfail=0"]
    plain += ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
    return [*plain, *place.pytest_args, *paths]


def _attend(
    process: visit.Visit, events: Path, order: Order, result: Run
) -> str | None:
    """Reads what the probe tells until the process ends; says why when it was killed."""
    quiet_since = time.monotonic()
    with events.open("rb") as file:
        rest = b""
        while True:
            over = process.wait(0.05)
            chunk = file.read()
            if chunk:
                quiet_since = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    _heard(json.loads(line), result)
            if over and not chunk:
                return _why(process)
            patience = OPENING_S if result.begun is None else order.limit_s + GRACE_S
            if time.monotonic() - quiet_since > patience and not over:
                process.kill()
                return f"did not end within {patience:.0f} s"


def _why(process: visit.Visit) -> str | None:
    return f"printed more than {OUTPUT_MB} MB" if process.flooded else None


def _heard(event: dict[str, Any], result: Run) -> None:
    match event:
        case {"collected": tests}:
            result.collected = tests
        case {"broken": path, "why": why}:
            result.broken[path] = why
        case {"begin": test}:
            result.begun = test
        case {"end": test, "outcome": outcome, "why": why, "seconds": seconds}:
            deeds = tuple((verb, what) for verb, what in event["deeds"])
            result.endings[test] = Ending(
                outcome=outcome, why=why, seconds=seconds, deeds=deeds
            )
        case {"done": _}:
            result.done = True
