"""Rooms on this machine: what they let through, what they bound, what they leave behind.

Real processes and namespaces. As root these are run once more by an ordinary user.
"""

import http.server
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd_finetune.sandbox import bubblewrap, crew, open_room, opening, prepare
from dlmd_finetune.sandbox.crew import Crew
from dlmd_finetune.sandbox.room import Candidate, InfraFault, Limits, PolicyFault, Score

from tests import room_rig as rig
from tests.room_rig import HONEST, STUB, candidate, no_policy, passed

pytestmark = pytest.mark.slow
KINDS = [pytest.param("bubblewrap", marks=rig.needs_bubblewrap), "subprocess"]
GOOD = Score(rig.SLUG_TESTS, ())
BAD = Score((), rig.SLUG_TESTS)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rig.toy(tmp_path_factory.mktemp("rooms"))


@pytest.fixture(scope="module", params=KINDS)
def room(tree: Path, request: pytest.FixtureRequest) -> Iterator[Crew]:
    before = prepare.state_of(tree)
    limits = Limits(processes=40, memory_mb=1024, file_mb=16)
    with rig.room(tree, request.param, limits=limits) as opened:
        yield opened
    assert prepare.state_of(tree) == before  # the tree that we were handed, to the byte
    assert not opened.setting.folder.exists()


@pytest.fixture
def anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates may use every means: the room alone has to hold."""
    no_policy(monkeypatch)


def one(room: Crew, body: str, timeout_s: float = 20.0) -> object:
    return room.evaluate([candidate(body, timeout_s=timeout_s)])[0]


def test_the_order_of_outcomes_is_that_of_candidates(room: Crew) -> None:
    them = [candidate(STUB), candidate(HONEST), candidate("return text.lower()")]
    part = Score(rig.SLUG_TESTS[2:], rig.SLUG_TESTS[:2])
    assert room.evaluate(them) == [BAD, GOOD, part]
    assert [room.confirm(each) for each in them] == [BAD, GOOD, part]


def test_methods_and_unittest_suites_are_judged(room: Crew) -> None:
    for body, good in (("return sorted(self.items)[-1]", 1), ("return 3", 0)):
        box = candidate(body, rig.LARGEST, rig.BOX_TESTS)
        assert passed(room.evaluate([box])[0]) == good
        assert passed(room.confirm(box)) == good


def test_a_test_that_does_not_exist_has_failed(room: Crew) -> None:
    asked = (*rig.SLUG_TESTS, "tests/test_words.py::test_nowhere")
    assert room.evaluate([candidate(HONEST, node_ids=asked)]) == [
        Score(rig.SLUG_TESTS, asked[3:])
    ]


def test_the_unchanged_file_passes(room: Crew) -> None:
    plain = Candidate(
        path=rig.PATH, text=rig.WORDS, node_ids=rig.SLUG_TESTS, timeout_s=20
    )
    assert room.evaluate([plain]) == [GOOD] and room.confirm(plain) == GOOD


def test_a_function_that_a_fork_cannot_change_is_judged_cold(room: Crew) -> None:
    body = 'return (lambda: "-".join(text.lower().split()))()'  # a free variable
    assert one(room, body) == GOOD


@pytest.mark.parametrize("body", ["return (", "return '\ud800'"])
def test_what_does_not_parse_is_a_fault_of_the_candidate(room: Crew, body: str) -> None:
    assert isinstance(one(room, body), PolicyFault)


def test_a_hang_costs_its_time_and_keeps_what_passed(room: Crew) -> None:
    body = f"if text == 'X':\n    while True: pass\n{HONEST}"
    assert one(room, body, timeout_s=2) == Score(rig.SLUG_TESTS[:2], rig.SLUG_TESTS[2:])
    assert one(room, HONEST) == GOOD


def test_a_gigabyte_printed_changes_nothing(room: Crew, anything: None) -> None:
    body = "import sys\nfor _ in range(342): sys.stdout.write('x' * 2**20)\n" + HONEST
    assert one(room, body, timeout_s=60) == GOOD


def test_memory_is_bounded(room: Crew) -> None:
    assert one(room, "return 'x' * 2**31") == BAD
    assert one(room, HONEST) == GOOD


def test_files_are_bounded(room: Crew, anything: None) -> None:
    body = "import tempfile\nwith tempfile.TemporaryFile() as f:\n    for _ in range(64): f.write(bytes(2**20))\n"
    assert one(room, body + HONEST) == BAD
    assert one(room, HONEST) == GOOD


def test_a_fork_bomb_is_bounded_and_gone(room: Crew, anything: None) -> None:
    body = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert not passed(one(room, body, timeout_s=2))  # type: ignore[arg-type]
    assert one(room, HONEST) == GOOD


def test_processes_are_limited_for_root_too(room: Crew, anything: None) -> None:
    body = (
        "import os, time\nn = 0\n"
        "while n < 300:\n    try: pid = os.fork()\n    except OSError: break\n"
        "    if pid == 0:\n        time.sleep(30); os._exit(0)\n    n += 1\n"
        "assert n < 60, n\n"
    )
    if os.geteuid() != 0 and room.setting.folder.joinpath("slot0.tmp").exists():
        pytest.skip("the room `subprocess` counts all processes of the user")
    assert one(room, body + HONEST) == GOOD


def test_children_that_left_group_and_session_are_gone(
    room: Crew, anything: None
) -> None:
    word = f"left-{os.getpid()}-{room.setting.folder.name}"
    body = (
        "import os, sys\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(99)', '{word}'])\n"
        "    os._exit(0)\nos.wait()\n"
    )
    one(room, body + HONEST)
    assert rig.living(word) == []


def test_deleting_and_writing_files_reaches_no_later_candidate(
    room: Crew, anything: None
) -> None:
    body = (
        "import pathlib, shutil\n"
        "shutil.rmtree('toy', ignore_errors=True)\n"
        "try: pathlib.Path('tests/test_words.py').write_text('')\n"
        "except OSError: pass\n"
    )
    one(room, body + HONEST)
    assert one(room, HONEST) == GOOD
    assert room.confirm(candidate(HONEST)) == GOOD
    assert room.confirm(candidate(STUB)) == BAD


def test_the_clock_stays(room: Crew, anything: None) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may change the clock")
    assert one(room, "import time\ntime.clock_settime(0, 0)\n" + HONEST) == BAD
    assert time.time() > 10**9


def test_the_environment_is_scrubbed(room: Crew, anything: None) -> None:
    names = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONHASHSEED", "LC_CTYPE", "PWD"}
    names |= {"PYTHONDONTWRITEBYTECODE", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"}
    body = f"import os\nassert set(os.environ) <= {names!r}, os.environ\n"
    assert one(room, body + HONEST) == GOOD


@rig.needs_bubblewrap
def test_bubblewrap_shows_no_home_no_proc_no_network_and_nothing_to_write(
    tree: Path, anything: None, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    server = http.server.HTTPServer(
        ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    places = ["/x", "/dev/x", "/usr/x", "/run/x", "/etc/x", "toy/x", "/var/x"]
    body = f"""
import os, socket
assert not os.path.exists({str(secret)!r})
assert not os.path.exists({str(Path.home() / ".ssh")!r}) and not os.path.exists("/proc/self")
for place in {places}:
    try: open(place, "w")
    except OSError: continue
    raise AssertionError(place)
try: socket.create_connection(("127.0.0.1", {server.server_port}), 2)
except OSError: pass
else: raise AssertionError("network")
assert os.getuid() != 0 and "localhost" in open("/etc/hosts").read()
"""
    try:
        with rig.room(tree) as room:
            assert one(room, body + HONEST) == GOOD
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_when_we_are_killed(
    tree: Path, kind: str, tmp_path: Path
) -> None:
    program = f"""
import sys, tests.room_rig as rig
from pathlib import Path
from dlmd_finetune.sandbox import crew
crew.judge = rig.lenient
body = "import os, time\\nif os.fork() == 0: os.setsid()\\nprint(1)\\ntime.sleep(99)"
with rig.room(Path({str(tree)!r}), {kind!r}) as room:
    print("open", flush=True)
    room.evaluate([rig.candidate(body, timeout_s=90)])
"""
    asker = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    assert asker.stdout is not None and asker.stdout.readline() == b"open\n"
    ours = str(tmp_path / prepare.PREFIX)
    wait_until(lambda: len(workers(ours, kind)) >= 3)
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    wait_until(lambda: not workers(ours, kind))
    assert list(tmp_path.glob(prepare.PREFIX + "*"))
    prepare.clear_left_over(tmp_path)
    assert not list(tmp_path.glob(prepare.PREFIX + "*"))


def workers(folder: str, kind: str) -> set[int]:
    """Processes of a room: those that name its folder, and all below them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if stat[0] != b"Z":
                parents[int(entry.name)] = int(stat[1])
    found = set(rig.living(folder))
    known = workers.__dict__.setdefault(folder, set())
    while (
        more := {p for p, parent in parents.items() if parent in found | known} - found
    ):
        found |= more
    known |= found
    return known & set(parents)


def wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not come true in 60 s"
        os.sched_yield()


def test_a_worker_that_is_killed_again_and_again_is_the_candidates_fault(
    room: Crew, anything: None
) -> None:
    outcome = one(room, "import os\nos.kill(os.getppid(), 9)\n" + HONEST)
    assert isinstance(outcome, PolicyFault) or outcome == BAD, outcome
    assert one(room, HONEST) == GOOD


def test_a_room_whose_workers_cannot_start_is_an_infrastructure_fault(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig.room(tree, "subprocess") as room:
        for slot in room.slots:
            assert slot.worker is not None
            slot.worker.process.kill()
            slot.worker.process.wait()
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        outcome = one(room, HONEST)
    assert isinstance(outcome, InfraFault) and "/nonexistent/python" in outcome.reason


@pytest.mark.parametrize("kind", KINDS)
def test_an_editable_installation_finds_the_copy_and_not_the_users_files(
    tmp_path: Path, kind: str, anything: None
) -> None:
    user, copy = rig.toy(tmp_path / "user"), rig.toy(tmp_path / "copy")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    [site] = (tmp_path / "env/lib").glob("python*/site-packages")
    (site / "all.pth").write_text(f"{user}\n{sysconfig.get_path('purelib')}\n")
    (user / "secret.txt").write_text("answers")
    body = (
        f"import os\nassert not os.path.exists({str(user / 'secret.txt')!r})\n{HONEST}"
    )
    if kind == "subprocess":
        body = HONEST  # shows whatever this user may see
    python = tmp_path / "env/bin/python"
    with open_room(
        kind, copy, python, at=user, pytest_args=rig.ALONE, workers=1
    ) as room:
        assert room.evaluate([candidate(body), candidate(STUB)]) == [GOOD, BAD]
        assert room.confirm(candidate(body)) == GOOD


def test_a_command_of_the_users_is_read_by_its_junit_file(tree: Path) -> None:
    command = f"{sys.executable} -m pytest {' '.join(rig.ALONE)} --junitxml={{junit}}"
    names = tuple(f"tests.test_words::{name}" for name in rig.NAMES)
    with rig.room(tree, "subprocess", test_command=command) as room:
        them = [candidate(body, node_ids=names) for body in (HONEST, STUB)]
        assert room.evaluate(them) == [Score(names, ()), Score((), names)]


LEAVES = "setsid sleep $1 &\nkill -STOP $PPID\nsleep 60\n"


def test_an_overdue_command_that_stopped_its_worker_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GRACE_S", "STARTING_S"):
        monkeypatch.setattr(crew, name, 0.5)
    tree, seconds = rig.toy(tmp_path), f"60.{os.getpid()}"
    (tree / "leaves.sh").write_text(LEAVES)
    command = f"sh leaves.sh {seconds} {{junit}}"
    with rig.room(tree, "subprocess", test_command=command) as room:
        assert isinstance(one(room, HONEST, timeout_s=1), InfraFault)
        assert rig.living(seconds) == []


def test_what_cannot_be_opened_says_what_to_type(tree: Path, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"kind": "docker"}, "no sandbox named 'docker'.*bubblewrap, e2b, subprocess"),
        ({"python": "/nonexistent/python"}, "no interpreter.*--python"),
        ({"python": "/bin/true"}, "did not answer.*--python"),
        ({"tree": tmp_path / "none"}, "no folder"),
        ({"test_command": "make test"}, "junit"),
    ]
    for given, message in wrong:
        about = {"kind": "subprocess", "tree": tree, "python": sys.executable, **given}
        with pytest.raises(ValueError, match=message), opening.open_room(**about):  # type: ignore[arg-type]
            pass


def test_tests_that_cannot_be_collected_are_named(tmp_path: Path) -> None:
    tree = rig.toy(tmp_path)
    (tree / "tests/conftest.py").write_text("import nothing_of_this_name\n")
    with (
        pytest.raises(ValueError, match="nothing_of_this_name"),
        rig.room(tree, "subprocess"),
    ):
        pass


@rig.needs_bubblewrap
def test_where_apparmor_refuses_the_profile_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        bubblewrap, "restricted", lambda name: "1" if "apparmor" in name else ""
    )
    said = bubblewrap.refusal("/usr/bin/bwrap", "setting up uid map: Permission denied")
    assert "profile bwrap /usr/bin/bwrap flags=(unconfined)" in said
    assert "sudo apparmor_parser -r" in said and "userns," in said


def test_open_room_is_what_the_package_exports() -> None:
    assert open_room is opening.open_room
