"""Work-done progress, where the editor has it. Must not know what is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from dlmd.wire.protocol import State
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from dlmd_lsp.editor import Editor

Report = Callable[[State], None]


@asynccontextmanager
async def progress(editor: Editor, title: str) -> AsyncIterator[Report]:
    """Its cancel button cancels this task."""
    token, shown = str(uuid4()), editor.work_done_progress
    if not await _created(editor, token):
        yield lambda state: None
        return
    task = asyncio.current_task()
    assert task is not None
    shown.tokens[token].add_done_callback(lambda _: task.cancel())
    shown.begin(
        token,
        types.WorkDoneProgressBegin(title=title, cancellable=True, percentage=0),
    )

    def report(state: State) -> None:
        shown.report(
            token,
            types.WorkDoneProgressReport(
                message=f"step {state.step} of {state.of}",
                percentage=min(100, 100 * state.step // max(1, state.of)),
            ),
        )

    try:
        yield report
    finally:
        shown.end(token, types.WorkDoneProgressEnd())
        del shown.tokens[token]


async def _created(editor: Editor, token: str) -> bool:
    window = editor.client_capabilities.window
    if window is None or not window.work_done_progress:
        return False
    try:
        await editor.work_done_progress.create_async(token)
    except JsonRpcException:
        return False  # an editor may refuse to show progress (LSP, Work Done Progress)
    return True
