"""`textDocument/completion` for clients that know no inline completion: one item, preselected.

The same text from the same pipeline. No space among the triggers: a menu that pops up at every
space is what people switch off first. Must not know how the text is found.
"""

from __future__ import annotations

import re

from lsprotocol import types

from dlmd_lsp import document, inline
from dlmd_lsp.editor import Editor

TRIGGERS = (".", "(", "[", "{", "=", ":", ",", '"', "'", ">")
LABEL = 60
WORD = re.compile(r"\w+$")


def offer(editor: Editor) -> None:
    """Only now, because a client that has both would show everything twice."""
    options = types.CompletionOptions(trigger_characters=list(TRIGGERS))
    editor.feature(types.TEXT_DOCUMENT_COMPLETION, options)(complete)


async def complete(
    editor: Editor, params: types.CompletionParams
) -> types.CompletionList:
    uri = params.text_document.uri
    kinds = types.InlineCompletionTriggerKind
    by_hand = params.context is None or (
        params.context.trigger_kind == types.CompletionTriggerKind.Invoked
    )
    asked = types.InlineCompletionParams(
        # Clients send Invoked for every letter too, so this is no sign of a person asking.
        context=types.InlineCompletionContext(kinds.Automatic),
        text_document=params.text_document,
        position=params.position,
    )
    try:
        items = await editor.session.newest(
            "inline", uri, inline.complete(editor, asked)
        )
    except Exception as error:
        editor.session.because(uri, "internal", f"{type(error).__name__}: {error}")
        editor.log_once(f"internal error: {type(error).__name__}: {error}")
        items = None
    text = document.find(editor.workspace, uri)
    line = "" if text is None else text.source[: text.offset(params.position)]
    word = WORD.search(line.rpartition("\n")[2])
    typed = word.group() if word else ""
    return types.CompletionList(
        # What is typed next may fit another answer.
        is_incomplete=True,
        items=[
            _item(item, params.position, typed, first=by_hand) for item in items or []
        ],
    )


def _item(
    item: types.InlineCompletionItem,
    position: types.Position,
    typed: str,
    *,
    first: bool,
) -> types.CompletionItem:
    text = str(item.insert_text)
    line = text.strip().partition("\n")[0].rstrip()
    return types.CompletionItem(
        label=line[:LABEL] + ("…" if len(line) > LABEL or "\n" in text.strip() else ""),
        kind=types.CompletionItemKind.Snippet,
        detail="dlmd",
        documentation=text,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(types.Range(position, position), text),
        # Behind what a language server knows for certain.
        # Clients compare with the word that is being typed, which is not in the text.
        filter_text=typed + line,
        sort_text="~dlmd",
        preselect=first,
        command=item.command,
    )
