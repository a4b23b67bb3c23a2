"""The language server over stdio: inline completion in every state a daemon can be in."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.wire.protocol import Hello, Limits, Status, encode
from lsprotocol import types
from websockets.asyncio.server import ServerConnection, unix_serve

from tests.lsp_rig import (
    CAPABILITIES,
    Daemon,
    command,
    daemon,
    editing,
    end_daemon,
    serving,
)

pytestmark = pytest.mark.slow

LONG = " + ".join(f"x{number}" for number in range(40))
FILLS = {
    "return ": "a + b",
    "two = ": "1\nthree = 3",
    "print(": "a)",
    "if a:\n    ": "b = 1\n    c = 2\n\nd = 3\n",
    "\tif a:\n\t\t": "b = 1\n\t\tc = 2\n",
    "# é漢😀e\u0301\nz = '漢😀e\u0301' + ": "'😀'",
    "\f\nform = ": "'feed'",
    "last = ": "'end'",
    "long = ": LONG,
    "nothing = ": "\n\n",
}
SLOW_MS = 100


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("quick") / "run time"
    with daemon(folder, FILLS):
        yield folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Daemon]]:
    folder = tmp_path_factory.mktemp("slow") / "r"
    with daemon(folder, FILLS, SLOW_MS) as process:
        yield folder, process


async def test_it_says_what_it_can(quick: Path) -> None:
    async with editing(quick) as editor:
        assert editor.able.inline_completion_provider
        commands = editor.able.execute_command_provider
        assert commands is not None
        assert set(commands.commands) == {"dlmd.accepted", "dlmd.completeFunction"}
        accepted = types.ExecuteCommandParams("dlmd.accepted", [{"id": "lsp-1"}])
        assert await editor.request("workspace/executeCommand", accepted)[1] is None
        assert editor.shown == []


async def test_the_item(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        [item] = await editor.items(at)
        assert item.insert_text == "a + b"
        assert item.range == types.Range(types.Position(1, 11), types.Position(1, 11))
        assert item.command is not None
        assert item.command.command == "dlmd.accepted"
        assert editor.states == []
        assert (editor.shown, editor.logged) == ([], "")


@pytest.mark.parametrize(
    ("marked", "manual", "expected"),
    [
        ("two = |\n", False, ["1"]),
        ("two = |\n", True, ["1"]),
        ("print(|)\n", False, ["a"]),
        ("nothing = |\n", False, []),
        ("last = |", False, ["'end'"]),
        ("wo|rd\n", False, []),
        ("|", False, []),
        ("|", True, ["return value"]),
        ("if a:\n    |\n", False, ["b = 1"]),
        ("if a:\n    |\n", True, ["b = 1\n    c = 2"]),
        ("if a:\r\n    |\r\n", True, ["b = 1\r\n    c = 2"]),
        ("while 1:\r\n\tif a:\r\n\t\t|\r\n", True, ["b = 1\r\n\t\tc = 2"]),
        ("x\n\f\nform = |\n", False, ["'feed'"]),
    ],
)
async def test_answers(
    quick: Path, marked: str, manual: bool, expected: list[str]
) -> None:
    async with editing(quick) as editor:
        at = editor.open(marked)
        assert await editor.inserted(at, manual=manual) == expected


async def test_utf16_positions(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("# é漢😀e\u0301\nz = '漢😀e\u0301' + |\n")
        assert at == types.Position(1, 14)
        [item] = await editor.items(at)
        assert item.insert_text == "'😀'"
        assert item.range == types.Range(at, at)


async def test_edits_keep_both_texts_the_same(quick: Path) -> None:
    """Below a form feed and an emoji, where a server that counts otherwise drifts."""
    async with editing(quick) as editor:
        at = editor.open("s = '😀|'\n\f\n\x85\ny = 1\n")
        editor.type(at, "漢")
        at = editor.type(types.Position(4, 0), "def f(a, b):\n    return")
        at = editor.type(at, " ")
        assert await editor.inserted(at) == ["a + b"]
        # The whole text in one change is allowed in incremental sync too (LSP, didChange).
        whole = types.TextDocumentContentChangeWholeDocument("last = ")
        editor.version += 1
        editor.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(editor.version, editor.uri),
                [whole],
            )
        )
        assert await editor.inserted(types.Position(0, 99)) == ["'end'"]
        # Past the end of the file is its end.
        assert await editor.inserted(types.Position(9, 0)) == ["'end'"]


async def test_ten_thousand_lines(quick: Path) -> None:
    lines = "".join(f"def f{number}():\n    pass\n" for number in range(5_000))
    async with editing(quick) as editor:
        at = editor.open(lines + "return |\n" + lines)
        assert await editor.inserted(at) == ["a + b"]


async def test_other_languages_and_files_never_opened(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("{\n  return |;\n}\n", language="rust")
        assert await editor.inserted(at) == ["a + b"]
        answer = await editor.ask(at, uri="file:///nowhere/b.py")[1]
        assert list(answer.items) == []


async def test_an_open_menu_comes_first(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("return |\n")
        chosen = types.SelectedCompletionInfo(types.Range(at, at), "abs")
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(
                types.InlineCompletionTriggerKind.Automatic, chosen
            ),
            types.TextDocumentIdentifier(editor.uri),
            at,
        )
        answer = await editor.request("textDocument/inlineCompletion", params)[1]
        assert list(answer.items) == []


async def test_states_when_asked_for(quick: Path) -> None:
    async with editing(quick, liveStates=True) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        assert await editor.inserted(at) == ["a + b"]
        *drawn, end = editor.states
        assert drawn and not any(state.done for state in drawn)
        assert (end.done, list(end.holes)) == (True, [])
        for state in editor.states:
            assert (state.kind, state.id, state.version) == ("inline", drawn[0].id, 1)
            assert state.uri == editor.uri
            assert (state.position.line, state.position.character) == (1, 11)
            assert [len(one) for one in state.holes] == [
                len(one) for one in state.confidence
            ]
        steps = [state.step for state in drawn]
        assert steps == sorted(steps) and drawn[0].of == 3


async def test_states_of_a_single_line_end_at_its_break(quick: Path) -> None:
    async with editing(quick, liveStates=True) as editor:
        at = editor.open("two = |\n")
        assert await editor.inserted(at) == ["1"]
        last = editor.states[-2]
        assert list(last.holes) == [["1"]]


async def test_cancel_reaches_the_device_within_a_step(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        id, answer = editor.ask(at)
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.cancel(id)
        with pytest.raises(Exception, match="cancel"):
            await answer
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        # The forward under way, and one that may begin before the cancel gets there.
        assert process.forwards() <= before + 2 < before + editor.states[0].of
        assert [state.done for state in editor.states].count(True) == 1
        assert editor.shown == []


async def test_the_newest_request_cancels_the_older(slow: tuple[Path, Daemon]) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        older = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        at = editor.type(at, "0\nreturn ")
        assert await editor.inserted(at) == ["a + b"]
        assert older.done() and list(older.result().items) == []
        assert process.forwards() <= before + 2 + 3


async def test_typing_on_without_asking_drops_the_stale_result(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        answer = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.type(at, "1")
        assert list((await answer).items) == []
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 3


async def test_closing_the_file_cancels(slow: tuple[Path, Daemon]) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        answer = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.close()
        assert list((await answer).items) == []
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 2


async def test_two_files_do_not_cancel_each_other(slow: tuple[Path, Daemon]) -> None:
    folder, _ = slow
    async with editing(folder) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        first = editor.ask(at)[1]
        editor.uri += "x"
        there = editor.open("last = |")
        assert await editor.inserted(there) == ["'end'"]
        assert [item.insert_text for item in (await first).items] == ["a + b"]


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
        at = editor.open("def f(a, b):\n    return |\n")
        pids = []
        try:
            for _ in range(2):
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


async def test_options_that_make_no_sense_are_named(quick: Path) -> None:
    async with editing(quick, liveStates="yes", lineTokens=0, mode="best") as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        assert await editor.inserted(at) == ["a + b"]
        for key in ("liveStates", "lineTokens", "mode"):
            assert editor.logged.count(key) == 1
        assert editor.shown == []


async def test_half_a_character_is_no_error(quick: Path) -> None:
    """Editors in UTF-16 can hold half of a surrogate pair; JSON carries it."""
    async with editing(quick) as editor:
        at = editor.open("x = 1\n|\n")
        at = editor.type(at, chr(0xD83D))
        assert await editor.inserted(at) == []
        assert "half of a surrogate pair" in editor.logged
        assert editor.shown == []


async def test_edits_to_a_file_never_opened_pop_nothing_up(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        editor.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(2, "file:///other.py"),
                [types.TextDocumentContentChangeWholeDocument("x")],
            )
        )
        assert await editor.inserted(at) == ["a + b"]
        assert editor.shown == []
        assert "internal error" in editor.logged


async def test_a_client_without_capabilities(quick: Path) -> None:
    bare = types.ClientCapabilities()
    assert bare != CAPABILITIES
    async with editing(quick, capabilities=bare) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        assert await editor.inserted(at) == ["a + b"]


async def test_an_editor_that_dies_takes_the_server_along(quick: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dlmd_lsp",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    server.stdin.close()
    assert await asyncio.wait_for(server.wait(), 30) == 0


def test_it_loads_neither_torch_nor_a_tokenizer() -> None:
    code = (
        "import sys, dlmd_lsp.server\n"
        "heavy = {'torch', 'transformers', 'peft', 'tokenizers', 'numpy'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
