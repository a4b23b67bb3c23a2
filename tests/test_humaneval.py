"""Tasks of HumanEval-Infilling: read, refused, cut, and put together again."""

from pathlib import Path

import pytest
from dlmd_finetune.evidence.humaneval import (
    answer_line,
    constant_line,
    is_exact,
    program,
    read_tasks,
    sample,
)

from tests.fakes.infilling import PROBLEMS, sample_rows, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "sample.jsonl.gz", sample_rows())


def test_tasks_are_read_plain_and_packed(tmp_path: Path, data: Path) -> None:
    plain = write_rows(tmp_path / "sample.jsonl", sample_rows())
    assert read_tasks(plain) == read_tasks(data)
    assert len(read_tasks(data)) == 7


def test_a_task_knows_its_problem_and_its_line(data: Path) -> None:
    task = read_tasks(data)[1]
    assert task.problem == "SingleLineInfilling/Sample/0"
    assert task.reference == "    for number in numbers:"


def test_the_program_is_the_document_with_its_hole_filled(data: Path) -> None:
    for task in read_tasks(data):
        head, body, _ = PROBLEMS[task.entry_point]
        assert program(task, task.reference) == f"{head}{body}\n"


def test_an_answer_ends_at_its_first_newline() -> None:
    assert answer_line("    a = 1\n    b = 2\n") == "    a = 1"
    assert answer_line("\nx") == ""
    assert answer_line("x\r\ny") == "x\r"


def test_constants_have_the_indentation_of_the_line(data: Path) -> None:
    task = read_tasks(data)[3]
    assert constant_line(task, "pass") == "            pass"
    assert constant_line(task, "raise") == "            raise"
    assert constant_line(task, "empty line") == ""


def test_exact_match_minds_indentation_and_not_blanks_at_the_end(data: Path) -> None:
    task = read_tasks(data)[0]
    assert is_exact(task, "    best = numbers[0]  ")
    assert not is_exact(task, "  best = numbers[0]")


def test_a_sample_depends_on_the_seed_alone_and_keeps_the_order(data: Path) -> None:
    tasks = read_tasks(data)
    drawn = [sample(tasks, 3, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sorted(drawn[0], key=tasks.index) == drawn[0]
    assert sample(tasks, None, 0) == sample(tasks, 99, 0) == tasks


def broken(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.jsonl.gz"
    rows = sample_rows()
    if kind == "truncated":
        write_rows(path, rows)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "binary":
        path.write_bytes(bytes(range(128, 256)))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "humaneval":
        write_rows(path, [{k: v for k, v in rows[0].items() if k != "suffix"}])
    elif kind == "multiline":
        write_rows(path, [rows[0] | {"canonical_solution": "    a\n    b\n"}])
    elif kind == "numbers":
        write_rows(path, [rows[0] | {"test": 3}])
    elif kind == "twice":
        write_rows(path, [rows[0], rows[0]])
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind, words",
    [
        ("missing", "no data at"),
        ("truncated", "cannot read"),
        ("binary", "cannot read"),
        ("folder", "cannot read"),
        ("empty", "holds no tasks"),
        ("humaneval", "line 1 of .* is not a task"),
        ("multiline", "only the single-line set"),
        ("numbers", "a field that is not text"),
        ("twice", "names a task_id twice"),
    ],
)
def test_bad_data_is_named_in_one_sentence(
    tmp_path: Path, kind: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_tasks(broken(kind, tmp_path))
    assert "\n" not in str(caught.value)
