"""The log of a background daemon: its tail, its growth, and its successor's."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dlmd.logs import follow, read

from tests.processes import Home


def test_the_tail_counts_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_text("one\ntwo\nthree")
    assert read(log, None) == b"one\ntwo\nthree"
    assert read(log, 2) == b"two\nthree"
    assert read(log, 0) == b""


def test_without_a_log_it_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no log at .*`dlmd serve --detach`"):
        read(tmp_path / "daemon.log", None)


def test_following_goes_on_into_the_next_daemons_log(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_text("first\n")
    steps: list[Callable[[], object]] = [
        lambda: log.open("a").write("more\n"),
        lambda: log.replace(tmp_path / "daemon.log.1"),
        lambda: log.write_text("second\n"),
    ]

    def pause(seconds: float) -> None:
        steps.pop(0)()

    seen = follow(log, None, pause)
    assert [next(seen) for _ in range(3)] == [b"first\n", b"more\n", b"second\n"]
    seen.close()


@pytest.mark.slow
def test_the_log_of_a_real_daemon_is_shown_and_another_is_told_apart(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    none = home.run("logs")
    assert none.code == 1 and "no log at" in none.err
    assert home.run("serve", "--detach", DLMD_NO_START="").code == 0
    try:
        shown = home.run("logs", "-n", "3")
        assert b"listening on" in shown.out and shown.err == ""
    finally:
        home.run("stop")
    with home.fake_daemon():
        told = home.run("logs")
    assert b"listening on" in told.out and "of one before it" in told.err


@pytest.mark.slow
def test_ctrl_c_ends_following_quietly(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run" / "daemon.log").write_text("hello\n")
    with subprocess.Popen(
        [sys.executable, "-m", "dlmd", "logs", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=home.env(),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"hello\n"
        process.send_signal(2)
        assert process.stderr.read() == b""
        assert process.wait(10) in (130, -2)
