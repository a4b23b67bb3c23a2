"""Tasks: kept and read back the same; a fill goes into its hole, in the file's line ends."""

from pathlib import Path

import pytest
from dlmd_finetune.tasks import task as tasks
from dlmd_finetune.tasks.task import Loss, Mined, Stage, Task

TEXT = "def f(x):\n    y = x\n    return y\n"


def task(text: str = TEXT, original: str = "y = x") -> Task:
    start = text.index(original)
    return Task(
        id="m.py:f:statement:2",
        path="m.py",
        function="f",
        level="statement",
        start=start,
        end=start + len(original),
        original=original,
        tests=("test_m.py::test_f",),
        held_back=(),
        timeout_s=5.0,
        weight=1.0,
        split="train",
    )


def mined(*found: Task) -> Mined:
    loss = Loss(reason="no test runs it", count=2, examples=("m.py:g",))
    return Mined(
        repo="r",
        tree="t",
        commit=None,
        python="/usr/bin/python3",
        pytest_args=("-p", "no:x"),
        tasks=found,
        funnel=(Stage(name="covered", unit="functions", left=1, losses=(loss,)),),
        notes=("One file only.",),
        seconds=1.5,
    )


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    tasks.save(mined(task()), path)
    assert tasks.load(path) == mined(task())
    assert [p.name for p in tmp_path.iterdir()] == ["tasks.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 0}', '{"version": 1}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"holds no tasks .*; mine again with"):
        tasks.load(path)


def test_a_fill_replaces_the_hole_and_nothing_else() -> None:
    assert tasks.filled(TEXT, task(), "y = 2 * x") == TEXT.replace("y = x", "y = 2 * x")


@pytest.mark.parametrize("fill", ["a\n    b", "a\r\n    b"])
def test_a_fill_takes_the_line_ends_of_its_file(fill: str) -> None:
    text = TEXT.replace("\n", "\r\n")
    wanted = text.replace("y = x", "a\r\n    b")
    assert tasks.filled(text, task(text), fill) == wanted


def test_a_file_is_read_as_its_bytes_have_it(tmp_path: Path) -> None:
    data = "\ufeffx = 'ü'\r\ny = 1\n".encode()
    (tmp_path / "m.py").write_bytes(data)
    assert tasks.text_of(tmp_path, "m.py").encode() == data


def test_tasks_are_asked_for_by_side_and_level() -> None:
    found = mined(task())
    assert found.of("train") == found.of("train", "statement") == (task(),)
    assert found.of("test") == found.of("train", "body") == ()
