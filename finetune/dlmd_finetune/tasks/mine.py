"""From a repository to tasks: inventory, coverage, validation, split; one after another.

Everything runs in a copy; the user's tree is only read. Must not know models.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlmd_finetune.sandbox import bubblewrap, open_room
from dlmd_finetune.sandbox.opening import KINDS, command
from dlmd_finetune.tasks import audit, history, interpreter, sources, trust
from dlmd_finetune.tasks import tree as trees
from dlmd_finetune.tasks.folder import alone_in, folder_of
from dlmd_finetune.tasks.funnel import Telling, losses
from dlmd_finetune.tasks.inventory import Function
from dlmd_finetune.tasks.sources import Sources
from dlmd_finetune.tasks.split import Member, Sides, split
from dlmd_finetune.tasks.suite import Place
from dlmd_finetune.tasks.survey import Survey, survey
from dlmd_finetune.tasks.task import SPLITS, Loss, Mined, Stage, Task, save
from dlmd_finetune.tasks.validate import UNWELL, Subject, Valid, Verdict, validate


@dataclass(frozen=True, slots=True, kw_only=True)
class MineConfig:
    repo: Path
    python: str | None = None
    sandbox: str = "bubblewrap"
    trust: bool = False
    functions: int = 400
    out: Path | None = None
    seed: int = 0
    test_command: str | None = None  # judges candidates; pytest still finds their tests


def mine(config: MineConfig) -> Mined:
    """Tells how far it is on stderr; keeps what it found as `tasks.json` in its folder."""
    repo = config.repo.expanduser().resolve()
    if not repo.is_dir():
        raise ValueError(f"{config.repo} is no folder; name that of a repository")
    if config.functions < 1:
        raise ValueError(f"--functions is {config.functions}; expected 1 or more")
    kind = _local(config.sandbox)
    command(config.test_command)
    trust.ensure(repo, kind, config.trust)  # before its interpreter is asked anything
    python = interpreter.find(repo, config.python)
    out = folder_of(repo, config.out)
    begun = time.monotonic()
    with alone_in(out), Telling() as telling:
        telling.say("copying the tree")
        trees.copy(repo, out / "tree")
        facts = history.look(repo)
        found = sources.read(out / "tree", sources.inner_repositories(repo))
        if not found.functions and not found.refused:
            raise ValueError(_nothing(repo, found))
        place = Place(
            sandbox=kind,
            tree=out / "tree",
            python=python.python,
            pytest_args=sources.pytest_args(out / "tree", python),
            work=out / "work",
            readable=_readable(python, repo),
        )
        chosen, over = _drawn(found.functions, config)
        for doing, known in survey(place, chosen, config.seed):
            telling.say(doing)
            surveyed = known
        verdicts = _judged(surveyed, found, config, telling)
        telling.say("splitting")
        valid = [each for verdict in verdicts for each in verdict.valid]
        sides = split(_members(repo, valid, found), config.seed)
        mined = Mined(
            repo=str(repo),
            tree=str(out / "tree"),
            commit=facts.commit,
            python=python.python,
            pytest_args=surveyed.place.pytest_args,
            tasks=tuple(_task(each, found, sides) for each in valid),
            funnel=_funnel(found, over, surveyed, verdicts, sides),
            notes=(
                *_notes(facts, sides),
                *_unheard(config, surveyed, verdicts),
                *found.notes,
            ),
            seconds=round(time.monotonic() - begun, 1),
        )
        save(mined, out / "tasks.json")
    return mined


def _local(kind: str) -> str:
    """Whole suites run on this machine, whoever runs the candidates later."""
    if kind not in KINDS:
        raise ValueError(
            f"there is no sandbox named {kind!r}; expected one of: {', '.join(KINDS)}"
        )
    if kind == "subprocess":
        return kind
    bubblewrap.modes()  # says what is missing, before anything is begun
    return "bubblewrap"


def _nothing(repo: Path, found: Sources) -> str:
    said = f" {found.notes[0]}" if found.notes else ""
    return f"{repo} holds no Python functions outside of its tests.{said}"


def _readable(python: interpreter.Interpreter, repo: Path) -> tuple[str, ...]:
    """The interpreter's folders, but not the user's tree, which an editable install names."""
    inside = [p for p in python.places if repo == Path(p) or repo in Path(p).parents]
    home = str(Path(python.python).parent.parent)
    return tuple(p for p in python.places if p not in inside or p == home or home in p)


def _drawn(
    functions: Sequence[Function], config: MineConfig
) -> tuple[list[Function], int]:
    """At most so many, in the order of the files; and how many were left."""
    if len(functions) <= config.functions:
        return list(functions), 0
    chosen = set(
        random.Random(config.seed).sample(range(len(functions)), config.functions)
    )
    kept = [f for i, f in enumerate(functions) if i in chosen]
    return kept, len(functions) - len(kept)


def _judged(
    surveyed: Survey, found: Sources, config: MineConfig, telling: Telling
) -> list[Verdict]:
    if not surveyed.covered:
        return []
    place = surveyed.place
    audits: dict[str, audit.Audit] = {}
    if config.test_command is None:  # which would not run a test of ours
        telling.say("recording what functions answer")
        functions = [c.function for c in surveyed.covered]
        audits = audit.build(place, functions, surveyed.calls)
    subjects = [
        Subject(
            function=each.function,
            text=found.texts[each.function.path],
            lines=dict(each.lines),
            seconds=surveyed.seconds,
            audit=audits[each.function.id].test if each.function.id in audits else None,
            returned=surveyed.returned.get(each.function.id, ()),
        )
        for each in surveyed.covered
    ]
    tests = sorted(
        {t for s in subjects for t in (*s.lines, *([s.audit] if s.audit else ()))}
    )
    verdicts: list[Verdict] = []
    with open_room(
        place.sandbox,
        place.tree,
        place.python,
        at=config.repo.expanduser().resolve(),
        tests=tests,
        pytest_args=place.pytest_args,
        test_command=config.test_command,
    ) as room:
        for verdict in validate(room, subjects, config.seed):
            verdicts.append(verdict)
            telling.count("trying stubs and mutants", len(verdicts), len(subjects))
    return verdicts


# ---- what comes out ----


def _members(repo: Path, valid: Sequence[Valid], found: Sources) -> list[Member]:
    times: dict[str, list[float] | None] = {}
    members = []
    for each in valid:
        if each.hole is not each.function.body:
            continue
        function = each.function
        if function.path not in times:
            times[function.path] = history.changes(repo, function.path)
        lines = times[function.path] or []
        own = lines[function.opens - 1 : function.last]
        text = found.texts[function.path].splitlines(keepends=True)
        members.append(
            Member(
                key=function.id,
                path=function.path,
                source="".join(text[function.opens - 1 : function.last]),
                changed=max(own, default=None),
            )
        )
    return members


def _task(valid: Valid, found: Sources, sides: Sides) -> Task:
    function, hole = valid.function, valid.hole
    return Task(
        id=f"{function.path}::{function.name}::{hole.level}@{hole.first}-{hole.last}",
        path=function.path,
        function=function.name,
        level=hole.level,
        start=hole.start,
        end=hole.end,
        original=found.texts[function.path][hole.start : hole.end],
        tests=valid.tests,
        held_back=valid.held_back,
        timeout_s=valid.timeout_s,
        weight=valid.weight,
        split=sides.of[function.id],
    )


def _funnel(
    found: Sources,
    over: int,
    surveyed: Survey,
    verdicts: Sequence[Verdict],
    sides: Sides,
) -> tuple[Stage, ...]:
    total = len(found.functions) + len(found.refused)
    unfit = {f"{r.name} {n}": r.reason for n, r in enumerate(found.refused)}
    unfit |= {f"over {n}": "is beyond --functions" for n in range(over)}
    invalid = {v.function.id: v.reason for v in verdicts if v.reason is not None}
    valid = sum(v.reason is None for v in verdicts)
    told = {k: v.split(":")[0] for k, v in surveyed.lost.items()}
    used = len(surveyed.seconds.keys() - surveyed.lost.keys())
    lost = losses(told)
    spare = surveyed.found - used - sum("::" in name for name in told)
    if spare > 0:
        lost += (Loss(reason="not needed: others are more particular", count=spare),)
    stages = [
        Stage(name="found", unit="tests", left=surveyed.found),
        Stage(name="used", unit="tests", left=used, losses=lost),
        Stage(name="found", unit="functions", left=total),
        Stage(
            name="of a size to learn",
            unit="functions",
            left=len(found.functions) - over,
            losses=_nameless(losses(unfit)),
        ),
        Stage(
            name="covered",
            unit="functions",
            left=len(surveyed.covered),
            losses=losses(surveyed.uncovered),
        ),
        Stage(name="valid", unit="functions", left=valid, losses=losses(invalid)),
    ]
    for side in SPLITS:
        count = sum(of == side for of in sides.of.values())
        stages.append(Stage(name=f"in {side}", unit="functions", left=count))
    return tuple(stages)


def _nameless(found: tuple[Loss, ...]) -> tuple[Loss, ...]:
    return tuple(Loss(reason=loss.reason, count=loss.count) for loss in found)


def _unheard(
    config: MineConfig, surveyed: Survey, verdicts: Sequence[Verdict]
) -> Iterator[str]:
    if config.test_command and verdicts and all(v.reason == UNWELL for v in verdicts):
        test = next(iter(surveyed.covered[0].lines))
        yield (
            f"With --test-command {config.test_command!r} nothing passed that pytest "
            f"finds and passes, such as {test}; run it by hand: its XML has to name tests "
            "as pytest's does."
        )


def _notes(facts: history.History, sides: Sides) -> Iterator[str]:
    if facts.refused:
        yield f"git would not answer ({facts.refused}), so the split is by file only."
    elif facts.root is None:
        yield "There is no git history, so the split is by file only."
    elif facts.commit is None:
        yield "Nothing is committed yet, so the split is by file only."
    if facts.dirty:
        yield f"{facts.dirty} files have uncommitted changes; they are taken as they are."
    if sides.clones:
        yield f"{sides.clones} functions are near-clones of others; each stays on their side."
    if sides.note:
        yield sides.note
