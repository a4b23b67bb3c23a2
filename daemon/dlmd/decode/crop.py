"""Which part of a long text the model sees: whole blocks of lines next to the hole.

Cuts lie on borders that do not move while someone types: every 8th line, counted from
the end of the text that is far from the hole, and every 256 characters where lines are
too long. The cut jumps by a block when the text outgrows its room, else it stays. What
is encoded depends on the room, not on the text. Must not know holes, models or profiles.
"""

from collections.abc import Iterator

from dlmd.decode.tokenizer import Tokenizer

LINES = 8
CHARACTERS = 256
LONG = 1024  # blocks of lines longer than this are divided by characters


def crop_before(text: str, tokenizer: Tokenizer, room: int) -> list[int]:
    """At most `room` tokens from the end of `text`."""
    if room <= 0:
        return []
    cut = border = len(text)
    spent = 0
    for border in borders_before(text):
        spent += len(tokenizer.encode(text[border:cut]))
        if spent > room:
            break
        cut = border
    # A room smaller than the nearest block is filled all the same.
    return tokenizer.encode(text[cut if cut < len(text) else border :])[-room:]


def crop_after(text: str, tokenizer: Tokenizer, room: int) -> list[int]:
    """At most `room` tokens from the start of `text`."""
    if room <= 0:
        return []
    cut = border = 0
    spent = 0
    for border in borders_after(text):
        spent += len(tokenizer.encode(text[cut:border]))
        if spent > room:
            break
        cut = border
    return tokenizer.encode(text[: cut or border])[:room]


def borders_before(text: str) -> Iterator[int]:
    """Where a block starts, from the end of `text` down to 0."""
    last = len(text)
    start = last + 1
    for line in range(text.count("\n"), -1, -1):
        start = text.rfind("\n", 0, start - 1) + 1
        if line % LINES == 0 or last - start > LONG:
            if last - start > LONG:
                first = (last - 1) // CHARACTERS * CHARACTERS
                yield from range(first, start, -CHARACTERS)
            if line % LINES == 0:
                yield start
            last = start


def borders_after(text: str) -> Iterator[int]:
    """Where a block ends, from the start of `text` up to its length."""
    size = len(text)
    last = end = 0
    for line in range(text.count("\n"), -1, -1):
        end = text.find("\n", end) + 1 or size
        if line % LINES == 0 or end - last > LONG:
            if end - last > LONG:
                first = size - (size - last - 1) // CHARACTERS * CHARACTERS
                yield from range(first, end, CHARACTERS)
            if line % LINES == 0:
                yield end
            last = end
