"""The file of results: what a kill, a stranger or a second run may do to it."""

from pathlib import Path

import pytest
from dlmd_finetune.evidence.ledger import HEADER, key_of, open_ledger


def test_rows_are_found_again_by_their_key(tmp_path: Path) -> None:
    path, key = tmp_path / "new" / "out.jsonl", key_of("task", {"steps": 3})
    with open_ledger(path, wait=False) as ledger:
        ledger.add({"key": key, "kind": "passed"})
    with open_ledger(path, wait=False) as ledger:
        assert ledger.rows == {key: {"key": key, "kind": "passed"}}


def test_a_key_depends_on_every_part_and_not_on_their_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of("a", {"b": 1}), key_of("a", {"b": 2}), key_of("a")}) == 3


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(HEADER + b'{"key": "a"}\n{"key": "b')
    with open_ledger(path, wait=False) as ledger:
        assert list(ledger.rows) == ["a"]
        ledger.add({"key": "c"})
    assert path.read_bytes() == HEADER + b'{"key": "a"}\n{"key": "c"}\n'


def test_a_header_cut_off_by_a_kill_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(HEADER[:10])
    with open_ledger(path, wait=False) as ledger:
        ledger.add({"key": "a"})
    assert path.read_bytes() == HEADER + b'{"key": "a"}\n'


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(HEADER + b'{"key": "a"}\nnonsense\n{"key": "b"}\n')
    with (
        pytest.raises(ValueError, match=r"line 3 of .* is not a result"),
        open_ledger(path, wait=False),
    ):
        pass


@pytest.mark.parametrize("content", [b"{", b"{}\n", b"notes"])
def test_what_is_not_ours_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with (
        pytest.raises(ValueError, match="is not a file of evaluation results"),
        open_ledger(path, wait=False),
    ):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize("place", ["/dev/full", "/dev/null", "."])
def test_what_is_no_file_is_refused_before_it_is_read(place: str) -> None:
    with (
        pytest.raises(ValueError, match="no plain file to keep results in; see to it"),
        open_ledger(Path(place), wait=False, instead="see to it"),
    ):
        pass


@pytest.mark.slow
def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with (
        open_ledger(path, wait=False),
        pytest.raises(ValueError, match="another evaluation is writing"),
        open_ledger(path, wait=False),
    ):
        pass
