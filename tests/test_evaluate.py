"""The ruler: right lines score 100 %, no function 0 %, a killed run goes on.

The tasks are our own small functions in HumanEval-Infilling's format.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from dlmd_finetune import sandbox
from dlmd_finetune.evidence import answers
from dlmd_finetune.evidence.asking import Choices, Subject, exact_match_probe, filled
from dlmd_finetune.evidence.evaluate import EvalConfig, evaluate, main, run
from dlmd_finetune.evidence.formats import read_tasks
from dlmd_finetune.evidence.grade import Bench, grade, result_key
from dlmd_finetune.evidence.ledger import open_ledger
from dlmd_finetune.evidence.summary import summarise, text
from dlmd_finetune.evidence.tasks import Task, counted
from dlmd_finetune.sandbox import bubblewrap
from dlmd_finetune.sandbox.subprocess import Kind, Outcome

from tests.fakes.infilling import sample_rows, write_rows

slow = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "sample.jsonl.gz", sample_rows())


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: cache)
    return cache


def config(data: Path, **settings: Any) -> EvalConfig:
    return EvalConfig(data=data, **{"answers": "canonical", **settings})


def bench(*kinds: Kind) -> Bench:
    """A room that gives these kinds of outcome in turn, the last one for ever."""
    left = list(kinds)

    def room(source: str, *, checks: str, timeout_s: float, memory_mb: int) -> Outcome:
        kind = left.pop(0) if len(left) > 1 else left[0]
        return Outcome(kind=kind, detail=f"told to be {kind}")

    return Bench(room=room, name="fake", timeout_s=1, memory_mb=64, workers=1)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"answers": "gold"}, "--answers is 'gold'"),
        ({"sandbox": "docker"}, "no sandbox named 'docker'"),
        ({"limit": 0}, "--limit is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"seed": -1}, "--seed is -1; expected 0 or more"),
        ({"memory_mb": 1}, "--memory-mb is 1; expected 64 or more"),
        ({"timeout_s": float("nan")}, "--timeout-s is nan; expected seconds above 0"),
        ({"timeout_s": float("inf")}, "--timeout-s is inf; expected seconds above 0"),
        ({"mode": "foo"}, "--mode is 'foo'; expected exact, quality, fast"),
        ({"temperature": -1.0}, "--temperature is -1; expected 0 or above"),
        ({"top_p": 2.0}, "--top-p is 2; expected above 0, at most 1"),
        ({"answers": "model", "dtype": "fp16"}, "--dtype is 'fp16'; expected auto"),
        ({"answers": "model", "model": "/nowhere"}, "no model folder at /nowhere"),
        ({"answers": "model", "model": "dreamon-7b"}, "type `dlmd pull dreamon-7b`"),
    ],
)
def test_bad_settings_are_named_in_one_sentence(
    data: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate(config(data, **settings))


# ---- results ----


@slow
def test_canonical_lines_score_100_and_stand_beside_constants(data: Path) -> None:
    summary = evaluate(config(data))
    assert summary["pass_at_1"]["value"] == 1
    assert summary["exact_match"] == summary["parse_rate"] == 1
    assert summary["tasks"] == 7 and summary["problems"] == 2
    assert list(summary["constants"]) == ["empty line", "pass", "raise"]
    assert all(rate["value"] == 0 for rate in summary["constants"].values())
    assert summary["above_best_constant"]


@slow
def test_stubs_score_0(data: Path) -> None:
    summary = evaluate(config(data, answers="stub"))
    assert summary["pass_at_1"]["value"] == 0
    assert not summary["above_best_constant"]


ENDINGS = {
    "exits": "import os; os._exit(0)",
    "leaves": "raise SystemExit(0)",
    "forks for ever": "import os; [os.fork() for _ in iter(int, 1)]",
    "hangs": "while True: pass",
    "kills its parent": "import os; os.kill(os.getppid(), 9)",
    "writes for ever": "[print('x' * 10**6) for _ in iter(int, 1)]",
}


@slow
@pytest.mark.parametrize("room", sandbox.ROOMS)
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_an_answer_that_ends_badly_costs_only_its_own_score(
    data: Path, ending: str, room: str
) -> None:
    if room == "bubblewrap" and (why := sandbox.strongest()[1]):
        pytest.skip(why)
    bad = read_tasks(data, "infilling")[5]

    def answer(task: Task, samples: Sequence[int]) -> list[answers.Answer]:
        text = f"    {ending}" if task == bad else task.reference
        return [answers.Answer(text=text) for _ in samples]

    own = answers.Answerer(name="ends badly", identity={}, answer=answer)
    found = run(config(data, sandbox=room, timeout_s=5.0), "infilling", own)
    kinds = {row["task"]: row["kind"] for row in found.rows}
    assert len(kinds) == 7
    assert kinds.pop(bad.task_id) in ("failed", "timeout")
    assert set(kinds.values()) == {"passed"}


def test_where_programs_cannot_be_shut_in_it_is_said(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    bubblewrap.modes.cache_clear()
    assert run(config(data, limit=1), "infilling").bench.name == "subprocess"
    told = capsys.readouterr().err
    assert "not shut in, only limited, because" in told
    assert "sudo apt-get install bubblewrap" in told


@slow
def test_figures_are_printed_as_json_or_as_a_table(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(config(data, json=True)) == 0
    assert json.loads(capsys.readouterr().out)["pass_at_1"]["value"] == 1
    assert main(config(data)) == 0
    shown = capsys.readouterr()
    assert re.search(r"^canonical +100\.0 % ", shown.out, re.M)
    assert re.search(r"^empty line +0\.0 % ", shown.out, re.M)
    assert "7 of them answered before" in shown.err


@slow
def test_constants_are_run_once_whoever_is_measured(
    data: Path, own_cache: Path
) -> None:
    evaluate(config(data))
    kept = (own_cache / "eval" / "constants.jsonl").read_bytes()
    evaluate(config(data, answers="stub"))
    assert (own_cache / "eval" / "constants.jsonl").read_bytes() == kept
    assert kept.count(b"\n") == 1 + 3 * 7


@slow
def test_a_model_folder_is_measured_with_its_own_decoder(
    data: Path, tmp_path: Path
) -> None:
    from tests.fakes.tiny import tiny_model_folder

    folder = tiny_model_folder(tmp_path / "tiny")
    settings = {"answers": "model", "model": str(folder), "device": "cpu"}
    summary = evaluate(config(data, limit=3, **settings))
    assert summary["tasks"] == 3 and summary["exact_match"] == 0
    assert summary["mean_tokens"] > 0 and summary["mean_forwards"] > 1
    assert sum(summary["finish"].values()) == 3

    again = evaluate(config(data, limit=3, **settings))
    assert again == summary
    other = tiny_model_folder(tmp_path / "tiny", seed=1)
    fresh = evaluate(config(data, limit=3, **(settings | {"model": str(other)})))
    assert fresh["results"] != summary["results"]


@slow
def test_a_probe_runs_nothing_and_counts_exact_lines(
    data: Path, tmp_path: Path
) -> None:
    from dlmd import profiles
    from dlmd.decode.tokenizer import Tokenizer
    from dlmd.model import load

    from tests.fakes.tiny import tiny_model_folder

    folder = tiny_model_folder(tmp_path / "tiny")
    subject = Subject(
        network=load(folder),
        tokenizer=Tokenizer.load(folder),
        profile=profiles.for_folder(folder),
    )
    tasks = read_tasks(data, "infilling")[:2]
    found = exact_match_probe(subject, tasks)
    assert found["tasks"] == 2 and found["exact"] == 0 and found["mean_forwards"] > 1

    line = counted(tasks[0], filled(subject, tasks[0], Choices(), [0])[0].text)
    told = replace(tasks[0], canonical_solution=f"{line}\n")
    assert exact_match_probe(subject, [told])["exact"] == 1


# ---- kept results ----


@slow
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    rows = sample_rows()
    rows[-1]["test"] += f"\nimport os\nwhile not os.path.exists({str(gate)!r}): pass\n"
    data = write_rows(tmp_path / "gated.jsonl", rows)
    out = tmp_path / "out.jsonl"
    settings = {"out": out, "workers": 1, "timeout_s": 60.0, "sandbox": "subprocess"}
    program = f"""
from pathlib import Path
from dlmd_finetune.evidence.evaluate import EvalConfig, evaluate
evaluate(EvalConfig(data=Path({str(data)!r}), out=Path({str(out)!r}),
                    answers="canonical", workers=1, timeout_s=60.0,
                    sandbox="subprocess"))
"""
    victim = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") == 7)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    kept = out.read_bytes()
    out.write_bytes(kept + b'{"key": "cut o')

    gate.touch()
    summary = evaluate(config(data, **settings))
    assert summary["pass_at_1"]["value"] == 1
    assert out.read_bytes().startswith(kept)
    assert out.read_bytes().count(b"\n") == 1 + 7


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not come true in 60 s"
        os.sched_yield()


def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, data: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no newline at the end")
    with pytest.raises(ValueError, match="not a file of evaluation results"):
        evaluate(config(data, out=notes))
    assert notes.read_text() == "no newline at the end"


def test_a_place_that_cannot_be_written_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot write results to"):
        evaluate(config(data, out=tmp_path / "file" / "out.jsonl"))


def test_a_result_is_found_again_only_under_the_same_conditions(data: Path) -> None:
    one, two = read_tasks(data, "infilling")[:2]
    right, wrong, room = answers.canonical(), answers.stub(), bench("passed")
    slower = replace(room, timeout_s=9)
    keys = {
        result_key(one, right, room),
        result_key(two, right, room),
        result_key(one, wrong, room),
        result_key(one, right, slower),
    }
    assert len(keys) == 4


def test_a_fault_of_the_room_is_tried_again(data: Path, tmp_path: Path) -> None:
    tasks = read_tasks(data, "infilling")[:1]
    with open_ledger(tmp_path / "out.jsonl", wait=False) as ledger:
        room = bench("infrastructure", "passed")
        rows = list(grade(tasks, answers.canonical(), room, ledger))
        assert [row["kind"] for row in rows] == ["passed"]
        assert len(ledger.rows) == 1


def test_a_lasting_fault_of_the_room_is_no_score_and_is_not_kept(
    data: Path, tmp_path: Path
) -> None:
    tasks = read_tasks(data, "infilling")[:3]
    constants = {"pass": [{"task": t.task_id, "kind": "failed"} for t in tasks]}
    with open_ledger(tmp_path / "out.jsonl", wait=False) as ledger:
        room = bench("infrastructure", "infrastructure", "passed")
        rows = list(grade(tasks, answers.canonical(), room, ledger))
        assert len(ledger.rows) == 2
    summary = summarise("canonical", tasks, rows, constants, seed=0)
    assert summary["tasks"] == 2 and summary["not_judged"] == 1
    assert summary["pass_at_1"]["value"] == 1
    assert "NOT JUDGED: 1 tasks" in text(summary)


def test_samples_that_are_alike_run_once_and_each_has_its_row(
    data: Path, tmp_path: Path
) -> None:
    tasks = read_tasks(data, "infilling")[:2]
    ran: list[str] = []

    def room(source: str, **_: object) -> Outcome:
        ran.append(source)
        return Outcome(kind="passed", detail="")

    def answer(task: Task, samples: Sequence[int]) -> list[answers.Answer]:
        return [answers.Answer(text=f"    x = {n % 2}") for n in samples]

    counted_room = replace(bench("passed"), room=room)
    two = answers.Answerer(name="two", identity={}, answer=answer)
    with open_ledger(tmp_path / "out.jsonl", wait=False) as ledger:
        rows = list(grade(tasks, two, counted_room, ledger, 6))
    assert len(ran) == len(set(ran)) == 4
    assert sorted((row["task"], row["sample"]) for row in rows) == sorted(
        (task.task_id, n) for task in tasks for n in range(6)
    )


def test_a_room_that_runs_nothing_measures_nothing(data: Path, tmp_path: Path) -> None:
    tasks = read_tasks(data, "infilling")[:2]
    with open_ledger(tmp_path / "out.jsonl", wait=False) as ledger:
        room = bench("infrastructure")
        rows = list(grade(tasks, answers.canonical(), room, ledger))
    with pytest.raises(ValueError, match="told to be infrastructure"):
        summarise("canonical", tasks, rows, {"pass": rows}, seed=0)


def test_timeouts_are_failures_and_are_counted(data: Path, tmp_path: Path) -> None:
    tasks = read_tasks(data, "infilling")[:2]
    with open_ledger(tmp_path / "out.jsonl", wait=False) as ledger:
        room = bench("timeout", "passed")
        rows = list(grade(tasks, answers.canonical(), room, ledger))
    summary = summarise("canonical", tasks, rows, {"pass": rows}, seed=0)
    assert summary["timeouts"] == 1 and summary["pass_at_1"]["value"] == 0.5
    assert summary["difference"]["value"] == 0 and not summary["above_best_constant"]
