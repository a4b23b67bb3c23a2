"""Two runs side by side, from the files they left."""

import json
from pathlib import Path

import pytest
from dlmd_finetune.evidence.compare import CompareConfig, compare, main
from dlmd_finetune.evidence.ledger import HEADER


def run(path: Path, passed: dict[str, list[bool]], cut: bytes = b"") -> Path:
    rows = [
        {
            "key": f"{task}-{n}",
            "task": task,
            "sample": n,
            "kind": "passed" if ok else "failed",
            "text": "",
        }
        for task, samples in passed.items()
        for n, ok in enumerate(samples)
    ]
    path.write_bytes(
        HEADER + b"".join(json.dumps(r).encode() + b"\n" for r in rows) + cut
    )
    return path


def config(*results: Path, as_json: bool = False) -> CompareConfig:
    return CompareConfig(results=list(results), json=as_json)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    one = {f"Set/{p}/L{n}": [p % 2 == 0] for p in range(20) for n in range(2)}
    two = {task: [True] for task in one} | {"Set/99/L0": [False]}
    return run(tmp_path / "one.jsonl", one), run(
        tmp_path / "two.jsonl", two, b'{"key": '
    )


def test_the_second_minus_the_first_on_shared_tasks(runs: tuple[Path, Path]) -> None:
    found = compare(config(*runs))
    assert found["tasks"] == 40 and found["left_out"] == 1
    assert [rate["value"] for rate in found["pass_at_1"]] == [0.5, 1.0]
    assert found["difference"]["value"] == 0.5 and found["difference"]["low"] > 0.2
    assert (found["better"], found["worse"]) == (20, 0)
    assert compare(config(*runs[::-1]))["difference"]["value"] == -0.5


def test_a_run_against_itself(runs: tuple[Path, Path]) -> None:
    found = compare(config(runs[0], runs[0]))
    assert found["difference"] == {"value": 0, "low": 0, "high": 0}


def test_samples_of_a_task_are_one_score(tmp_path: Path) -> None:
    one = run(tmp_path / "one", {"a": [True, False], "b": [False, False]})
    two = run(tmp_path / "two", {"a": [True, True], "b": [False, False]})
    found = compare(config(one, two))
    assert [rate["value"] for rate in found["pass_at_1"]] == [0.25, 0.5]


def test_text_and_json(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(config(*runs)) == 0
    assert "20 tasks better, 0 worse" in capsys.readouterr().out
    assert main(config(*runs, as_json=True)) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == 40


def test_what_cannot_be_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 files are given; name two"):
        config(runs[0])
    with pytest.raises(ValueError, match="no task in common"):
        compare(config(runs[0], run(tmp_path / "other", {"x": [True]})))
    with pytest.raises(ValueError, match="cannot read"):
        compare(config(runs[0], tmp_path / "gone"))
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(ValueError, match="not a file of evaluation results"):
        compare(config(runs[0], tmp_path / "notes"))


def test_tasks_of_no_common_problem_are_drawn_one_by_one(tmp_path: Path) -> None:
    """Were the set's name their problem, any difference would look certain."""
    passed = {f"HumanEval/{n}": [n % 3 == 0] for n in range(30)}
    better = {f"HumanEval/{n}": [n % 2 == 0] for n in range(30)}
    found = compare(config(run(tmp_path / "a", passed), run(tmp_path / "b", better)))
    assert found["difference"]["low"] < found["difference"]["value"] - 0.05


def test_tasks_are_drawn_by_the_problem_that_a_row_names(tmp_path: Path) -> None:
    one, two = run(tmp_path / "a", {}), run(tmp_path / "b", {})
    for path, hits in ((one, "0101"), (two, "1111")):
        rows = [
            {"key": n, "task": f"m{n}.py:1", "problem": "m", "kind": kind, "text": ""}
            for n, kind in enumerate("failed" if h == "0" else "passed" for h in hits)
        ]
        path.write_bytes(
            path.read_bytes() + b"".join(json.dumps(r).encode() + b"\n" for r in rows)
        )
    found = compare(config(one, two))
    assert found["difference"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["pass_at_1"][1]["low"] < 1  # of one problem, all right


def test_a_damaged_result_is_named(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    path = run(tmp_path / "c", {"x": [True]})
    path.write_bytes(path.read_bytes() + b'{"key": "zz", "task": "y", "text": ""}\n')
    with pytest.raises(ValueError, match=r"result 'zz' in .* has no kind; delete that"):
        compare(config(path, runs[1]))


def test_a_file_of_several_runs_is_no_run(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    twice = tmp_path / "twice"
    second = runs[0].read_bytes()[len(HEADER) :].replace(b'"key": "', b'"key": "2')
    twice.write_bytes(runs[0].read_bytes() + second)
    with pytest.raises(ValueError, match="holds several runs of Set/0/L0"):
        compare(config(twice, runs[1]))
