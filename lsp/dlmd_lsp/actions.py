"""`textDocument/codeAction` for clients that know no inline completion: the commands, by name.

An editor without a plugin of ours cannot put a place into a command's arguments; an action
that the server offers for a place has it in them already. Must not know how a command works.
"""

from __future__ import annotations

import re
from typing import Any

from lsprotocol import types

from dlmd_lsp import document
from dlmd_lsp.ask.gate import never
from dlmd_lsp.commands import write
from dlmd_lsp.commands.arguments import Arguments
from dlmd_lsp.commands.work import Work
from dlmd_lsp.editor import Editor

KIND = types.CodeActionKind.RefactorRewrite
WORD = re.compile(r"\w+")
TITLES = {
    "rewrite": "write the selection anew",
    "completeFunction": "write the body of {name}",
    "fillHoles": "fill what is left open here ({count})",
    "repair": "mend what is doubtful here",
}


def offer(editor: Editor) -> None:
    """Only where no plugin of ours draws: elsewhere a light bulb would burn on every line."""
    options = types.CodeActionOptions(code_action_kinds=[KIND])
    editor.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)(actions)


def actions(
    editor: Editor, params: types.CodeActionParams
) -> list[types.CodeAction] | None:
    text = document.find(editor.workspace, params.text_document.uri)
    only = params.context.only
    if text is None or never(text) is not None:
        return None
    if only and not any(f"{KIND.value}.".startswith(f"{one}.") for one in only):
        return None
    at, area = params.range.start, params.range
    uri = text.uri
    found: list[types.CodeAction] = []

    def add(command: str, given: Arguments, **more: Any) -> None:
        try:
            made = _made(command, text, given, editor)
        except ValueError:
            return  # there is nothing of the kind here
        title = "dlmd: " + TITLES[command].format(
            name=made.title.removeprefix("filling "), count=len(made.regions)
        )
        argument = {"uri": uri, "version": text.version, **more}
        run = types.Command(
            title=title, command=f"dlmd.{command}", arguments=[argument]
        )
        found.append(types.CodeAction(title=title, kind=KIND, command=run))

    chosen = text.source[text.offset(area.start) : text.offset(area.end)]
    # In Helix a cursor is a selection of one character, and ALE sends the word there.
    selected = len(chosen) > 1 and WORD.fullmatch(chosen) is None
    if selected:
        add("rewrite", Arguments(uri=uri, range=area), range=_plain(area))
    add("completeFunction", Arguments(uri=uri, position=at), position=_plain(at))
    add("fillHoles", Arguments(uri=uri, position=at), position=_plain(at))
    if len(chosen) > 1 and not selected:
        add("rewrite", Arguments(uri=uri, range=area), range=_plain(area))
    if params.context.diagnostics:
        wrong = [{"range": _plain(one.range)} for one in params.context.diagnostics]
        ranges = tuple(one.range for one in params.context.diagnostics)
        add("repair", Arguments(uri=uri, diagnostics=ranges), diagnostics=wrong)
    return found


def _made(
    command: str, text: document.Document, given: Arguments, editor: Editor
) -> Work:
    if command == "rewrite":
        return write.rewrite(text, given)
    if command == "completeFunction":
        return write.function(text, given, editor.session.options.budget)
    if command == "fillHoles":
        return write.holes(
            text, given, editor.session.options.budget, editor.session.link.context
        )
    return write.repair(text, given)


def _plain(place: types.Position | types.Range) -> dict[str, Any]:
    """As the client sends it back: arguments of a command have no type of their own."""
    if isinstance(place, types.Range):
        return {"start": _plain(place.start), "end": _plain(place.end)}
    return {"line": place.line, "character": place.character}
