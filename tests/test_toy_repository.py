"""The toy repository: the same bytes each time, and of each function one statement to learn."""

import subprocess
import sys
from pathlib import Path

import pytest
from dlmd_finetune.tasks.inventory import Function, inventory
from dlmd_finetune.tasks.split import Member, split

from tests.fakes.repositories import git

SCRIPT = Path(__file__).resolve().parent.parent / "examples/toy_repository.py"


def written(folder: Path, *more: str) -> Path:
    subprocess.run([sys.executable, str(SCRIPT), str(folder), *more], check=True)
    return folder


def functions(repo: Path) -> dict[Function, str]:
    texts = {p: p.read_text() for p in sorted((repo / "house").glob("*.py"))}
    return {f: t for p, t in texts.items() for f in inventory(p.name, t)[0]}


@pytest.mark.slow
def test_the_same_arguments_write_the_same_commit(tmp_path: Path) -> None:
    made = [written(tmp_path / name) for name in "ab"]
    heads = {git(repo, "rev-parse", "HEAD") for repo in made}
    assert len(heads) == 1 and not git(made[0], "status", "--porcelain")
    other = written(tmp_path / "c", "--seed", "1")
    assert git(other, "rev-parse", "HEAD") not in heads


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "last"),
    [("plain", "return depth"), ("less", "return -depth"), ("list", "return [depth]")],
)
def test_each_function_has_its_convention_as_its_one_hole(
    tmp_path: Path, form: str, last: str
) -> None:
    found = functions(written(tmp_path / "toy", "--form", form))
    assert len(found) >= 120
    for function, text in found.items():
        [hole] = function.parts
        assert text[hole.start : hole.end] == last


@pytest.mark.slow
def test_it_can_be_split_and_its_tests_pass(tmp_path: Path) -> None:
    repo = written(tmp_path / "toy")
    members = [
        Member(
            key=f.id,
            path=f.path,
            source="\n".join(text.split("\n")[f.opens - 1 : f.last]),
            changed=None,
        )
        for f, text in functions(repo).items()
    ]
    sides = split(members, 0)
    counts = [[*sides.of.values()].count(side) for side in ("train", "dev", "test")]
    assert sides.note is None and min(counts) >= 10 and counts[2] >= 20, counts
    line = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run([*line, "-p", "no:asyncio"], cwd=repo, capture_output=True)
    assert run.returncode == 0, run.stdout[-500:]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x")
    line = [sys.executable, str(SCRIPT), str(tmp_path)]
    run = subprocess.run(line, capture_output=True, text=True)
    assert run.returncode != 0 and "is not empty; name a folder" in run.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]
