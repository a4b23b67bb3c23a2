"""A journal that loses half a line at most, and checkpoints that are whole or not there."""

from pathlib import Path

import pytest
import torch
from dlmd_finetune.rl import journal


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    book = journal.Journal(tmp_path / "j.jsonl")
    for n in range(3):
        book.add({"n": n})
    assert [row["n"] for row in book.rows()] == [0, 1, 2]
    book.close()


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    book = journal.Journal(path)
    book.add({"n": 1})
    book.add({"n": 2})
    book.close()
    path.write_bytes(path.read_bytes()[:-cut])
    book = journal.Journal(path)
    book.add({"n": 3})
    assert [row["n"] for row in book.rows()] == [1, 3]
    book.close()
    assert [row["n"] for row in journal.read(path)] == [1, 3]


def test_a_checkpoint_that_was_not_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    assert journal.kept(path) is None
    journal.keep({"step": 1, "w": torch.ones(2)}, path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.keep({"step": 2}, path)
    state = journal.kept(path)
    assert state is not None and state["step"] == 1


def test_no_journal_has_no_rows(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none.jsonl") == []


def test_rows_that_are_to_come_again_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    book = journal.Journal(path)
    for n in range(4):
        book.add({"step": n})
    book.close()
    journal.cut(path, lambda row: row["step"] <= 1)
    assert [row["step"] for row in journal.read(path)] == [0, 1]
    journal.cut(tmp_path / "none.jsonl", lambda row: False)
    assert not (tmp_path / "none.jsonl").exists()
