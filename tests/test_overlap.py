"""What a corpus has in common with evaluation sets: counted per set, long runs left out."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from dlmd_finetune.overlap import RUN, SHORT_RUN, evaluation_set, overlaps, runs, words
from hypothesis import given
from hypothesis import strategies as st

SOLUTION = " ".join(f"name{i}" for i in range(40))


def write(path: Path, *tasks: dict[str, str]) -> Path:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as lines:
        lines.writelines(json.dumps(task) + "\n" for task in tasks)
    return path


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 5))
def test_equal_runs_have_equal_numbers_and_others_differ(
    letters: list[str], length: int
) -> None:
    found = runs(words(" ".join(letters)), length)
    told = [tuple(letters[i : i + length]) for i in range(len(letters) - length + 1)]
    assert len(found) == len(told)
    assert len(np.unique(found)) == len(set(told))


@pytest.mark.parametrize(
    "task",
    [
        {"prompt": "def f():\n", "canonical_solution": SOLUTION},
        {"prompt": "def f():\n", "canonical_solution": "pass", "suffix": SOLUTION},
        {"text": "Write f.", "code": SOLUTION, "test_list": ""},
        {"prompt": "Write f.", "code": SOLUTION},
    ],
    ids=["humaneval", "infilling", "mbpp", "mbpp sanitized"],
)
def test_a_long_run_of_any_set_leaves_a_file_out(
    tmp_path: Path, task: dict[str, str]
) -> None:
    found = evaluation_set(write(tmp_path / "set.jsonl.gz", task))
    inside = " ".join(SOLUTION.split()[5 : 5 + RUN])
    assert overlaps([found], f"x = 1\n{inside}\n")
    assert not overlaps([found], f"x = 1\n{inside.rsplit(maxsplit=1)[0]}\n")
    report = found.report()
    assert (report["tasks"], report["files_left_out"]) == (1, 1)
    assert report["share_of_runs_of_20_before"] == round(1 / len(found.runs[RUN]), 5)


def test_what_is_kept_has_short_runs_in_common_and_they_are_counted(
    tmp_path: Path,
) -> None:
    task = {"prompt": "", "canonical_solution": SOLUTION}
    one = evaluation_set(write(tmp_path / "one.jsonl", task))
    two = evaluation_set(write(tmp_path / "two.jsonl", {"text": "", "code": "a = 1"}))
    assert not overlaps([one, two], " ".join(SOLUTION.split()[:SHORT_RUN]))
    assert one.report()["share_of_runs_of_10_kept"] == round(1 / 31, 5)
    assert two.report()["share_of_runs_of_10_kept"] == 0
    assert one.report()["files_left_out"] == 0


def test_each_set_has_figures_of_its_own(tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine.jsonl", {"prompt": "", "canonical_solution": SOLUTION}
    )
    other = SOLUTION.replace("name", "other")
    theirs = write(tmp_path / "theirs.jsonl", {"text": "", "code": other})
    sets = [evaluation_set(mine), evaluation_set(theirs)]
    assert overlaps(sets, other)
    assert [each.report()["files_left_out"] for each in sets] == [0, 1]


@pytest.mark.parametrize("content", ["not json\n", '{"prompt": "x"}\n', "[1]\n"])
def test_a_file_that_is_no_set_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "set.jsonl").write_text(content)
    with pytest.raises(ValueError, match="as an evaluation set"):
        evaluation_set(tmp_path / "set.jsonl")
