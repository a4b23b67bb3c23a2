"""What must not stand in a public repository: places and names of one developer's machine."""

import re
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
# Written in pieces, so that this file is not its own finding.
PRIVATE = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:root|work)/" + r"\w",
            r"/home/" + r"(?!user\b|me\b|you\b|ada\b)\w+",
            r"/Users/" + r"\w",
            r"\.\./" + r"shared\b",
            r"-----BEGIN [A-Z ]*PRIVATE " + "KEY",
        ]
    )
)


def tracked() -> list[Path]:
    run = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True
    )
    if run.returncode:
        pytest.skip("not a git checkout")
    return [REPO / name for name in run.stdout.split("\0") if name]


def findings(text: str) -> list[str]:
    return [m.group() for m in PRIVATE.finditer(text)]


def test_no_tracked_file_names_a_private_place() -> None:
    found = {}
    for path in tracked():
        if not path.exists() or b"\0" in (data := path.read_bytes())[:8192]:
            continue
        if hits := findings(data.decode(errors="replace")):
            found[str(path.relative_to(REPO))] = hits
    assert found == {}


def test_a_private_place_is_seen() -> None:
    assert findings("open('/ro" + "ot/x')") and findings("cat ../sha" + "red/x")
    assert not findings("see network/work/x, ../shared_ptr, /home/user/x")
