"""The room in which whole suites run: as strong as a candidate's, but for one folder."""

import os
import sys
from pathlib import Path

import pytest
from dlmd_finetune.sandbox import visit
from dlmd_finetune.tasks import interpreter

from tests import room_rig as rig

pytestmark = [pytest.mark.slow, rig.needs_bubblewrap]


def seen(tmp_path: Path, program: str, readable: tuple[str, ...] = ()) -> str:
    tree, work = tmp_path / "tree", tmp_path / "work"
    for folder in (tree, work):
        folder.mkdir(mode=0o700)
    (tree / "private.py").write_text("x = 1")
    (tree / "private.py").chmod(0o600)
    asked = interpreter.ask(sys.executable)
    assert not isinstance(asked, str)
    with visit.visit(
        "bubblewrap",
        tree,
        [sys.executable, "-c", program],
        writable=work,
        env={"ONLY": "this"},
        readable=(*asked.places, *readable),
    ) as process:
        assert process.wait(60)
    return visit.text(process)


def test_nothing_is_shown_that_a_candidates_room_would_not_show(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    program = f"""
import os, pathlib
print(os.getuid() != 0, pathlib.Path("private.py").read_text())
places = [{str(tmp_path / "secret")!r}, {str(Path.home() / ".ssh")!r}, "/proc/self"]
print([place for place in places if os.path.exists(place)])
for place in ("x", "/x", "/dev/x", "/usr/x", "/etc/x", "/run/x"):
    try: open(place, "w")
    except OSError: continue
    print("written", place)
print(sorted(set(os.environ) - {{"PATH", "PWD", "LC_CTYPE", "LANG", "DLMD_VISIT"}}))
open({str(tmp_path / "work/told")!r}, "w").write("told")
names = open("/etc/passwd").read().split()
print(len(names))
"""
    said = seen(tmp_path, program)
    assert said.splitlines() == ["True x = 1", "[]", "['HOME', 'ONLY', 'TMPDIR']", "2"]
    assert (tmp_path / "work/told").read_text() == "told"


def test_what_may_be_written_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "FILE_MB", 4)
    program = """
for place in ("/tmp", "/dev/shm"):
    try:
        for name in range(3):
            with open(f"{place}/{name}", "wb") as file:
                file.write(bytes(3 * 2**20))
    except OSError as error:
        print(place, error.errno)
"""
    assert seen(tmp_path, program).splitlines() == ["/tmp 28", "/dev/shm 28"]


def test_processes_are_limited_for_root_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user is limited together with all that he runs")
    monkeypatch.setattr(visit, "PROCESSES", 20)
    program = """
import os, time
made = 0
while made < 100:
    try: child = os.fork()
    except OSError: break
    if not child:
        time.sleep(60)
    made += 1
print(made < 30)
"""
    assert seen(tmp_path, program).strip() == "True"


def test_a_home_among_what_is_needed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="which holds your home; move"):
        seen(tmp_path, "pass", (str(Path.home()),))
