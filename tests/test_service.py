"""The systemd unit: systemd itself reads it, its command really is the daemon.

No user session of systemd can be expected where tests run, so `systemctl` is a script that
writes down what it was told; the unit goes through the real `systemd-analyze`.
"""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from dlmd.service import unit_path, unit_text
from dlmd.wire.discovery import DAEMON

from tests.processes import Home


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.slow
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    folder = tmp_path / "a b $c %d"
    folder.mkdir()
    program = folder / "run me"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "dlmd.service"
    environment = {"DLMD_CONFIG_DIR": str(folder), "DLMD_RUNTIME_DIR": ""}
    unit.write_text(unit_text([str(program), "--x", "100%"], environment))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    # The check can fail:
    unit.write_text(unit_text(["/nowhere/at all"], {}))
    failed = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", str(unit)],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert failed.returncode != 0


def test_the_unit_starts_the_daemon_that_is_started_on_demand() -> None:
    [command] = [
        line.removeprefix("ExecStart=")
        for line in unit_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    assert tuple(shlex.split(command)) == DAEMON


def recording(folder: Path, exit_code: int = 0) -> tuple[str, Path]:
    """A PATH with a systemctl that writes down its words, and where."""
    told = folder / "told"
    program = folder / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {shlex.quote(str(told))}\n'
        f"echo no bus >&2\nexit {exit_code}\n"
    )
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin", told


def test_install_and_remove(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path, told = recording(tmp_path)
    unit = tmp_path / ".config" / "systemd" / "user" / "dlmd.service"
    assert home.run("service", "install", PATH=path).code == 0
    assert f"DLMD_CONFIG_DIR={tmp_path / 'config'}" in unit.read_text()
    assert home.run("service", "remove", PATH=path).code == 0
    assert not unit.exists()
    assert told.read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now dlmd.service",
        "--user disable --now dlmd.service",
        "--user daemon-reload",
    ]
    again = home.run("service", "remove", PATH=path)
    assert (again.code, again.out) == (0, b"no service was installed\n")


def test_no_user_session_is_one_sentence(tmp_path: Path) -> None:
    path, _ = recording(tmp_path, exit_code=1)
    failed = Home(tmp_path).run("service", "install", PATH=path)
    assert failed.code == 1 and "no bus" in failed.err
    assert failed.err.count("\n") == 1 and "`dlmd serve --detach`" in failed.err
    unit = tmp_path / ".config" / "systemd" / "user" / "dlmd.service"
    assert not unit.exists()


def test_what_was_installed_goes_away_whoever_answers(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path, _ = recording(tmp_path)
    assert home.run("service", "install", PATH=path).code == 0
    (tmp_path / "deaf").mkdir()
    deaf, _ = recording(tmp_path / "deaf", exit_code=1)
    assert home.run("service", "remove", PATH=deaf).code == 1
    unit = tmp_path / ".config" / "systemd" / "user" / "dlmd.service"
    assert not unit.exists()


def test_no_systemd_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    failed = Home(tmp_path).run("service", "install", PATH=str(tmp_path / "empty"))
    assert failed.code == 1 and "needs systemd" in failed.err


def test_the_unit_lies_where_systemd_looks(tmp_path: Path) -> None:
    assert unit_path({"XDG_CONFIG_HOME": str(tmp_path)}) == (
        tmp_path / "systemd" / "user" / "dlmd.service"
    )
