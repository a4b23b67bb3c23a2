"""Tests of rooms and of attacks on rewards, once more as an ordinary user.

Those that open a room of their own for each attack are left to whoever asks for everything:
DLMD_EVERYTHING=1 .venv/bin/python -m pytest tests/test_room_unprivileged.py. Where they
run as an ordinary user already there is nothing left to do. Root gives this
run a mount namespace of its own, in which the interpreter can be reached although it lies in
root's folder; nothing is changed outside.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import room_rig as rig

pytestmark = pytest.mark.slow
REPO = Path(__file__).resolve().parent.parent
FILES = [
    *("tests/test_room.py", "tests/test_sandbox.py", "tests/attacks/test_rewards.py"),
    *("tests/test_ahead.py", "tests/test_visit.py", "tests/test_e2b_remote.py"),
    "tests/test_tree.py",
]
MORE = ["tests/test_e2b.py", "tests/test_rooming.py"]
QUICK = "not succeeds_without and not holds_without"
# What an ordinary user cannot try, or cannot have alone.
SKIPS = ("only root", "counts all processes", "is limited together")
UID = "65534"
# Opens each closed folder above what is needed, by an empty one in its place that shows
# only what is needed.
OPEN = """
set -e
keep=$(mktemp -d)
n=0
for place in "$@"; do
    n=$((n + 1)); mkdir "$keep/$n"; mount --bind "$place" "$keep/$n"
done
n=0
for place in "$@"; do
    n=$((n + 1))
    if ! setpriv --reuid=$UID_ --regid=$UID_ --clear-groups test -x "$place"; then
        top=/$(echo "$place" | cut -d/ -f2)
        mountpoint -q "$top" || mount -t tmpfs -o mode=755 tmpfs "$top"
    fi
    mkdir -p "$place"
    mount --bind "$keep/$n" "$place"
done
exec setpriv --reuid=$UID_ --regid=$UID_ --clear-groups --inh-caps=-all "$PYTHON" -m pytest \
    -o addopts=--import-mode=importlib -q -rs -p no:cacheprovider --timeout=900 -k "$CHOSEN" $FILES_ --basetemp="$TMPDIR/pytest"
"""


@pytest.mark.timeout(1200)
def test_they_hold_for_an_ordinary_user(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("these run as an ordinary user already")
    if missing := [name for name in ("unshare", "setpriv") if not shutil.which(name)]:
        pytest.skip(f"to become an ordinary user this needs {missing[0]}")
    everything = bool(os.environ.get("DLMD_EVERYTHING"))
    home = Path("/tmp") / f"dlmd-unprivileged-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, int(UID), int(UID))
    places = [sys.base_prefix, sys.prefix, str(REPO)]
    try:
        run = subprocess.run(
            ["unshare", "--mount", "sh", "-c", OPEN, "sh", *places],
            cwd=REPO,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "TMPDIR": str(home),
                "PYTHONDONTWRITEBYTECODE": "1",
                "UID_": UID,
                "PYTHON": sys.executable,
                "FILES_": " ".join(FILES + (MORE if everything else [])),
                "CHOSEN": "" if everything else QUICK,
                "LANG": "C.UTF-8",
            },
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if "unshare failed" in run.stderr:
        pytest.skip("no mount namespace can be had here to run as an ordinary user in")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    skipped = [line for line in run.stdout.split("\n") if line.startswith("SKIPPED")]
    odd = [line for line in skipped if not any(each in line for each in SKIPS)]
    assert rig.missing() or not odd, odd
    assert " passed" in run.stdout
