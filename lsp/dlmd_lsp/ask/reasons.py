"""Why nothing was asked or shown: a code for programs, a sentence for people.

Every way out of a suggestion ends in one of these. Must not know how a reason is found.
"""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "not-open",
    "empty-document",
    "mid-word",
    "menu-open",
    "manual",
    "language-disabled",
    "secret-file",
    "secret-content",
    "ignored-file",
    "too-large",
    "in-comment",
    "in-string",
    "dismissed",
    "typed-on",
    "daemon-away",
    "daemon-hanging",
    "daemon-refused",
    "nothing-new",
    "loop",
    "not-parsable",
    "not-sure",
    "waiting-for-key",
    "internal",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

SENTENCES: dict[Reason, str] = {
    "not-open": "this document is not open in the editor; open it",
    "empty-document": "the document is empty; type something, or ask by hand",
    "mid-word": "the cursor is inside a word; move to its end, or ask by hand",
    "menu-open": "a completion menu is open; close it",
    "manual": 'suggestions come only when asked for here; set trigger to "automatic", or ask by hand',
    "language-disabled": "disabledLanguages holds the language of this document; take it out",
    "secret-file": "files of this name often hold secrets, so nothing of them is ever sent",
    "secret-content": "something in this document looks like a secret, so nothing of it is sent; take it out",
    "ignored-file": "this file is ignored by .gitignore or .dlmdignore, so nothing of it is sent",
    "too-large": "the document is larger than what is looked through for secrets; split it",
    "in-comment": "the cursor is in a comment; set inComments, or ask by hand",
    "in-string": "the cursor is in a string; set inStrings, or ask by hand",
    "dismissed": "the suggestion here was sent away; type something else, or ask by hand",
    "typed-on": "the text or the cursor moved on before the answer came",
    "daemon-away": "no daemon answers",
    "daemon-hanging": "the daemon has stopped answering; `dlmd stop` and `dlmd serve` start it anew",
    "daemon-refused": "the daemon refused the request",
    "nothing-new": "the model had nothing to add that does not stand there already",
    "loop": "the suggestion repeated itself; ask by hand to see it",
    "not-parsable": "the suggestion would have broken the syntax of the file",
    "not-sure": "the model was less sure than threshold asks; lower it, or ask by hand",
    "waiting-for-key": "a suggestion waits for its key (trigger is subtle)",
    "internal": "the language server made a mistake; see its log",
}


def sentence(reason: Reason, detail: str = "") -> str:
    return f"{SENTENCES[reason]} ({detail})" if detail else SENTENCES[reason]
