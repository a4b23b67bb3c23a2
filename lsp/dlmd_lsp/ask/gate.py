"""Whether anything may be asked in this document at all.

Secrets and ignored files hold for every request, those made by hand included. Must not know
where in the document the cursor is.
"""

from __future__ import annotations

from dlmd_lsp.ask.ignored import is_ignored
from dlmd_lsp.ask.reasons import Reason, sentence
from dlmd_lsp.ask.secrets import first_secret, is_secret_path
from dlmd_lsp.document import Document
from dlmd_lsp.options import Options


def never(document: Document) -> Reason | None:
    """Why nothing of this document may ever leave the server."""
    if is_secret_path(document.path):
        return "secret-file"
    if is_ignored(document.path):
        return "ignored-file"
    if document.too_large:
        return "too-large"
    if document.secrets:
        return "secret-content"
    return None


def told(document: Document, reason: Reason) -> str:
    """The reason for people, and which line of the document it lies in."""
    row = first_secret(document.source) if reason == "secret-content" else None
    return sentence(reason, "" if row is None else f"line {row + 1}")


def refusal(
    document: Document, options: Options, *, manual: bool, menu: bool = False
) -> Reason | None:
    reason = never(document)
    if reason is not None:
        return reason
    if menu:
        # The item would have to begin with the menu's selection (LSP 3.18).
        return "menu-open"
    if not manual and options.trigger == "manual":
        return "manual"
    if not manual and document.language_id in options.disabled_languages:
        return "language-disabled"
    return None
