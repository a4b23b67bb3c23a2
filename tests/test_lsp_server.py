"""dlmd_lsp.server over stdio: what it can, what it understands, how it ends."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp_rig import CAPABILITIES, ROOT, editing

pytestmark = pytest.mark.slow

FILLS = {
    "return ": "a + b",
    "# é漢😀e\u0301\nz = '漢😀e\u0301' + ": "'😀'",
    "last = ": "'end'",
}


async def test_it_says_what_it_can(quick: Path) -> None:
    async with editing(quick) as editor:
        assert editor.able.inline_completion_provider
        commands = editor.able.execute_command_provider
        assert commands is not None
        page = (ROOT / "docs" / "editors.md").read_text()
        assert set(commands.commands) == set(re.findall(r"`(dlmd\.\w+)`", page))
        # A client with inline completion must not see everything twice.
        assert editor.able.completion_provider is None
        accepted = types.ExecuteCommandParams("dlmd.accepted", [{"id": "lsp-1"}])
        assert await editor.request("workspace/executeCommand", accepted)[1] is None
        assert editor.shown == []


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


async def test_the_command_line_starts_it_too(quick: Path) -> None:
    async with editing(quick, argv=("-m", "dlmd", "lsp")) as editor:
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


def test_it_leaves_without_complaint_when_told_to() -> None:
    """An editor that restarts its server says `shutdown` and `exit`, and shows what fails."""
    said: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": {"capabilities": {}}},
        {"id": 2, "method": "shutdown"},
        {"method": "exit"},
    ]
    bodies = [json.dumps({"jsonrpc": "2.0", **one}) for one in said]
    left = subprocess.run(
        [sys.executable, "-m", "dlmd", "lsp"],
        input="".join(f"Content-Length: {len(b)}\r\n\r\n{b}" for b in bodies).encode(),
        capture_output=True,
        timeout=30,
    )
    assert (left.returncode, left.stderr) == (0, b"")


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
