"""The room `e2b`: a machine rented from E2B, through its own SDK, without a network.

The tree goes there as an archive inside `run_code`, or lies in a template already; then
each batch is one call that drives a worker there. The key is E2B_API_KEY of the
environment. Which files may leave, a person has said before. It must not know tasks or
rewards.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dlmd_finetune.sandbox import prepare, verdict
from dlmd_finetune.sandbox.crew import GUARDED, STARTING_S, listed, read_source
from dlmd_finetune.sandbox.policy import Change, judge
from dlmd_finetune.sandbox.room import (
    Candidate,
    InfraFault,
    Limits,
    Outcome,
    PolicyFault,
)
from dlmd_finetune.sandbox.shipment import Shipment, packed

LIFETIME_S = 900  # renewed with each batch, so that a machine we forgot ends by itself
TRIES = 2
CHUNK = 2**22
GRACE_S = 60.0
SCRIPTS = (*prepare.SCRIPTS, "remote.py")
PLACE = """
import base64, io, json, os, subprocess, sys, tarfile
base = os.path.join(os.path.expanduser("~"), "dlmd-room")
scratch = os.path.join(base, "tmp")
os.makedirs(scratch, exist_ok=True)
"""
APPEND = """
with open(os.path.join(base, {name!r}), {mode!r}) as file:
    file.write(base64.b64decode({data!r}))
"""
UNPACK = """
os.chmod(scratch, 0o1777)
with tarfile.open(os.path.join(base, "all.tar.gz")) as archive:
    archive.extractall(base)
os.chmod(base, 0o755)
found = subprocess.run([{python!r}, "-c", "import sys, pytest; print(sys.executable)"], capture_output=True, text=True)
print(json.dumps(dict(base=base, python=found.stdout.strip(), why=(found.stderr.strip().splitlines() or [""])[-1])))
"""
RUN = """
job = os.path.join(base, "job.json")
with open(job, "rb") as file:
    run = subprocess.run([sys.executable, os.path.join(base, "scripts", "remote.py")], stdin=file, capture_output=True)
print({mark!r})
print(run.stdout.decode())
"""


class Trouble(Exception):
    """The machine or its provider failed; to be tried again on another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    tree: Path
    shipment: Shipment
    template: str | None
    inside: str | None  # where the repository lies in the template; else it is sent
    python: str
    limits: Limits
    tests: tuple[str, ...]
    pytest_args: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    candidate: Candidate
    change: Change
    text: str
    encoding: str


@dataclass(slots=True)
class Cloud:
    rented: Rented
    machine: Any = None
    base: str = ""
    python: str = ""
    usual: dict[tuple[bool, tuple[str, ...]], frozenset[str]] = field(
        default_factory=dict
    )

    def open(self) -> None:
        if not os.environ.get("E2B_API_KEY"):
            raise ValueError(
                "the sandbox `e2b` needs a key, and E2B_API_KEY is not set; type: export "
                "E2B_API_KEY=… with the key of your E2B account"
            )
        try:
            self._rent()
        except Trouble as error:
            self.close()
            raise ValueError(f"no machine could be rented from E2B: {error}") from None

    def close(self) -> None:
        machine, self.machine = self.machine, None
        if machine is not None:
            try:
                machine.kill()
            except Exception as error:  # it ends by itself when its lifetime is over
                print(f"E2B did not confirm the end of {machine.sandbox_id}: {error}")

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        return self._outcomes(candidates, cold=bool(self.rented.command))

    def confirm(self, candidate: Candidate) -> Outcome:
        return self.confirm_all([candidate])[0]

    def confirm_all(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        return self._outcomes(candidates, cold=True)

    # ---- outcomes ----

    def _outcomes(self, them: Sequence[Candidate], *, cold: bool) -> list[Outcome]:
        found: list[Outcome | None] = [None] * len(them)
        jobs: dict[int, Job] = {}
        for number, candidate in enumerate(them):
            job = self._job(candidate)
            if isinstance(job, PolicyFault):
                found[number] = job
            else:
                jobs[number] = job
        for number, outcome in self._run(jobs, cold).items():
            found[number] = outcome
        return [each or InfraFault("was not run") for each in found]

    def _job(self, candidate: Candidate) -> Job | PolicyFault:
        text, encoding = read_source(self.rented.tree / candidate.path)
        change = judge(text, candidate.text)
        if isinstance(change, PolicyFault):
            return change
        try:
            candidate.text.encode(encoding)
        except UnicodeEncodeError:
            return PolicyFault("cannot be written in the encoding of its file")
        return Job(candidate, change, candidate.text, encoding)

    def _run(
        self, jobs: dict[int, Job], cold: bool, tries: int = TRIES
    ) -> dict[int, Outcome]:
        if not jobs:
            return {}
        found: dict[int, Outcome] = {}
        again: dict[int, Job] = {}
        try:
            replies = self._ask(list(jobs.values()), cold)
        except Trouble as error:
            return {number: InfraFault(str(error)) for number in jobs}
        for (number, job), reply in zip(jobs.items(), replies, strict=True):
            outcome = self._read(job, reply, cold, last=tries == 1)
            if outcome is None:
                again[number] = job
            else:
                found[number] = outcome
        return found | self._run(again, True, tries - cold)

    def _read(self, job: Job, reply: Any, cold: bool, last: bool) -> Outcome | None:
        """None when only another cold run can tell. What the room did to the unchanged file
        as well is no fault of the candidate's."""
        asked = job.candidate.node_ids
        if "failed" in reply:
            return InfraFault(f"no worker could be started: {reply['failed']}")
        if "died" in reply:
            if not last:
                return None
            if self._normal(job, cold) is None:
                return InfraFault(f"the worker ended: {reply['died']}")
            return PolicyFault(f"its tests ended the worker: {reply['died']}")
        if self.rented.command:
            return listed(reply["junit"], asked)
        reading = verdict.read(reply["said"], asked)
        if isinstance(reading, PolicyFault):
            return reading
        if reading.cold:
            return None
        if reading.changed:
            normal = self._normal(job, cold)
            if normal is None:
                return InfraFault("the unchanged file could not be run to compare with")
            if gained := sorted(reading.changed - normal):
                return PolicyFault(f"replaced {', '.join(gained[:3])}")
        return reading.score

    def _normal(self, job: Job, cold: bool) -> frozenset[str] | None:
        """What these tests replace with the unchanged file; None when nobody could tell."""
        key = (cold, job.candidate.node_ids)
        if key not in self.usual:
            text, encoding = read_source(self.rented.tree / job.candidate.path)
            plain = Job(job.candidate, Change(), text, encoding)
            try:
                reply = self._ask([plain], cold)[0]
            except Trouble:
                return None
            if "said" not in reply:  # the worker did not start, or did not last
                return None
            reading = verdict.read(reply["said"], job.candidate.node_ids)
            self.usual[key] = (
                frozenset() if isinstance(reading, PolicyFault) else reading.changed
            )
        return self.usual[key]

    # ---- the machine ----

    def _ask(self, jobs: list[Job], cold: bool) -> list[Any]:
        """Tried again on a new machine, since a machine that failed may be half gone."""
        for tries_left in reversed(range(TRIES)):
            try:
                if self.machine is None:
                    self._rent()
                return self._batch(jobs, cold)
            except Trouble:
                self.close()
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    def _batch(self, jobs: list[Job], cold: bool) -> list[Any]:
        limits = self.rented.limits
        each = [limits.opening_s] * len(jobs) if cold else [0.0]
        seconds = sum(job.candidate.timeout_s + GRACE_S / 2 for job in jobs) + sum(each)
        seconds += limits.opening_s + GRACE_S
        call(partial(self.machine.set_timeout, int(LIFETIME_S + seconds)))
        self._send("job.json", json.dumps(self._order(jobs, cold)).encode())
        mark = os.urandom(16).hex()
        said = self._code(RUN.format(mark=mark), seconds)
        lines = [line for line in said.rpartition(mark)[2].splitlines() if line.strip()]
        try:
            replies = [json.loads(line) for line in lines]
        except ValueError:
            raise Trouble("the machine answered in no order") from None
        if len(replies) != len(jobs):
            raise Trouble(f"{len(replies)} answers came for {len(jobs)} candidates")
        return replies

    def _order(self, jobs: list[Job], cold: bool) -> dict[str, Any]:
        rented, scratch = self.rented, f"{self.base}/tmp"
        root = rented.inside or f"{self.base}/tree"
        limits = rented.limits
        roots = [root] + ([f"{root}/src"] if (rented.tree / "src").is_dir() else [])
        return {
            "root": root,
            "python": self.python,
            "opening_s": limits.opening_s,
            "env": prepare.environment(self.python, scratch),
            "spec": {
                "warm": not cold,
                "command": bool(rented.command),
                "root": root,
                "paths": roots,
                "tests": rented.tests,
                "pytest_args": rented.pytest_args,
                "uids": prepare.strangers(),
                "namespace": False,
                "scratch": (scratch,),
                "keep": (),
                "processes": limits.processes,
                "memory_mb": limits.memory_mb,
                "file_mb": limits.file_mb,
            },
            "requests": [self._request(job, cold) for job in jobs],
        }

    def _request(self, job: Job, cold: bool) -> dict[str, Any]:
        junit = f"{self.base}/tmp/junit.xml"
        return {
            "path": job.candidate.path,
            "text": job.text,
            "encoding": job.encoding,
            "qualname": job.change.qualname,
            "before": job.change.before,
            "start": job.change.after[0],
            "end": job.change.after[1],
            "allowed": sorted(job.change.used & GUARDED),
            "node_ids": job.candidate.node_ids,
            "timeout_s": job.candidate.timeout_s + (STARTING_S if cold else 0),
            "command": [w.replace("{junit}", junit) for w in self.rented.command],
            "junit": junit,
        }

    def _rent(self) -> None:
        from e2b_code_interpreter import Sandbox

        self.machine = call(
            partial(
                Sandbox.create,
                self.rented.template,
                timeout=LIFETIME_S,
                allow_internet_access=False,
            )
        )
        self._send("all.tar.gz", self._archive())
        told = json.loads(self._code(UNPACK.format(python=self.rented.python), 300))
        self.base, self.python = told["base"], told["python"]
        if not self.python:
            raise Trouble(
                f"{self.rented.python} there has no pytest ({told['why']}); "
                "name a template with the repository's dependencies"
            )

    def _archive(self) -> bytes:
        """Our scripts, and the tree unless the template has it."""
        ours = {f"scripts/{name}": Path(__file__).with_name(name) for name in SCRIPTS}
        if self.rented.inside is None:
            tree = self.rented.tree
            ours |= {f"tree/{name}": tree / name for name in self.rented.shipment.names}
        return packed(ours)

    def _send(self, name: str, data: bytes) -> None:
        for start in range(0, max(len(data), 1), CHUNK):
            part = base64.b64encode(data[start : start + CHUNK]).decode()
            mode = "ab" if start else "wb"
            self._code(APPEND.format(name=name, mode=mode, data=part), 120)

    def _code(self, code: str, seconds: float) -> str:
        done = call(partial(self.machine.run_code, PLACE + code, timeout=seconds))
        if done.error is not None:
            raise Trouble(f"{done.error.name}: {done.error.value}"[:300])
        return "".join(done.logs.stdout)


def call(function: Any) -> Any:
    """Whatever the SDK or its transport raises is trouble with the provider."""
    try:
        return function()
    except Exception as error:
        raise Trouble(f"{type(error).__name__}: {error}"[:300]) from None
