"""The room `subprocess`: one attack or property per test, on real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dlmd_finetune import sandbox
from dlmd_finetune.sandbox import subprocess as room
from dlmd_finetune.sandbox.subprocess import Outcome, run_python

from tests import room_rig as rig

LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="needs /proc and prctl")
slow = pytest.mark.slow


def run(
    source: str, checks: str = "", *, timeout_s: float = 10, memory_mb: int = 512
) -> Outcome:
    return run_python(source, checks=checks, timeout_s=timeout_s, memory_mb=memory_mb)


def test_code_that_runs_to_its_end_passes() -> None:
    assert run("x = 1", "assert x == 1") == Outcome(kind="passed", detail="")


def test_wrong_code_fails_with_what_it_raised() -> None:
    outcome = run("x = 1", "assert x == 2, 'x is wrong'")
    assert outcome == Outcome(kind="failed", detail="AssertionError: x is wrong")


def test_code_that_does_not_compile_fails() -> None:
    assert run("def f(:").detail.startswith("SyntaxError")


def test_an_open_string_cannot_swallow_the_checks() -> None:
    assert run('x = """', '"""; assert False').kind == "failed"


def test_the_standard_library_is_there() -> None:
    source = "import typing, math, collections, hashlib, dataclasses, random"
    assert run(source).kind == "passed"


def test_dataclasses_find_their_own_module() -> None:
    source = (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int' = 1\n"
    )
    assert run(source, "assert P().x == 1").kind == "passed"


def test_installed_packages_and_our_own_are_not_there() -> None:
    for name in ("pytest", "dlmd_finetune", "warden"):
        assert run(f"import {name}").detail.startswith("ModuleNotFoundError"), name


@slow
def test_an_infinite_loop_is_a_timeout() -> None:
    begun = time.monotonic()
    assert run("while True: pass", timeout_s=0.2).kind == "timeout"
    assert time.monotonic() - begun < 5


@slow
def test_a_loop_that_catches_everything_is_a_timeout() -> None:
    source = "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    source += (
        "    except BaseException: pass\nwhile True:\n    try: pass\n    except: pass"
    )
    assert run(source, timeout_s=0.3).kind == "timeout"


def test_waiting_for_input_ends_at_once() -> None:
    assert run("input()").detail.startswith("EOFError")


@pytest.mark.parametrize("code", [0, 1, 10, 11])
def test_os_exit_does_not_pass(code: int) -> None:
    outcome = run(f"import os; os._exit({code})", "assert False")
    assert outcome.kind == "failed"
    assert f"exit status {code}" in outcome.detail


@pytest.mark.parametrize(
    "call", ["raise SystemExit", "import sys; sys.exit(0)", "quit"]
)
def test_sys_exit_does_not_pass(call: str) -> None:
    assert run(call, "assert False").kind == "failed"


def test_killing_itself_does_not_pass() -> None:
    outcome = run("import os; os.kill(os.getpid(), 9)", "assert False")
    assert outcome == Outcome(
        kind="failed", detail="ended before its checks did, with signal 9"
    )


def test_a_crash_of_the_interpreter_does_not_pass() -> None:
    source = "import ctypes; ctypes.string_at(0)"
    assert "signal 11" in run(source).detail


def test_a_guessed_nonce_on_every_descriptor_does_not_pass() -> None:
    source = (
        "import os\n"
        "for fd in range(256):\n"
        "    for guess in (b'+', bytes(32), b'passed', b'\\x00' * 64):\n"
        "        try: os.write(fd, guess)\n"
        "        except OSError: pass\n"
        "os._exit(0)\n"
    )
    assert run(source, "assert False").kind == "failed"


def test_the_nonce_is_not_in_the_memory_of_the_candidate() -> None:
    # What a search of frames and objects can find are numbers of descriptors and
    # functions, never the bytes that make a verdict.
    source = (
        "import gc, sys\n"
        "def frames(f):\n"
        "    while f: yield f; f = f.f_back\n"
        "found = [v for f in frames(sys._getframe()) for v in f.f_locals.values()]\n"
        "found += [v for o in gc.get_objects() if isinstance(o, dict) for v in o.values()]\n"
        "hits = [v for v in found if isinstance(v, bytes) and len(v) == 32]\n"
        "assert not hits, hits\n"
    )
    assert run(source) == Outcome(kind="passed", detail="")


@slow
def test_printing_a_gigabyte_costs_no_memory_and_no_verdict() -> None:
    source = "import sys\nfor _ in range(1024): sys.stdout.write('x' * 2**20)\n"
    assert run(source, timeout_s=60).kind == "passed"


def test_a_message_of_a_megabyte_is_cut() -> None:
    outcome = run("raise ValueError('x' * 10**6)")
    assert outcome.kind == "failed"
    assert outcome.detail.startswith("ValueError: xxx") and len(outcome.detail) <= 1000


def test_a_message_that_cannot_be_made_is_a_failure() -> None:
    source = "class E(Exception):\n    def __str__(self): raise E()\nraise E()"
    assert run(source).detail == "an exception that cannot be printed"


def test_memory_is_limited() -> None:
    assert run("x = bytearray(600 * 2**20)").detail.startswith("MemoryError")
    assert run("x = bytearray(100 * 2**20)").kind == "passed"


def test_a_file_cannot_grow_without_end() -> None:
    source = "with open('f', 'wb') as f:\n    for _ in range(64): f.write(bytes(2**20))"
    assert run(source).detail.startswith("OSError")


def test_it_writes_in_a_folder_of_its_own_that_is_gone_afterwards() -> None:
    outcome = run("import os\nopen('f', 'w').write('x')\nraise ValueError(os.getcwd())")
    folder = Path(outcome.detail.removeprefix("ValueError: "))
    assert folder.name.startswith("dlmd-room-") and not folder.exists()
    assert Path.cwd() != folder


def test_two_runs_share_no_files() -> None:
    assert run("open('left', 'w').write('x')").kind == "passed"
    assert run("import os; assert os.listdir() == []").kind == "passed"


def test_the_environment_is_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    outcome = run("import os; raise ValueError(sorted(os.environ))")
    assert outcome.detail == (
        "ValueError: ['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED', 'TMPDIR']"
    )


def test_hashes_are_the_same_in_each_run() -> None:
    source = "raise ValueError(hash('diffusion'))"
    assert run(source).detail == run(source).detail


FORKS_AND_SLEEPS = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@pytest.fixture
def own_warden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A warden under a name of its own, which all that it forks carry as well."""
    copy = tmp_path / "warden.py"
    copy.write_bytes(room.WARDEN.read_bytes())
    monkeypatch.setattr(room, "WARDEN", copy)
    return copy


def started_by(warden: Path) -> list[int]:
    """Living processes with the warden in their command line, detached ones as well."""
    return rig.living(str(warden), "-B")


@linux_only
@slow
@pytest.mark.parametrize("end", ["", "import os; os._exit(0)", "while True: pass"])
def test_children_that_left_group_and_session_are_killed(
    own_warden: Path, end: str
) -> None:
    run(FORKS_AND_SLEEPS + end, timeout_s=0.5)
    assert started_by(own_warden) == []


@linux_only
@slow
@pytest.mark.parametrize("flee", ["pass", "os.setsid()"])
def test_a_fork_bomb_is_bounded_and_leaves_nothing(own_warden: Path, flee: str) -> None:
    source = f"""
import os
while True:
    try:
        if os.fork() == 0:
            {flee}
    except OSError:
        pass
"""
    begun = time.monotonic()
    assert run(source, timeout_s=0.5).kind in ("timeout", "failed")
    assert time.monotonic() - begun < 15
    assert started_by(own_warden) == []
    assert run("x = 1").kind == "passed"


@linux_only
def test_forking_is_limited() -> None:
    source = """
import os, time
n = 0
try:
    while n < 1000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        n += 1
except BlockingIOError:
    raise ValueError("stopped")
"""
    assert run(source, timeout_s=20).detail == "ValueError: stopped"


@linux_only
def test_a_candidate_of_root_is_not_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root becomes nobody")
    assert run("import os; assert os.getuid() == 65534").kind == "passed"
    assert run("import os; os.kill(os.getppid(), 9)").detail.startswith("Permission")
    assert run("import os; os.seteuid(0)").detail.startswith("PermissionError")


@linux_only
def test_killing_the_warden_does_not_pass() -> None:
    outcome = run("import os, time; os.kill(os.getppid(), 9); time.sleep(60)", "1/0")
    assert outcome.kind == "failed"


@linux_only
@slow
def test_the_room_is_cleared_when_its_asker_is_killed(
    own_warden: Path, tmp_path: Path
) -> None:
    program = f"""
from pathlib import Path
from dlmd_finetune.sandbox import subprocess as room
room.WARDEN = Path({str(own_warden)!r})
room.run_python("while True: pass", timeout_s=100, memory_mb=512)
"""
    asker = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    wait_until(lambda: len(started_by(own_warden)) == 2)
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    wait_until(lambda: not started_by(own_warden))
    assert list(tmp_path.glob("dlmd-room-*")) == []


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not come true in 20 s"
        os.sched_yield()


def test_a_room_that_cannot_be_opened_is_an_infrastructure_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    outcome = run("x = 1")
    assert outcome.kind == "infrastructure" and "/nonexistent/python" in outcome.detail


def test_a_warden_that_cannot_start_is_an_infrastructure_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert run("x = 1").kind == "infrastructure"


def test_a_lone_surrogate_is_the_fault_of_the_candidate() -> None:
    assert run("x = '\ud800'").kind == "failed"


def test_unreasonable_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="timeout_s=0"):
        run("x = 1", timeout_s=0)
    with pytest.raises(ValueError, match="memory_mb=1"):
        run("x = 1", memory_mb=1)


def test_rooms_are_asked_for_by_name() -> None:
    assert sandbox.find("subprocess") is run_python
    with pytest.raises(ValueError, match=r"no sandbox named 'docker'.*subprocess"):
        sandbox.find("docker")


# ---- the same programs in namespaces ----


@rig.needs_bubblewrap
@pytest.mark.parametrize(
    ("source", "checks", "kind"),
    [
        ("x = 1", "assert x == 1", "passed"),
        ("x = 1", "assert x == 2", "failed"),
        ("import os; os._exit(10)", "assert False", "failed"),
        ("while True: pass", "", "timeout"),
        ("import os, time; os.kill(os.getppid(), 9); time.sleep(9)", "1/0", "failed"),
        ("import socket; socket.create_connection(('1.1.1.1', 53), 1)", "", "failed"),
        (
            f"import os; assert not os.path.exists({str(Path.home())!r} + '/.profile')",
            "",
            "passed",
        ),
        (
            "import os; assert os.getuid() != 0 and not os.path.exists('/proc/1')",
            "",
            "passed",
        ),
        (
            "open('f', 'w').write('x'); import os; assert os.listdir() == ['f']",
            "",
            "passed",
        ),
        ("open('/usr/x', 'w')", "", "failed"),
    ],
)
def test_bubblewrap_judges_programs_too(source: str, checks: str, kind: str) -> None:
    run_in = sandbox.find("bubblewrap")
    outcome = run_in(source, checks=checks, timeout_s=3, memory_mb=512)
    assert outcome.kind == kind, outcome
