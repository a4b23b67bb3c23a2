"""`textDocument/inlineCompletion`: one hole at the cursor, one item or none.

Nothing here raises to the editor and nothing pops up: whatever goes wrong means no item and
a line in the log. Must not know how the daemon is reached.
"""

from __future__ import annotations

import logging
from contextlib import aclosing

from dlmd.wire.client import DaemonFailure
from dlmd.wire.protocol import HolePart, Result, hole
from lsprotocol import types

from dlmd_lsp import context, document
from dlmd_lsp.editor import Editor
from dlmd_lsp.lines import line_ending

logger = logging.getLogger(__name__)
QUIET_CODES = {"cancelled", "superseded"}


async def complete(
    editor: Editor, params: types.InlineCompletionParams
) -> list[types.InlineCompletionItem]:
    uri = params.text_document.uri
    text = document.find(editor.workspace, uri)
    ask = None if text is None else planned(editor, text, params)
    if text is None or ask is None:
        return []
    id = editor.session.new_id()
    try:
        answer = await _answer(editor, text, ask, params.position, id)
    except DaemonFailure as failure:
        if failure.code not in QUIET_CODES:
            editor.log_once(str(failure))
        return []
    except (OSError, ValueError) as error:
        editor.log_once(str(error))
        return []
    return [_item(answer, params.position, id)] if answer else []


def planned(
    editor: Editor, text: document.Document, params: types.InlineCompletionParams
) -> context.Ask | None:
    """The hole, or None; why there is none is told on the debug log."""
    if params.context.selected_completion_info is not None:
        # The item would have to begin with the menu's selection (LSP 3.18).
        logger.debug("nothing asked: menu-open")
        return None
    found = context.plan(
        text.source,
        text.offset(params.position),
        manual=params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked,
        ending=line_ending(text.source),
        budget=editor.session.options.budget,
    )
    if isinstance(found, context.Ask):
        return found
    logger.debug("nothing asked: %s", found)
    return None


async def _answer(
    editor: Editor,
    text: document.Document,
    ask: context.Ask,
    position: types.Position,
    id: str,
) -> str:
    version, uri = text.version, text.uri
    base = {
        "kind": "inline",
        "id": id,
        "uri": uri,
        "version": version,
        "position": position,
        "range": types.Range(position, position),
    }
    session = editor.session
    with editor.drawing(base, wanted=session.options.live_states) as draw:
        messages = session.infill(id, parts(ask), explicit=False)
        async with aclosing(messages):
            async for message in messages:
                current = document.find(editor.workspace, uri)
                if current is None or current.version != version:
                    return ""  # typed on meanwhile: leaving the stream cancels it
                if isinstance(message, Result):
                    editor.recovered()
                    return context.insertion(ask, message.candidates[0].holes[0])
                holes = [context.shown(ask, pieces) for pieces in message.holes]
                draw(message, holes, False)
    return ""


def parts(ask: context.Ask) -> list[str | HolePart]:
    return [
        part if isinstance(part, str) else hole(max_tokens=part)
        for part in context.parts(ask)
    ]


def _item(answer: str, position: types.Position, id: str) -> types.InlineCompletionItem:
    return types.InlineCompletionItem(
        insert_text=answer,
        range=types.Range(position, position),
        command=types.Command(
            title="dlmd: accepted", command="dlmd.accepted", arguments=[{"id": id}]
        ),
    )
