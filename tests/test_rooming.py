"""The room as the command line chooses it: what is asked first, and a runner that is not pytest."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune import rooming, tune
from dlmd_finetune.choices import TuneConfig
from dlmd_finetune.rooming import agreement, room_of
from dlmd_finetune.sandbox.crew import listed
from dlmd_finetune.sandbox.room import Candidate, Score
from dlmd_finetune.tasks.mine import MineConfig, mine
from dlmd_finetune.tasks.task import Mined, Task, filled, text_of

from tests import room_rig as rig
from tests.fakes.e2b import provider
from tests.fakes.repositories import bytes_of, repository

# A runner of the repository's own: the standard library's unittest, told as JUnit XML.
RUNNER = """\
import sys
import unittest
from xml.etree import ElementTree


class Told(unittest.TestResult):
    def stopTest(self, test):
        owner, name = test.id().rsplit(".", 1)
        case = ElementTree.SubElement(ROOT, "testcase", classname=owner, name=name)
        for kind, found in (("failure", self.failures), ("error", self.errors)):
            if any(each is test for each, _ in found):
                ElementTree.SubElement(case, kind)


ROOT = ElementTree.Element("testsuite")
unittest.defaultTestLoader.discover("tests", top_level_dir="tests").run(Told())
ElementTree.ElementTree(ROOT).write(sys.argv[1])
sys.exit(3)  # exit codes mean nothing
"""
SHAPES = """\
def area(width, height):
    size = width * height
    return size


def longest(words):
    best = ""
    for word in words:
        if len(word) > len(best):
            best = word
    return best
"""
TESTS = """\
import unittest

from shapes import area, longest


class Area(unittest.TestCase):
    def test_square(self):
        self.assertEqual(area(3, 3), 9)

    def test_flat(self):
        self.assertEqual(area(3, 0), 0)

    def test_wide(self):
        self.assertEqual(area(7, 2), 14)


class Longest(unittest.TestCase):
    def test_one(self):
        self.assertEqual(longest(["a", "bcd", "ef"]), "bcd")

    def test_none(self):
        self.assertEqual(longest([]), "")

    def test_first(self):
        self.assertEqual(longest(["ab", "cd"]), "ab")
"""
FILES = {"shapes.py": SHAPES, "tests/test_shapes.py": TESTS, "tell.py": RUNNER}
COMMAND = "python tell.py {junit}"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.mark.parametrize(
    ("told", "asked", "good"),
    [
        ("tests.test_a.A::test_b", "tests/test_a.py::A::test_b", True),
        ("test_a.A::test_b", "tests/test_a.py::A::test_b", True),
        ("A::test_b", "tests/test_a.py::A::test_b", True),
        ("test_b", "tests/test_a.py::A::test_b", False),
        ("other.A::test_b", "tests/test_a.py::A::test_b", False),
        ("tests.test_a::test_b[x/y.py::z]", "tests/test_a.py::test_b[x/y.py::z]", True),
        ("tests.test_a::test_b[1]", "tests/test_a.py::test_b[2]", False),
    ],
)
def test_a_runner_may_name_a_test_from_where_it_ran(
    told: str, asked: str, good: bool
) -> None:
    assert bool(listed([(told, True)], (asked,)).passed) is good
    assert not listed([(told, True), (told, False)], (asked,)).passed


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "kind", [pytest.param("bubblewrap", marks=rig.needs_bubblewrap), "subprocess"]
)
def test_a_runner_that_is_not_pytest_gives_tasks_and_scores(
    tmp_path: Path, kind: str
) -> None:
    repo = repository(tmp_path / "repo", FILES)
    before = bytes_of(repo)
    given = {"python": sys.executable, "sandbox": kind, "trust": True}
    found = mine(MineConfig(repo=repo, test_command=COMMAND, **given))  # type: ignore[arg-type]
    bodies = [task for task in found.tasks if task.level == "body"]
    assert {task.function for task in bodies} == {"area", "longest"}
    config = TuneConfig(repo=repo, test_command=COMMAND, **given)  # type: ignore[arg-type]
    with room_of(config, found) as room:
        [task] = [task for task in bodies if task.function == "area"]
        tests = (*task.tests, *task.held_back)
        them = [
            candidate(found, task, fill, tests)
            for fill in ("return height * width", "return 9", "return None")
        ]
        right, part, wrong = room.evaluate(them)
        assert right == room.confirm(them[0]) == Score(tests, ())
        assert isinstance(part, Score) and len(part.passed) == 1
        assert wrong == Score((), tests)
    assert bytes_of(repo) == before


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_runner_that_names_no_test_of_pytests_is_told_so(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", FILES)
    found = mine(
        MineConfig(
            repo=repo,
            test_command="cp README.xml {junit}",
            python=sys.executable,
            sandbox="subprocess",
            trust=True,
        )
    )
    assert not found.tasks
    [told] = [note for note in found.notes if "--test-command" in note]
    assert "nothing passed that pytest finds and passes, such as test" in told


def candidate(found: Mined, task: Task, fill: str, tests: tuple[str, ...]) -> Candidate:
    text = filled(text_of(found.tree, task.path), task, fill)
    return Candidate(path=task.path, text=text, node_ids=tests, timeout_s=20)


def test_a_command_without_a_place_for_its_xml_is_refused(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", FILES, history=False)
    config = TuneConfig(
        repo=repo,
        test_command="make test",
        dry_run=True,
        trust=True,
        sandbox="subprocess",
    )
    with pytest.raises(ValueError, match="does not say where its JUnit XML goes"):
        tune.tune(config)


def test_without_a_key_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    with pytest.raises(ValueError, match="E2B_API_KEY is not set; type: export"):
        tune.tune(TuneConfig(repo=tmp_path, sandbox="e2b", trust=True))


def test_what_would_be_sent_is_named_and_needs_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = rig.toy(tmp_path)
    (tree / ".env").write_text("TOKEN=hidden-7\n")
    with pytest.raises(ValueError) as told:
        agreement(tree, False)
    for word in ("nothing was sent", "5 files (0.0 MB)", ".env", "E2B", "--send"):
        assert word in str(told.value)
    assert agreement(tree, True).withheld == (".env",)
    assert "5 files (0.0 MB) and every candidate would leave" in capsys.readouterr().err


@pytest.mark.slow
def test_e2b_from_the_choices_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "machines").mkdir()
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):  # for another user, as there
        folder.chmod(folder.stat().st_mode | 0o011)
    monkeypatch.setattr(rooming, "THERE", sys.executable)
    tree = rig.toy(tmp_path)
    found = mined_of(tree)
    config = TuneConfig(repo=tree, sandbox="e2b", template="mine-with-pytest")
    with provider(tmp_path / "machines") as rented:
        for name, value in rented.environment().items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(ValueError, match="nobody has agreed"),
            room_of(config, found),
        ):
            pass
        assert rented.asked == []
        sends = TuneConfig(
            repo=tree, sandbox="e2b", template="mine-with-pytest", send=True
        )
        with room_of(sends, found) as room:
            assert room.evaluate([rig.candidate(rig.HONEST)]) == [
                Score(rig.SLUG_TESTS, ())
            ]
        created = [
            asked for _, path, asked in rented.asked if path.endswith("sandboxes")
        ]
        assert [each["templateID"] for each in created] == ["mine-with-pytest"]
        assert os.environ["E2B_API_KEY"] not in str(rented.asked)


def mined_of(tree: Path) -> Mined:
    about: dict[str, Any] = {"tasks": (), "funnel": (), "commit": None}
    return Mined(
        repo=str(tree),
        tree=str(tree),
        python=sys.executable,
        pytest_args=rig.ALONE,
        **about,
    )
