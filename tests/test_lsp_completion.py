"""Plain completion, for editors that know no inline completion: one item, never at a space."""

from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp_rig import Editor, editing

pytestmark = pytest.mark.slow

PLAIN = types.ClientCapabilities()
FILLS = {
    "total = ": "price * count",
    "größe = '😀' + ": "größe * 2\n",
    "größe = '😀' + grö": "ße * 2\n",
    "print(": "total, 1)",
    "f(x):\n\t\t": "return x\n\t\treturn 2\n",
    "f(x):\r\n\t\t": "return x\r\n\t\treturn 2\r\n",
}


async def offered(editor: Editor, at: types.Position) -> types.CompletionItem:
    params = types.CompletionParams(types.TextDocumentIdentifier(editor.uri), at)
    answer = await editor.request("textDocument/completion", params)[1]
    assert answer.is_incomplete
    [item] = answer.items
    assert isinstance(item, types.CompletionItem)
    return item


async def test_a_client_without_inline_completion(quick: Path) -> None:
    async with editing(quick, capabilities=PLAIN) as editor:
        able = editor.able.completion_provider
        assert able is not None and able.trigger_characters
        assert not any(letter.isspace() for letter in able.trigger_characters)
        at = editor.open("total = |\n")
        item = await offered(editor, at)
        assert item.text_edit == types.TextEdit(types.Range(at, at), "price * count")
        assert item.label == "price * count"
        assert item.kind == types.CompletionItemKind.Text


async def test_a_word_that_is_being_typed_belongs_to_the_item(quick: Path) -> None:
    # Clients compare items with it, and Vim's ALE replaces it whatever the range says.
    async with editing(quick, capabilities=PLAIN) as editor:
        at = editor.open("größe = '😀' + grö|\n")
        item = await offered(editor, at)
        began = types.Position(at.line, at.character - len("grö"))
        assert item.text_edit == types.TextEdit(types.Range(began, at), "größe * 2")
        assert item.label == item.filter_text == "größe * 2"


async def test_by_hand_it_comes_however_unsure(quick: Path) -> None:
    # Behind a space nobody asks but a person; behind a word clients ask by themselves.
    async with editing(quick, capabilities=PLAIN, threshold=1.0) as editor:
        assert (
            await offered(editor, editor.open("total = |\n"))
        ).label == "price * count"
        at = editor.open("größe = '😀' + grö|\n")
        params = types.CompletionParams(types.TextDocumentIdentifier(editor.uri), at)
        answer = await editor.request("textDocument/completion", params)[1]
        assert not answer.items


async def test_behind_a_space_nothing_comes_by_itself(quick: Path) -> None:
    async with editing(quick, capabilities=PLAIN, threshold=1.0) as editor:
        at = editor.open("total = |\n")
        again = types.CompletionTriggerKind.TriggerForIncompleteCompletions
        params = types.CompletionParams(
            types.TextDocumentIdentifier(editor.uri), at, types.CompletionContext(again)
        )
        answer = await editor.request("textDocument/completion", params)[1]
        assert not answer.items


@pytest.mark.parametrize(
    "marked, expected",
    [
        ("print(|)\n", "print(total, 1)\n"),
        ("print(|, 1)\n", "print(total, 1)\n"),
        (
            "def f(x):\n\t\t|\n\ny = 1\n",
            "def f(x):\n\t\treturn x\n\t\treturn 2\n\ny = 1\n",
        ),
        (
            "def f(x):\r\n\t\t|\r\n\r\ny = 1\r\n",
            "def f(x):\r\n\t\treturn x\r\n\t\treturn 2\r\n\r\ny = 1\r\n",
        ),
    ],
)
async def test_what_is_put_in_repeats_nothing(
    quick: Path, marked: str, expected: str
) -> None:
    async with editing(quick, capabilities=PLAIN) as editor:
        item = await offered(editor, editor.open(marked))
        before, _, after = marked.partition("|")
        assert isinstance(item.text_edit, types.TextEdit)
        assert before + item.text_edit.new_text + after == expected
