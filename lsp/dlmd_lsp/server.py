"""The language server: one thin handler per method, over functions that know no pygls.

`main()` serves stdio. Importing this loads no torch. Must not know positions, holes or the
daemon's socket: those are document.py, context.py and link.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from lsprotocol import types

from dlmd_lsp import document, inline, options
from dlmd_lsp.editor import Editor, quiet_logging
from dlmd_lsp.function_body import command
from dlmd_lsp.link import Link
from dlmd_lsp.session import Session

server = Editor()


@server.feature(types.INITIALIZE)
def initialize(ls: Editor, params: types.InitializeParams) -> None:
    document.adopt(ls.workspace)
    chosen, ls.complaints = options.read(params.initialization_options)
    link = Link(
        start=chosen.start_daemon,
        command=chosen.daemon_command,
        daemon=chosen.daemon,
        say=ls.log,
        tell=ls.tell_status,
    )
    ls.session = Session(chosen, link)


@server.feature(types.INITIALIZED)
def initialized(ls: Editor, params: types.InitializedParams) -> None:
    for complaint in ls.complaints:
        ls.log(complaint, types.MessageType.Warning)


@server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
async def inline_completion(
    ls: Editor, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    work = inline.complete(ls, params)
    try:
        items = await ls.session.newest("inline", params.text_document.uri, work)
    except Exception as error:
        # Typing must never meet an error; a fault of ours goes to the log.
        ls.log_once(f"internal error: {type(error).__name__}: {error}")
        items = None
    return types.InlineCompletionList(items=items or [])


@server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
def did_close(ls: Editor, params: types.DidCloseTextDocumentParams) -> None:
    ls.session.closed(params.text_document.uri)


@server.feature(types.SHUTDOWN)
async def shutdown(ls: Editor, *_: Any) -> None:
    await ls.session.link.close()


@server.command("dlmd.completeFunction")
async def complete_function(ls: Editor, *arguments: Any) -> command.Outcome:
    ls.heed_cancel(asyncio.current_task())
    return await command.complete_function(ls, arguments)


@server.command("dlmd.accepted")
def accepted(ls: Editor, *_: Any) -> None:
    ls.session.accepted += 1


def main() -> None:
    """Serve the editor at the other end of stdin and stdout until it leaves."""
    quiet_logging()
    server.start_io()
