"""One edit of the editor's, for one version of one document. Must not know why."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from dlmd_lsp.editor import Editor


async def apply(
    editor: Editor, uri: str, version: int, edits: Sequence[types.TextEdit], label: str
) -> None:
    """ValueError says that the editor did not take it, and why."""
    workspace = editor.client_capabilities.workspace
    able = workspace.workspace_edit if workspace else None
    if able is not None and able.document_changes:
        where = types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=version)
        change = types.WorkspaceEdit(
            document_changes=[types.TextDocumentEdit(where, list(edits))]
        )
    else:
        change = types.WorkspaceEdit(changes={uri: list(edits)})
    answer = await editor.workspace_apply_edit_async(
        types.ApplyWorkspaceEditParams(edit=change, label=label)
    )
    if not answer.applied:
        reason = answer.failure_reason or "it gave no reason"
        raise ValueError(f"the editor did not take the edit ({reason}); try again")
