"""What drives the worker in a rented machine: here with a worker that we play ourselves."""

from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune.sandbox import remote


class Wild:
    """A worker whose candidate writes in the tree; dies where it is told to."""

    seen: list[str]

    def __init__(self, job: Any) -> None:
        self.root = Path(job["root"])

    def ask(self, request: Any, seconds: float) -> Any:
        self.seen.append((self.root / "tests/test_a.py").read_text())
        (self.root / "tests/test_a.py").write_text("assert True")
        (self.root / "sub").rename(self.root / "tests/sub")
        (self.root / "new").mkdir()
        if request["dies"]:
            raise remote.Dead("ended without an answer")
        return {"said": "", "how": "ended"}

    def end(self) -> None:
        (self.root / "tests/late.py").write_text("written while it was ended")


def job(root: Path, *dies: bool) -> Any:
    each = {"path": "a.py", "text": "x = 2\n", "encoding": "utf-8", "timeout_s": 1}
    requests = [{**each, "dies": die} for die in dies]
    return {"root": str(root), "spec": {"warm": True}, "requests": requests}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.py", "tests/test_a.py", "sub/deep.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "link").symlink_to("a.py")
    return tmp_path


def test_a_tree_that_was_written_in_is_made_anew_also_when_the_worker_died(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "Hand", Wild)
    Wild.seen = []
    before = remote.state_of(str(root))
    told = list(remote.replies(job(root, True, False, True)))
    assert Wild.seen == ["# tests/test_a.py\n"] * 3
    assert remote.state_of(str(root)) == before and (root / "link").is_symlink()
    assert ["died" in each for each in told] == [True, False, True]


def test_a_candidate_in_its_file_alone_leaves_the_worker_warm(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = []

    class Tame(Wild):
        def __init__(self, job: Any) -> None:
            super().__init__(job)
            hands.append(self)

        def ask(self, request: Any, seconds: float) -> Any:
            assert (self.root / "a.py").read_text() == "x = 2\n"
            return {"said": "", "how": "ended"}

    monkeypatch.setattr(remote, "Hand", Tame)
    assert len(list(remote.replies(job(root, False, False)))) == 2 == 2 * len(hands)
    assert (root / "a.py").read_text() == "# a.py\n"
