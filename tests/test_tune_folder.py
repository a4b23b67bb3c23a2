"""Where a run keeps its things: never in the user's tree, and never over the user's files."""

from pathlib import Path

import pytest
from dlmd_finetune.tasks.folder import alone_in, folder_of


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    place = tmp_path / "somewhere" / "tree"  # as the copy is called in a run's folder
    place.mkdir(parents=True)
    (place / "mine.py").write_text("x = 1\n")
    return place


@pytest.mark.parametrize("where", [".", "runs", "deep/er"])
def test_never_inside_the_repository(repo: Path, where: str) -> None:
    with pytest.raises(ValueError, match="lies in the repository, which is never"):
        folder_of(repo, repo / where)


@pytest.mark.parametrize("where", ["..", "../.."])
def test_never_around_the_repository(repo: Path, where: str) -> None:
    """Its copy is called `tree` there, its scratch `work`: so might the repository be."""
    with pytest.raises(
        ValueError, match=r"^the repository lies in --out .* another fold"
    ):
        folder_of(repo, repo / where)


def test_nor_where_ours_lies_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ".local/share"))
    with pytest.raises(ValueError, match=r"dlmd's folder .* lies in the repository"):
        folder_of(tmp_path, None)
    assert folder_of(tmp_path, tmp_path.parent / "out").name == "out"


def test_what_others_keep_there_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "tree").mkdir(parents=True)
    (out / "tree" / "precious").write_text("mine")
    (out / "lock").write_text("of somebody else")
    with (
        pytest.raises(ValueError, match="holds files that are not of a run"),
        alone_in(out),
    ):
        pass
    assert (out / "tree" / "precious").read_text() == "mine"
    assert (out / "lock").read_text() == "of somebody else"
    with (
        pytest.raises(ValueError, match="is a file; name a folder"),
        alone_in(out / "tree" / "precious"),
    ):
        pass
    with (
        pytest.raises(
            ValueError, match=r"cannot be made \(.*\); name a folder that you"
        ),
        alone_in(Path("/proc/nope")),
    ):
        pass


def test_an_empty_one_and_our_own_are_taken(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for _ in range(2):
        with alone_in(out):
            (out / "tree").mkdir(exist_ok=True)
    assert (out / "lock").is_file()
