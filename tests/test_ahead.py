"""Cold: everything of the repository imported anew, by forks of a worker that lives on."""

import subprocess
import sys
from pathlib import Path

import pytest
from dlmd_finetune.sandbox import ahead, crew
from dlmd_finetune.sandbox.room import PolicyFault, Score

from tests import room_rig as rig
from tests.room_rig import HONEST, STUB, candidate, no_policy

pytestmark = pytest.mark.slow
GOOD = Score(rig.SLUG_TESTS, ())
BAD = Score((), rig.SLUG_TESTS)


@pytest.fixture
def anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates may use every means: the room alone has to hold."""
    no_policy(monkeypatch)


def one(room: crew.Crew, body: str) -> object:
    return room.evaluate([candidate(body)])[0]


def test_cold_is_imported_anew_each_time_by_a_worker_that_lives_on(
    tmp_path: Path, anything: None
) -> None:
    tree = rig.toy(tmp_path)
    (tree / "toy/__init__.py").write_text("import os\nPID = os.getpid()\n")
    body = "import os, toy\nassert toy.PID == os.getpid()\n" + HONEST
    with rig.room(tree, "subprocess") as room:
        assert one(room, body) == BAD
        assert room.confirm_all([candidate(body), candidate(STUB)]) == [GOOD, BAD]
        [slot] = room.slots
        first = slot.cold
        assert room.confirm(candidate(body)) == GOOD and slot.cold is first
        room.confirm(candidate("import os\nos._exit(0)"))
        assert room.confirm(candidate(body)) == GOOD and slot.cold is first
        stalls = candidate("while True: pass", timeout_s=0.1)
        monkey = pytest.MonkeyPatch()
        monkey.setattr(crew, "STARTING_S", 0.5)
        room.confirm(stalls)
        monkey.undo()
        assert room.confirm(candidate(body)) == GOOD and slot.cold is not first


@rig.needs_bubblewrap
def test_what_pytest_itself_replaces_is_learnt_from_a_few_unchanged_runs(
    tmp_path: Path, anything: None
) -> None:
    replaces = "import math\nmath.isclose = lambda *a, **k: True\nreturn 0.0"
    with rig.room(rig.toy(tmp_path)) as room:
        for name in rig.SLUG_TESTS:
            good = candidate(HONEST, node_ids=(name,))
            assert room.confirm(good) == Score((name,), ())
        known = len(room.usual)
        assert room.confirm(candidate(HONEST)) == GOOD and len(room.usual) == known == 3
        outcome = room.confirm(candidate(replaces, rig.AREA, rig.AREA_TESTS))
        assert isinstance(outcome, PolicyFault), outcome


def test_what_was_compiled_ahead_is_never_the_candidates_own_file(
    tmp_path: Path, anything: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the process holds the answer, and the changed text is what is imported."""
    tree = rig.toy(tmp_path)
    search = """
from importlib.machinery import SourceFileLoader
for cell in SourceFileLoader.source_to_code.__closure__:
    if isinstance(cell.cell_contents, dict):
        for data, _ in cell.cell_contents.values():
            if b"canary" + b" 7731" in data:
                return "-".join(text.lower().split())
return None
"""
    with rig.room(tree, "subprocess") as room:
        assert room.confirm(candidate(search)) == BAD
        assert room.confirm(candidate(HONEST)) == GOOD
    rig.script("runner.py", "        drop(os.path", "        (os.path")(monkeypatch)
    with rig.room(tree, "subprocess") as room:
        assert room.confirm(candidate(search)) == GOOD


def test_a_link_to_the_candidates_own_file_keeps_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/words.py").write_text("X = 1\n")
    (tmp_path / "src/other.py").write_text("Y = 1\n")
    (tmp_path / "alias").symlink_to("src")
    told = """
import os, sys
import subprocess  # ours lies beside ahead.py
sys.path.insert(0, sys.argv[2])
import ahead
sys.path.pop(0)
from importlib.machinery import SourceFileLoader
root = sys.argv[1]
names = [f"{folder}/{file}.py" for folder in ("src", "alias") for file in ("words", "other")]
drop = ahead.prepare(root, dict.fromkeys(names, False))
drop(os.path.join(root, "src/words.py"))
for cell in SourceFileLoader.source_to_code.__closure__:
    if isinstance(cell.cell_contents, dict):
        print(*sorted(os.path.relpath(name, root) for name in cell.cell_contents))
"""
    scripts = str(Path(ahead.__file__).parent)
    line = [sys.executable, "-c", told, str(tmp_path), scripts]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["alias/other.py", "src/other.py"], done.stderr
