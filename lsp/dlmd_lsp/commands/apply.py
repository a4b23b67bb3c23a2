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
    params = types.ApplyWorkspaceEditParams(edit=change, label=label)
    if workspace is None or not workspace.apply_edit:
        # It offers our actions all the same: Vim's ALE takes the edit and never answers.
        editor.workspace_apply_edit(params)
        return
    answer = await editor.workspace_apply_edit_async(params)
    if not answer.applied:
        reason = answer.failure_reason or "it gave no reason"
        raise ValueError(f"the editor did not take the edit ({reason}); try again")
