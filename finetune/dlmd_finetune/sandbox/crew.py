"""The rooms on this machine: candidates in, outcomes out, by workers in slots.

Each slot has a copy of the tree, in which the changed file lies while its candidate
runs, and one warm worker. What confines a worker is decided elsewhere; what a result is
worth, too.
"""

import queue
import tokenize
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dlmd_finetune.sandbox import prepare, verdict
from dlmd_finetune.sandbox.policy import Change, judge
from dlmd_finetune.sandbox.prepare import Setting
from dlmd_finetune.sandbox.process import Confined, Dead, Worker, start
from dlmd_finetune.sandbox.room import (
    Candidate,
    InfraFault,
    Outcome,
    PolicyFault,
    Score,
)
from dlmd_finetune.sandbox.verdict import Reading

TRIES = 2
GRACE_S = 15.0  # for a worker to clear up after a candidate, before we do without it
STARTING_S = 20.0  # cold, a candidate's time has to hold Python's start and all imports
TOTAL = 2  # times the memory of one process, for all of them together
ENOUGH = 3  # runs of unchanged files, before what they have in common is pytest's own
GUARDED = frozenset({"gc", "sys", "ctypes", "exec", "compile", "code", "open", "os"})


@dataclass(slots=True)
class Slot:
    folder: Path
    worker: Worker | None = None
    tests: tuple[str, ...] = ()
    cold: Worker | None = None  # has imported nothing of the repository
    confined: Confined | None = None


@dataclass(slots=True)
class Crew:
    setting: Setting
    confine: Callable[[Setting, Path], Confined]
    guarded: bool  # the tree cannot be written from inside
    count: int
    pool: ThreadPoolExecutor = field(init=False)
    slots: list[Slot] = field(init=False)
    free: "queue.SimpleQueue[Slot]" = field(default_factory=queue.SimpleQueue)
    collected: frozenset[str] = frozenset()
    errors: tuple[str, ...] = ()
    files: dict[str, bool] = field(default_factory=dict)  # see ahead.py
    tests: tuple[str, ...] = ()
    usual: dict[tuple[bool, tuple[str, ...]], frozenset[str] | None] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.count, thread_name_prefix="dlmd-room")
        self.slots = [Slot(self.setting.folder / f"slot{n}") for n in range(self.count)]
        self.tests = self.setting.tests
        for slot in self.slots:
            self.free.put(slot)

    def open(self) -> None:
        """Starts a worker, so that what is wrong is said now."""
        self.pool.submit(self._open).result()

    def _open(self) -> None:
        with self._slot() as slot:
            try:
                if self.setting.command:
                    self._cold_worker(slot)
                else:
                    self._warm_worker(slot)
            except Dead as error:
                raise ValueError(
                    f"the tests cannot be run in this room: {error}"
                ) from None

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        for slot in self.slots:
            for worker in (slot.worker, slot.cold):
                if worker is not None:
                    worker.let_go()
        self.pool.shutdown(wait=True)
        for slot in self.slots:
            self._dismiss(slot)

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        return list(self.pool.map(partial(self._run, cold=False), candidates))

    def confirm(self, candidate: Candidate) -> Outcome:
        return self.confirm_all([candidate])[0]

    def confirm_all(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        return list(self.pool.map(partial(self._run, cold=True), candidates))

    # ---- one candidate ----

    def _run(self, candidate: Candidate, *, cold: bool) -> Outcome:
        try:
            text, encoding = read_source(self.setting.tree / candidate.path)
            change = judge(text, candidate.text)
            data = candidate.text.encode(encoding)
        except UnicodeEncodeError:
            return PolicyFault("cannot be written in the encoding of its file")
        if isinstance(change, PolicyFault):
            return change
        with self._slot() as slot:
            return self._tried(
                slot, Try(candidate, change, data, cold or bool(self.setting.command))
            )

    def _tried(self, slot: Slot, one: "Try") -> Outcome:
        """Tried again when the worker dies; when it dies again, the original is asked
        whose fault that was."""
        why, deaths = "", 0
        for _ in range(TRIES):
            try:
                reading = self._attempt(slot, one)
            except Lost as error:
                why, deaths = str(error), deaths + 1
                continue
            except Dead as error:
                why = str(error)
                continue
            if isinstance(reading, PolicyFault):
                return reading
            if reading.cold:
                return self._tried(slot, one.as_cold())
            return self._weighed(slot, one, reading)
        if deaths == TRIES and self._normal(slot, one) is not None:
            return PolicyFault(f"its tests ended the worker {TRIES} times: {why}")
        return InfraFault(why)

    def _weighed(self, slot: Slot, one: "Try", reading: Reading) -> Outcome:
        """What its tests replace anyway is no fault of the candidate's."""
        if reading.changed - self._always(one.cold) and one.change.qualname:
            normal = self._normal(slot, one)
            if normal is None:
                return InfraFault("the unchanged file could not be run to compare with")
            if gained := sorted(reading.changed - normal):
                self._dismiss_cold(slot)
                return PolicyFault(f"replaced {', '.join(gained[:3])}")
        return reading.score

    def _always(self, cold: bool) -> frozenset[str]:
        """What every run of unchanged files replaced so far: pytest does, starting cold."""
        known = [names for (c, _), names in list(self.usual.items()) if c == cold]
        seen = [names for names in known if names is not None]
        return frozenset.intersection(*seen) if len(seen) >= ENOUGH else frozenset()

    def _normal(self, slot: Slot, one: "Try") -> frozenset[str] | None:
        key = (one.cold, one.candidate.node_ids)
        if key not in self.usual:
            path = self.setting.tree / one.candidate.path
            plain = Try(one.candidate, Change(), path.read_bytes(), one.cold)
            try:
                reading = self._attempt(slot, plain)
            except Dead:
                return None
            self.usual[key] = (
                reading.changed if isinstance(reading, Reading) else frozenset()
            )
        return self.usual[key]

    def _attempt(self, slot: Slot, one: "Try") -> Reading | PolicyFault:
        worker = (
            self._cold_worker(slot)
            if one.cold
            else self._warm_worker(slot, one.candidate.node_ids)
        )
        file = slot.folder / one.candidate.path
        original = (self.setting.tree / one.candidate.path).read_bytes()
        prepare.replace_file(file, one.data)
        before = None if self.guarded else prepare.state_of(slot.folder)
        memory = self.setting.limits.memory_mb * TOTAL
        try:
            reply = worker.ask(self._request(slot, one), one.seconds + GRACE_S, memory)
        except Dead as error:
            self._dismiss(slot)
            raise Lost(str(error)) from None
        finally:
            if before is not None and prepare.state_of(slot.folder) != before:
                self._dismiss(slot)
                prepare.remove(slot.folder)
            elif file.parent.is_dir():
                prepare.replace_file(file, original)
        asked = one.candidate.node_ids
        if self.setting.command:
            return Reading(listed(reply["junit"], asked), frozenset())
        reading = verdict.read(reply["said"], asked)
        if reply["how"] != "ended" or isinstance(reading, PolicyFault):
            self._dismiss_cold(slot)  # asked again only after nothing strange
        return reading

    def _request(self, slot: Slot, one: "Try") -> dict[str, Any]:
        assert slot.confined is not None
        junit = slot.confined.scratch[0] + "/junit.xml"
        return {
            "path": one.candidate.path,
            "qualname": one.change.qualname,
            "before": one.change.before,
            "start": one.change.after[0],
            "end": one.change.after[1],
            "allowed": sorted(one.change.used & GUARDED),
            "node_ids": one.candidate.node_ids,
            "timeout_s": one.seconds,
            "command": [w.replace("{junit}", junit) for w in self.setting.command],
            "junit": junit,
        }

    # ---- workers ----

    @contextmanager
    def _slot(self) -> Iterator[Slot]:
        slot = self.free.get()
        try:
            yield slot
        finally:
            self.free.put(slot)

    def _warm_worker(self, slot: Slot, node_ids: Sequence[str] = ()) -> Worker:
        """One that has collected these tests, if they can be collected at all."""
        files = {name.split("::")[0] for name in node_ids if name not in self.collected}
        if files - set(self.tests) and self.collected:
            known = {name.split("::")[0] for name in self.collected}
            self.tests = tuple(sorted({*self.tests, *known, *files}))
        alive = slot.worker is not None and slot.worker.process.poll() is None
        if slot.worker is None or not alive or slot.tests != self.tests:
            self._dismiss(slot)
            slot.worker, slot.tests = self._fresh(slot, warm=True), self.tests
        return slot.worker

    def _cold_worker(self, slot: Slot) -> Worker:
        if slot.cold is None or slot.cold.process.poll() is not None:
            self._dismiss_cold(slot)
            slot.cold = self._fresh(slot, warm=False)
        return slot.cold

    def _fresh(self, slot: Slot, *, warm: bool) -> Worker:
        setting = self.setting
        if not slot.folder.exists():
            inner = [p for p in setting.python.places if p.is_relative_to(setting.at)]
            mounts = [path.relative_to(setting.at) for path in inner]
            prepare.copy_tree(setting.tree, slot.folder, mounts)
        slot.confined = confined = self.confine(setting, slot.folder)
        errors = slot.folder.with_suffix(".warm" if warm else ".cold")
        worker = start(confined, setting.python.executable, errors)
        limits = setting.limits
        spec = {
            "warm": warm,
            "command": bool(setting.command),
            "files": {} if warm else self.files,
            "root": str(confined.root),
            "paths": prepare.source_roots(setting, confined.root),
            "tests": self.tests,
            "pytest_args": setting.pytest_args,
            "uids": confined.uids,
            "namespace": confined.namespace,
            "scratch": confined.scratch,
            "keep": confined.keep,
            "processes": limits.processes,
            "memory_mb": limits.memory_mb,
            "file_mb": limits.file_mb,
        }
        try:
            reply = worker.ask(spec, limits.opening_s, limits.memory_mb * TOTAL)
            if not reply["ready"]:
                raise Dead(" ".join(reply["reason"].split() + worker.said().split()))
        except Dead:
            worker.end()
            raise
        if warm:
            self.collected = self.collected | frozenset(reply["items"])
            self.errors = tuple(reply["errors"])
            self.files = self.files | reply["files"]
        return worker

    def _dismiss(self, slot: Slot) -> None:
        if slot.worker is not None:
            slot.worker.end()
            slot.worker = None
        self._dismiss_cold(slot)

    def _dismiss_cold(self, slot: Slot) -> None:
        if slot.cold is not None:
            slot.cold.end()
            slot.cold = None


class Lost(Dead):
    """The worker died while it ran a candidate."""


@dataclass(frozen=True, slots=True)
class Try:
    candidate: Candidate
    change: Change
    data: bytes
    cold: bool

    @property
    def seconds(self) -> float:
        return self.candidate.timeout_s + (STARTING_S if self.cold else 0)

    def as_cold(self) -> "Try":
        return Try(self.candidate, self.change, self.data, True)


def read_source(path: Path) -> tuple[str, str]:
    """Its text with its own line ends, and its encoding."""
    try:
        with path.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
            file.seek(0)
            return file.read().decode(encoding), encoding
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is no Python file that can be changed ({error}); candidates change "
            "files of the prepared copy"
        ) from None


def listed(found: Sequence[tuple[str, bool]] | None, asked: tuple[str, ...]) -> Score:
    """From a JUnit file: passed is what stands there once or more, and never as failed.

    Runners name a test by its class and name, some below the folder that they ran in, so
    `tests/test_a.py::A::test_b` may be told as `tests.test_a.A::test_b` or `test_a.A::test_b`.
    """
    told: dict[str, bool] = {}
    for name, good in found or ():
        told[dotted(name)] = told.get(dotted(name), True) and good
    return verdict.score(asked, {name for name in asked if said_of(name, told)})


def said_of(name: str, told: dict[str, bool]) -> bool:
    head, mark, case = dotted(name).partition("[")
    steps = head.split(".")
    ends = (".".join(steps[n:]) + mark + case for n in range(max(1, len(steps) - 1)))
    return next((told[end] for end in ends if end in told), False)


def dotted(name: str) -> str:
    head, mark, case = name.partition("[")  # in whose parameters anything may stand
    head = head.replace(".py::", ".").replace("::", ".").replace("/", ".")
    return head + mark + case
