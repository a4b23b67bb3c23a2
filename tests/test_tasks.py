"""Tasks: read from published files, refused, cut, and put together again."""

from dataclasses import replace
from pathlib import Path

import pytest
from dlmd_finetune.evidence.formats import read_tasks as read
from dlmd_finetune.evidence.tasks import (
    Task,
    constant_text,
    counted,
    is_exact,
    program,
    sample,
    similarity,
)

from tests.fakes.infilling import PROBLEMS, sample_rows, write_rows


def read_tasks(path: Path) -> list[Task]:
    return read(path, "infilling")


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


@pytest.mark.parametrize(
    ("kind", "text", "left"),
    [
        ("line", "    a = 1\n    b = 2\n", "    a = 1"),
        ("line", "\nx", ""),
        ("line", "x\r\ny", "x\r"),
        ("lines", "    a\n    b\n\n", "    a\n    b"),
        ("span", "a\n  ", "a\n  "),
        ("body", "    a\n\n    b\n\ndef g():\n    c\n", "    a\n\n    b"),
        ("body", "    a = [\n]\n    b\nprint(1)", "    a = [\n]\n    b"),
        ("body", "a", "a"),
        ("module", "def f():\n    a\n\n\nb = 1\n", "def f():\n    a\n\n\nb = 1"),
    ],
)
def test_how_much_of_an_answer_counts(
    data: Path, kind: str, text: str, left: str
) -> None:
    assert counted(replace(read_tasks(data)[0], kind=kind), text) == left


def test_constants_have_the_indentation_of_the_line(data: Path) -> None:
    task = read_tasks(data)[3]
    assert constant_text(task, "pass") == "            pass"
    assert constant_text(task, "raise") == "            raise"
    assert constant_text(task, "empty line") == ""


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
    elif kind == "halfline":
        write_rows(path, [rows[0] | {"canonical_solution": "    a"}])
    elif kind == "names":
        write_rows(path, [rows[0] | {"task_id": "HumanEval/0"}])
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
        ("multiline", "cuts out several lines"),
        ("halfline", "cuts out parts of lines"),
        ("names", "expected SingleLine or MultiLine or RandomSpanInfilling"),
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


# ---- other files


def one(path: Path, form: str, row: dict[str, object]) -> Task:
    (task,) = read(write_rows(path / f"{form}.jsonl", [row]), form)
    return task


def holds(task: Task, text: str) -> bool:
    room: dict[str, object] = {}
    try:
        exec(program(task, text), room)
        exec(task.checks, room)
    except Exception:
        return False
    return True


HUMANEVAL = {
    "task_id": "HumanEval/0",
    "entry_point": "double",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return 2 * x\n",
}
MBPP = {
    "task_id": 7,
    "text": "Write a function that doubles.",
    "code": "import math\r\ndef double(x):\r\n    return 2 * x",
    "test_setup_code": "",
    "test_list": ["assert double(2) == 4", "assert double(0) == 0"],
}
CHECKED = {"test": "def check(f):\n    assert f(2) == 4\n"}
INPUTS = {"base_input": [[2]], "plus_input": [[0.1], [-3]], "atol": 1e-6}


@pytest.mark.parametrize("tests", [CHECKED, INPUTS], ids=["test", "inputs"])
def test_a_function_of_humaneval(tmp_path: Path, tests: dict[str, object]) -> None:
    task = one(tmp_path, "humaneval", HUMANEVAL | tests)
    assert task.kind == "body" and task.problem == "HumanEval/0"
    assert holds(task, task.reference)
    assert holds(task, "    return x + x\n\nprint(0)\n")
    assert not holds(task, "    return x * x + 1\n")
    assert not holds(task, constant_text(task, "pass"))


@pytest.mark.parametrize("tests", [{}, INPUTS], ids=["list", "inputs"])
def test_a_function_of_mbpp(tmp_path: Path, tests: dict[str, object]) -> None:
    task = one(tmp_path, "mbpp", MBPP | tests)
    assert (task.kind, task.task_id, task.entry_point) == ("module", "7", "double")
    assert "doubles" in task.prompt and "assert double(2) == 4" in task.prompt
    assert holds(task, task.reference)
    assert not holds(task, "def double(x):\n    return x + 2 if x else 1\n")


def test_a_function_of_mbpp_plus_as_it_is_published(tmp_path: Path) -> None:
    """Without `code`, and with a description that is a docstring already."""
    row = {
        "task_id": "Mbpp/2",
        "prompt": '"""\nDoubles.\nassert double(2) == 4\n"""\n',
        "entry_point": "double",
        "canonical_solution": "\ndef double(x):\n    return 2 * x\n",
    }
    task = one(tmp_path, "mbpp", row | INPUTS)
    assert task.prompt == row["prompt"]
    assert holds(task, task.reference)
    assert not holds(task, "def double(x):\n    return x\n")


def test_a_mark_at_the_beginning_and_brackets_without_end(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "marked.jsonl", [HUMANEVAL | CHECKED])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(path, "humaneval")) == 1
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"line 1 of .* is not JSON"):
        read(path, "humaneval")


@pytest.mark.parametrize(
    ("form", "row", "said"),
    [
        ("humaneval", HUMANEVAL, "neither test nor inputs"),
        ("humaneval", HUMANEVAL | CHECKED | {"suffix": ""}, "eval infilling"),
        ("mbpp", MBPP | {"test_list": ["assert 1"]}, "call no function"),
        ("mbpp", MBPP | {"code": "def ("}, "does not parse"),
        ("mbpp", MBPP | {"text": None}, "expected text or prompt, code or"),
        ("mbpp", MBPP | {"test_list": []}, "has no tests; expected test_list"),
        (
            "mbpp",
            MBPP | {"test_list": 5},
            "the test_list 5; expected a list of asserts",
        ),
        ("mbpp", MBPP | {"test": 5}, "the test 5; expected text"),
        ("mbpp", MBPP | INPUTS | {"atol": "abc"}, "the atol 'abc'; expected a number"),
        ("mbpp", MBPP | {"base_input": 7}, "the base_input 7; expected a list"),
        ("humaneval", {"task_id": "x"}, "is not a task of humaneval"),
    ],
)
def test_what_no_program_could_be_judged_by(
    tmp_path: Path, form: str, row: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        one(tmp_path, form, row)


def test_similarity(data: Path) -> None:
    task = read_tasks(data)[0]
    assert similarity(task, task.reference) == 1
    assert similarity(task, "") == 0
    assert 0.8 < similarity(task, "    best = numbers[1]") < 1
