"""What git says of a repository, and that asking changes nothing, not even the index."""

import time
from pathlib import Path

from dlmd_finetune.tasks.history import changes, look

from tests.fakes.repositories import bytes_of, git, repository


def test_lines_are_as_old_as_their_last_commit(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"a.py": "one\ntwo\nthree\n"})
    (repo / "a.py").write_text("one\n2\nthree\n")
    git(repo, "commit", "-qam", "later", day=3)
    (repo / "a.py").write_text("one\n2\n3\n")
    before = bytes_of(repo)
    times = changes(repo, "a.py")
    assert times is not None
    first, second, third = times
    facts = look(repo)
    assert second - first == 3 * 86_400
    assert abs(third - time.time()) < 60
    assert facts.dirty == 1 and facts.commit == git(repo, "rev-parse", "HEAD").strip()
    assert bytes_of(repo) == before


def test_without_git_there_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    facts = look(tmp_path)
    assert (facts.root, facts.commit, facts.dirty) == (None, None, 0)
    assert changes(tmp_path, "a.py") is None


def test_before_the_first_commit_there_is_none_either(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    facts = look(tmp_path)
    assert facts.root is not None and facts.commit is None


def test_a_folder_in_a_repository_has_its_history(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"inner/a.py": "one\n", "b.py": "x\n"})
    (repo / "b.py").write_text("changed")
    assert look(repo / "inner").dirty == 0
    assert len(changes(repo / "inner", "a.py") or ()) == 1
