"""What of an unfinished fill is worth keeping."""

from collections.abc import Sequence

import pytest
from dlmd_lsp.commands.region import settled


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (["a = 1\nret", 3], "a = 1\nret"),
        (["a", 2, "b\nc = 1\n"], "a\nc = 1\n"),
        ([3, "x\ny"], "y"),
        (["ok\n  pa", 1, "rt\nwhole\nhal", 2], "ok\n  pa\nwhole"),
        (["if x:", 4, "\n", 2, "\n    return"], "if x:\n    return"),
        ([5], ""),
        (["all\nset"], "all\nset"),
    ],
)
def test_whole_lines_and_what_stands_before_the_first_mask(
    pieces: Sequence[str | int], kept: str
) -> None:
    assert settled(pieces) == kept
