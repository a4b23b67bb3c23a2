"""The command `dlmd.completeFunction`: signature and docstring stay, the body is filled.

One hole over the body, drawn while it settles, one undoable edit at the end. What goes wrong
is shown in one sentence, because somebody asked for this. Must not know how the daemon is
reached, nor how Python is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from dlmd.wire.protocol import HolePart, Result, State, hole
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from dlmd_lsp import document
from dlmd_lsp.context import around
from dlmd_lsp.editor import Editor
from dlmd_lsp.function_body.find import find_body
from dlmd_lsp.function_body.fit import Body, fit
from dlmd_lsp.lines import line_ending

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The body to replace, in one version of one document."""

    uri: str
    version: int
    source: str
    range: types.Range
    body: Body


async def complete_function(editor: Editor, arguments: tuple[Any, ...]) -> Outcome:
    """What the command answers; a refusal or failure was shown before."""
    try:
        target = _target(editor, *_arguments(arguments))
        done = await editor.session.newest(
            "function", target.uri, _replace(editor, target)
        )
    except (OSError, ValueError, JsonRpcException) as error:
        editor.show(str(error))
        return {"applied": False, "reason": str(error)}
    return {"applied": True} if done else {"applied": False, "reason": "cancelled"}


def _arguments(
    arguments: tuple[Any, ...],
) -> tuple[str, types.Position, int | None]:
    match arguments:
        case (str(uri), {"line": int(line), "character": int(character)}, *rest):
            if line >= 0 and character >= 0 and len(rest) <= 1:
                version = rest[0] if rest else None
                if version is None or isinstance(version, int):
                    return uri, types.Position(line, character), version
    raise ValueError(
        "dlmd.completeFunction was called with other arguments than "
        "[uri, {line, character}, version]; update the editor's dlmd plugin"
    )


def _target(
    editor: Editor, uri: str, position: types.Position, version: int | None
) -> Target:
    text = document.find(editor.workspace, uri)
    if text is None or text.version is None:
        raise ValueError(f"{uri} is not open in the editor; open it and try again")
    if version is not None and version != text.version:
        raise ValueError(CHANGED)
    if text.language_id != "python" and not text.path.endswith((".py", ".pyi")):
        raise ValueError(
            f"whole functions are filled in Python only, and this is {text.language_id or 'not'}; "
            "use inline completion here"
        )
    body = find_body(text.source, text.offset(position))
    return Target(
        uri=text.uri,
        version=text.version,
        source=text.source,
        range=text.span(body.start, body.end),
        body=body,
    )


CHANGED = (
    "the document changed while the function was being filled, so nothing was inserted; "
    "run the command again"
)


async def _replace(editor: Editor, target: Target) -> bool:
    source, body = target.source, target.body
    after = source[body.end :]
    async with _progress(editor, f"dlmd: filling {body.name}") as report:
        text = fit(body, await _answer(editor, target, report), after)
    if not text.strip():
        raise ValueError(
            f"the model left the body of {body.name} empty; say more in its docstring "
            "and try again"
        )
    new = (body.lead + text).replace("\n", line_ending(source))
    await _apply(editor, target, new)
    return True


async def _answer(
    editor: Editor, target: Target, report: Callable[[State], None]
) -> str:
    session, body = editor.session, target.body
    id = session.new_id()
    base = {
        "kind": "function",
        "id": id,
        "uri": target.uri,
        "version": target.version,
        "position": target.range.start,
        "range": target.range,
    }
    with editor.drawing(base) as draw:
        messages = session.infill(id, _parts(editor, target), explicit=True)
        async with aclosing(messages):
            async for message in messages:
                _unchanged(editor, target)
                if isinstance(message, Result):
                    editor.recovered()
                    return message.candidates[0].holes[0]
                report(message)
                # What is drawn replaces the range, so the line break before a body is in it.
                lead: list[str | int] = [body.lead] if body.lead else []
                draw(message, [lead + pieces for pieces in message.holes], bool(lead))
    raise AssertionError("a request ends in a result or an error")


def _parts(editor: Editor, target: Target) -> list[str | HolePart]:
    body = target.body
    before, after = around(target.source, body.start, body.end)
    tokens = editor.session.options.budget.function
    return [before + body.lead, hole(max_tokens=tokens), *([after] if after else [])]


def _unchanged(editor: Editor, target: Target) -> None:
    current = document.find(editor.workspace, target.uri)
    if current is None or current.version != target.version:
        raise ValueError(CHANGED)


async def _apply(editor: Editor, target: Target, new: str) -> None:
    _unchanged(editor, target)
    edit = types.TextEdit(target.range, new)
    workspace = editor.client_capabilities.workspace
    edits = workspace.workspace_edit if workspace else None
    if edits is not None and edits.document_changes:
        where = types.OptionalVersionedTextDocumentIdentifier(
            uri=target.uri, version=target.version
        )
        change = types.WorkspaceEdit(
            document_changes=[types.TextDocumentEdit(where, [edit])]
        )
    else:
        change = types.WorkspaceEdit(changes={target.uri: [edit]})
    answer = await editor.workspace_apply_edit_async(
        types.ApplyWorkspaceEditParams(edit=change, label=f"fill {target.body.name}")
    )
    if not answer.applied:
        reason = answer.failure_reason or "it gave no reason"
        raise ValueError(f"the editor did not take the edit ({reason}); try again")


@asynccontextmanager
async def _progress(
    editor: Editor, title: str
) -> AsyncIterator[Callable[[State], None]]:
    """Work-done progress where the editor has it; its cancel button cancels this task."""
    token, progress = str(uuid4()), editor.work_done_progress
    if not await _created(editor, token):
        yield lambda state: None
        return
    task = asyncio.current_task()
    assert task is not None
    progress.tokens[token].add_done_callback(lambda _: task.cancel())
    progress.begin(
        token,
        types.WorkDoneProgressBegin(title=title, cancellable=True, percentage=0),
    )

    def report(state: State) -> None:
        progress.report(
            token,
            types.WorkDoneProgressReport(
                message=f"step {state.step} of {state.of}",
                percentage=100 * state.step // max(1, state.of),
            ),
        )

    try:
        yield report
    finally:
        progress.end(token, types.WorkDoneProgressEnd())
        del progress.tokens[token]


async def _created(editor: Editor, token: str) -> bool:
    window = editor.client_capabilities.window
    if window is None or not window.work_done_progress:
        return False
    try:
        await editor.work_done_progress.create_async(token)
    except JsonRpcException:
        return False  # an editor may refuse to show progress (LSP, Work Done Progress)
    return True
