"""Code actions over stdio, as a client without inline completion gets them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp_rig import CAPABILITIES, URI, daemon, editing

pytestmark = pytest.mark.slow

PLAIN = types.ClientCapabilities(
    workspace=CAPABILITIES.workspace,
    text_document=types.TextDocumentClientCapabilities(),
)
SOURCE = "def one(a):\n    ...\n\n\nx = 1\n"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("actions") / "r"
    with daemon(folder, {"def one(a):\n    ": "return a + 1"}):
        yield folder


def asked(row: int, **context: Any) -> types.CodeActionParams:
    at = types.Position(row, 4)
    return types.CodeActionParams(
        text_document=types.TextDocumentIdentifier(URI),
        range=types.Range(at, context.pop("end", at)),
        context=types.CodeActionContext(context.pop("diagnostics", []), **context),
    )


async def titles(editor: Any, params: types.CodeActionParams) -> list[str]:
    found = await editor.request("textDocument/codeAction", params)[1]
    return [action.title for action in found or []]


async def test_what_can_be_written_here_is_offered_and_done(runtime: Path) -> None:
    async with editing(runtime, capabilities=PLAIN) as editor:
        editor.open(SOURCE)
        found = await editor.request("textDocument/codeAction", asked(1))[1]
        assert [one.title for one in found] == [
            "dlmd: write the body of one",
            "dlmd: fill what is left open here (1)",
        ]
        # lsprotocol takes an action for a command, whose name is then the whole of it.
        command = ast.literal_eval(found[0].command)
        await editor.client.workspace_execute_command_async(
            types.ExecuteCommandParams(
                command["command"], arguments=command["arguments"]
            )
        )
        assert editor.text == SOURCE.replace("...", "return a + 1")


async def test_only_what_fits_the_place(runtime: Path) -> None:
    wrong = types.Diagnostic(
        types.Range(types.Position(4, 0), types.Position(4, 1)), ""
    )
    async with editing(runtime, capabilities=PLAIN) as editor:
        editor.open(SOURCE.replace("...", "pass"))
        assert await titles(editor, asked(4)) == []
        # A cursor in Helix, the word below it in ALE, and what somebody has selected.
        assert await titles(editor, asked(4, end=types.Position(4, 5))) == []
        word = await titles(editor, asked(0, end=types.Position(0, 7)))
        selected = await titles(editor, asked(0, end=types.Position(0, 10)))
        assert word == ["dlmd: write the body of one", "dlmd: write the selection anew"]
        assert selected == word[::-1]
        assert len(await titles(editor, asked(4, diagnostics=[wrong]))) == 1
        kinds = types.CodeActionKind
        assert await titles(editor, asked(1, only=[kinds.Source])) == []
        assert len(await titles(editor, asked(1, only=[kinds.Refactor]))) == 1


async def test_none_where_a_plugin_draws_and_none_in_secrets(runtime: Path) -> None:
    async with editing(runtime) as editor:
        assert editor.able.code_action_provider is None
    async with editing(runtime, capabilities=PLAIN) as editor:
        editor.uri = "file:///work%20place/.env"
        editor.open("def one(a):\n    ...\n")
        params = asked(1)
        params.text_document.uri = editor.uri
        assert await titles(editor, params) == []
