"""`make demo` without make: what it shows, and that nothing is left behind."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
EXAMPLE = REPO / "examples" / "demo" / "inventory.py"

pytestmark = pytest.mark.slow


def start(tmp_path: Path) -> subprocess.Popen[str]:
    # A setting of the user's that would break the demo if it took part in it.
    env = {**os.environ, "TMPDIR": str(tmp_path), "DLMD_MODEL": "no/such/model"}
    env["OMP_NUM_THREADS"] = "1"  # threads that share a busy core wait for each other
    return subprocess.Popen(
        ["sh", str(REPO / "scripts" / "demo.sh")],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def process(line: str) -> int:
    return int(line.split("(process ")[1].split(")")[0])


def gone(pid: int) -> bool:
    """Ended, even where nobody has collected it yet, as in a container."""
    try:
        os.kill(pid, 0)
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        )
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it went between the two lines, or this is a Mac
        return Path("/proc").exists()


def test_it_fills_the_blank_line_and_ends_its_daemon(tmp_path: Path) -> None:
    original = EXAMPLE.read_text()
    demo = start(tmp_path)
    said, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, said
    [ready] = [line for line in said.splitlines() if line.startswith("ready on")]
    assert gone(process(ready))
    assert "step   1 of" in said
    before, after = said.split("After:")
    lines = original.splitlines()[35:42]
    assert lines[0] in before and lines[0] in after
    assert len(after.strip().splitlines()) >= len(
        before.split("dlmd:")[0].strip().splitlines()
    )
    assert EXAMPLE.read_text() == original
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_ends_its_daemon_too(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout
    for line in demo.stdout:
        if line.startswith("ready on"):
            break
    os.killpg(demo.pid, signal.SIGINT)
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Traceback" not in rest
    assert gone(process(line))
    assert list(tmp_path.iterdir()) == []
