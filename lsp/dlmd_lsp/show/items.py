"""Suggestions as the protocol's items. Must not know how they were found."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from dlmd_lsp.show.sureness import confident, first_line, first_word, units

Items = list[types.InlineCompletionItem]


def items_of(
    id: str, rest: Sequence[tuple[str, Sequence[float]]], position: types.Position
) -> Items:
    return [
        types.InlineCompletionItem(
            insert_text=text,
            range=types.Range(position, position),
            command=types.Command(
                title="dlmd: accepted",
                command="dlmd.accepted",
                arguments=[{"id": id, **parts(text, sure)}],
            ),
        )
        for text, sure in rest
    ]


def parts(text: str, sure: Sequence[float]) -> dict[str, int]:
    """Where the parts end that can be taken by themselves."""
    return {
        "word": units(text[: first_word(text)]),
        "line": units(text[: first_line(text)]),
        "confident": units(text[: confident(sure, text)]),
    }
