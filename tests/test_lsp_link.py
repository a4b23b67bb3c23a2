"""dlmd_lsp.link over stdio: no daemon, a dead one, one to start, one of another version."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from dlmd.wire.protocol import Hello, Limits, Status, encode
from websockets.asyncio.server import ServerConnection, unix_serve

from tests.lsp_rig import command, daemon, editing, end_daemon, serving

pytestmark = pytest.mark.slow

LONG = " + ".join(f"x{number}" for number in range(40))
FILLS = {"return ": "a + b", "long = ": LONG}
SLOW_MS = 100


async def test_no_daemon_is_quiet(tmp_path: Path) -> None:
    async with editing(tmp_path) as editor:
        at = editor.open("return |\n")
        for _ in range(3):
            assert await editor.inserted(at) == []
        assert editor.shown == []
        assert [status.phase for status in editor.statuses] == ["stopped"]
        assert len(editor.client.log_messages) == 1
        assert "no daemon runs; start one with `dlmd serve`" in editor.logged


async def test_environment_forbids_to_start(tmp_path: Path) -> None:
    async with editing(
        tmp_path, extra_env={"DLMD_NO_START": "1"}, startDaemon=True
    ) as editor:
        at = editor.open("return |\n")
        assert await editor.inserted(at) == []
        assert not (tmp_path / "daemon.json").exists()
        assert [status.phase for status in editor.statuses] == ["stopped"]


async def test_a_daemon_is_started_on_demand_and_again_after_its_death(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    start = command(folder, FILLS)
    async with editing(folder, startDaemon=True, daemonCommand=start) as editor:
        pids = []
        try:
            for _ in range(2):
                # Elsewhere each time: what was offered at a place is still known there.
                editor.uri += "x"
                at = editor.open("def f(a, b):\n    return |\n")
                assert await editor.inserted(at) == ["a + b"]
                pids.append(serving(folder))
                os.kill(pids[-1], 9)
        finally:
            end_daemon(folder)
        assert len(set(pids)) == 2
        assert editor.logged.count("starting the dlmd daemon") == 2
        phases = [status.phase for status in editor.statuses]
        assert phases[0] == "starting" and phases.count("starting") == 2
        assert editor.shown == []


async def test_a_daemon_that_a_person_stopped_stays_stopped(tmp_path: Path) -> None:
    """Until somebody starts one; what dies by itself is started again."""
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    start = command(folder, FILLS)
    stop = (sys.executable, "-m", "dlmd", "stop")
    env = {**os.environ, "DLMD_RUNTIME_DIR": str(folder)}
    async with editing(folder, startDaemon=True, daemonCommand=start) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        try:
            assert await editor.inserted(at) == ["a + b"]
            stopping = await asyncio.create_subprocess_exec(*stop, env=env)
            assert await stopping.wait() == 0
            for _ in range(3):
                editor.uri += "x"
                at = editor.open("def f(a, b):\n    return |\n")
                assert await editor.inserted(at) == []
            assert not (folder / "daemon.json").exists()
            assert editor.logged.count("was stopped with `dlmd stop`") == 1
            with daemon(folder, FILLS) as byhand:
                assert await editor.inserted(at) == ["a + b"]
                byhand.kill()
                await editor.until(lambda: editor.statuses[-1].phase == "stopped")
            editor.uri += "x"
            at = editor.open("def f(a, b):\n    return |\n")
            assert await editor.inserted(at) == ["a + b"]
        finally:
            end_daemon(folder)
        assert editor.logged.count("starting the dlmd daemon") == 2
        assert editor.shown == []


async def test_a_daemon_that_still_loads_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    start = command(folder, FILLS, 0, "--load-ms", "1000")
    async with editing(folder, startDaemon=True, daemonCommand=start) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        try:
            assert await editor.inserted(at) == ["a + b"]
        finally:
            end_daemon(folder)
        loading = [one for one in editor.statuses if one.phase == "loading"]
        assert loading and all(0 <= one.bytesDone <= one.bytesTotal for one in loading)
        await editor.until(lambda: editor.statuses[-1].phase == "stopped")


async def test_a_daemon_killed_in_mid_stream(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    with daemon(folder, FILLS, SLOW_MS) as process:
        async with editing(folder, liveStates=True) as editor:
            at = editor.open("long = |\n")
            answer = editor.ask(at)[1]
            await editor.until(lambda: editor.states)
            process.kill()
            assert list((await answer).items) == []
            await editor.until(lambda: editor.statuses[-1].phase == "stopped")
            assert editor.states[-1].done
            assert "went away" in editor.logged
            assert editor.shown == []
            with daemon(folder, FILLS):
                at = editor.type(at, "1\nreturn ")
                assert await editor.inserted(at) == ["a + b"]
            assert editor.shown == []


async def test_a_start_that_fails_is_not_tried_by_every_keystroke(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "r"
    mark = tmp_path / "starts"
    code = (
        f"open({str(mark)!r}, 'a').write('x'); print('no weights'); raise SystemExit(3)"
    )
    start = [sys.executable, "-c", code]
    async with editing(folder, startDaemon=True, daemonCommand=start) as editor:
        at = editor.open("return |\n")
        for _ in range(3):
            assert await editor.inserted(at) == []
        assert mark.read_text() == "x"
        assert "no weights" in editor.logged
        assert editor.shown == []


async def test_another_version_is_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    socket = tmp_path / "s"

    async def greet(connection: ServerConnection) -> None:
        status = Status(phase="ready")
        hello = Hello(version="9.9.9", limits=Limits(), status=status)
        await connection.send(encode(hello))
        await connection.wait_closed()

    about = {"pid": os.getpid(), "socket": str(socket), "version": "9.9.9"}
    (folder / "daemon.json").write_text(json.dumps({**about, "started": 0}))
    async with unix_serve(greet, str(socket)), editing(folder) as editor:
        at = editor.open("return |\n")
        for _ in range(2):
            assert await editor.inserted(at) == []
        assert editor.logged.count("9.9.9") == 1
        assert "`dlmd stop`" in editor.logged
        assert [status.phase for status in editor.statuses] == ["failed"]
        assert editor.shown == []


async def test_why_there_is_nothing_yet(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits = [sys.executable, "-c", f"open({str(gate)!r}).read()"]
    async with editing(tmp_path, startDaemon=True, daemonCommand=waits) as editor:
        request, _ = editor.ask(editor.open("x = |\n"))
        await editor.until(lambda: editor.statuses)
        told = await editor.run("dlmd.whyNot")
        assert told["code"] is None
        assert told["message"].startswith("not ready yet: ")
        editor.cancel(request)
        gate.write_text("")  # it ends
