"""`textDocument/completion` for clients that know no inline completion: the best preselected.

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
    invoked = params.context is None or (
        params.context.trigger_kind == types.CompletionTriggerKind.Invoked
    )
    # Clients send Invoked for every letter too, but behind a space nobody asks but a person.
    by_hand = invoked and not _typed_on(editor, uri, params.position)
    asked = types.InlineCompletionParams(
        context=types.InlineCompletionContext(
            kinds.Invoked if by_hand else kinds.Automatic
        ),
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
    area, typed = types.Range(params.position, params.position), ""
    if items:
        area, typed = _word(editor, uri, params.position)
    return types.CompletionList(
        # What is typed next may fit another answer.
        is_incomplete=True,
        items=[
            _item(item, area, typed, rank, first=invoked and rank == 0)
            for rank, item in enumerate(items or [])
        ],
    )


def _typed_on(editor: Editor, uri: str, position: types.Position) -> bool:
    """Whether clients ask by themselves here: behind a word, or one of our triggers."""
    text = document.find(editor.workspace, uri)
    if text is None:
        return False
    before = text.source[: text.offset(position)][-1:]
    return before in TRIGGERS or WORD.match(before) is not None


def _word(
    editor: Editor, uri: str, position: types.Position
) -> tuple[types.Range, str]:
    """The word that is being typed: what clients compare items with, and some replace."""
    text = document.find(editor.workspace, uri)
    if text is None:
        return types.Range(position, position), ""
    end = text.offset(position)
    line = text.source[text.offset(types.Position(position.line, 0)) : end]
    found = WORD.search(line)
    typed = found.group() if found else ""
    return types.Range(text.span(end - len(typed), end).start, position), typed


def _item(
    item: types.InlineCompletionItem,
    area: types.Range,
    typed: str,
    rank: int,
    *,
    first: bool,
) -> types.CompletionItem:
    text = typed + str(item.insert_text)
    line = text.strip().partition("\n")[0].rstrip()
    return types.CompletionItem(
        label=line[:LABEL] + ("…" if len(line) > LABEL or "\n" in text.strip() else ""),
        # Not Snippet, which Helix would read as one, $ and indentation and all.
        kind=types.CompletionItemKind.Text,
        detail="dlmd",
        documentation=text,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(area, text),
        # Behind what a language server knows for certain.
        sort_text=f"~dlmd{rank}",
        filter_text=line,
        preselect=first,
        command=item.command,
    )
