"""How many candidates a second does a room judge, warm and cold, with all their tests?

    dlmd tune toolz-1.2.0 --dry-run --out mined        # once: which tests judge which function
    .venv/bin/python bench/sandbox.py mined/tasks.json --sandbox bubblewrap

The package is any with its own tests, such as an unpacked source distribution. Candidates
are the mined tasks in turn, filled with code that differs from the original and means the
same, and with a stub: half of them pass everything, half fail. One candidate is one
evaluation of all its target tests. Processor time is told beside the clock's, because on a
machine with other work only the first means something. Minutes; seconds with --candidates 40.
"""

import argparse
import json
import os
import platform
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from dlmd_finetune.sandbox import open_room
from dlmd_finetune.sandbox.crew import Crew
from dlmd_finetune.sandbox.room import Candidate, Room, Score
from dlmd_finetune.tasks.task import Mined, Task, filled, load, text_of


def candidates(mined: Mined, count: int) -> list[Candidate]:
    tasks = [task for task in mined.tasks if task.level == "body"] or list(mined.tasks)
    found = []
    for number in range(count):
        task = tasks[number // 2 % len(tasks)]
        fill = same(mined, task) if number % 2 == 0 else "raise NotImplementedError"
        text = filled(text_of(mined.tree, task.path), task, fill)
        found.append(
            Candidate(
                path=task.path,
                text=text,
                node_ids=task.tests,
                timeout_s=task.timeout_s,
            )
        )
    return found


def same(mined: Mined, task: Task) -> str:
    """The original after a statement without effect, so that it is compiled and swapped."""
    line = text_of(mined.tree, task.path)[: task.start].rpartition("\n")[2]
    return f"pass\n{line}{task.original}"


def cpu_seconds(room: Room) -> float:
    """What the workers and all that they waited for have used so far."""
    assert isinstance(room, Crew)
    kept = [w for slot in room.slots for w in (slot.worker, slot.cold) if w]
    roots = {worker.process.pid for worker in kept}
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                parents[int(entry.name)] = int(words[1])
                used[int(entry.name)] = sum(int(word) for word in words[11:15])
    while more := {p for p, parent in parents.items() if parent in roots} - roots:
        roots |= more
    return sum(used.get(pid, 0) for pid in roots) / os.sysconf("SC_CLK_TCK")


def measure(room: Room, them: list[Candidate], cold: int) -> dict[str, object]:
    room.evaluate(them[:4])
    begun, used = time.perf_counter(), cpu_seconds(room)
    warm = room.evaluate(them)
    warm_s = time.perf_counter() - begun
    warm_cpu_s = cpu_seconds(room) - used
    room.confirm_all(them[:4])
    begun, used = time.perf_counter(), cpu_seconds(room)
    cold_outcomes = [room.confirm(each) for each in them[:cold]]
    alone_s = time.perf_counter() - begun
    cold_cpu_s = cpu_seconds(room) - used
    begun = time.perf_counter()
    room.confirm_all(them[:cold])
    cold_s = time.perf_counter() - begun
    kinds = Counter(
        ("all passed" if not each.failed else "some failed")
        if isinstance(each, Score)
        else type(each).__name__
        for each in warm
    )
    return {
        "candidates": len(them),
        "tests_each": round(sum(len(c.node_ids) for c in them) / len(them), 1),
        "warm_per_s": round(len(them) / warm_s, 1),
        "cold_per_s": round(cold / cold_s, 1),
        "cold_per_s_one_at_a_time": round(cold / alone_s, 1),
        "warm_cpu_ms_each": round(1000 * warm_cpu_s / len(them), 1),
        "cold_cpu_ms_each": round(1000 * cold_cpu_s / cold, 1),
        "outcomes": dict(kinds),
        "cold_differs_from_warm": sum(
            a != b for a, b in zip(warm, cold_outcomes, strict=False)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=Path, help="tasks.json of dlmd tune --dry-run")
    parser.add_argument("--sandbox", default="bubblewrap")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--cold", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    mined = load(given.tasks)
    them = candidates(mined, given.candidates)
    tests = sorted({name for each in them for name in each.node_ids})
    load_before = os.getloadavg()[0]
    begun = time.perf_counter()
    with open_room(
        given.sandbox,
        Path(mined.tree),
        mined.python,
        tests=tests,
        pytest_args=mined.pytest_args,
        workers=given.workers,
    ) as room:
        opening_s = time.perf_counter() - begun
        found = measure(room, them, given.cold)
    about = {
        "sandbox": given.sandbox,
        "package": Path(mined.repo).name,
        "workers": given.workers,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_before": round(load_before, 1),
        "opening_s": round(opening_s, 2),
    }
    print(json.dumps(about | found, indent=1))


if __name__ == "__main__":
    main()
