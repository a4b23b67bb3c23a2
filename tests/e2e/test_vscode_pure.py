"""The extension's own tests, of its pure parts, and its types: run as its developers would."""

import os
import shutil
import subprocess

import pytest

from tests.e2e.room import REPOSITORY

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.skipif(not os.environ.get("VSIX"), reason="the extension was not built")
def test_types_and_pure_parts() -> None:
    npm = shutil.which("npm")
    assert npm is not None
    home = REPOSITORY / "editors" / "vscode"
    done = subprocess.run(
        [npm, "test", "--silent"], cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
