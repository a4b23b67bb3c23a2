"""What is drawn where a line is too short for it: long runs of masks, and the note beside them."""

import pytest

from tests.e2e.editor import COLUMNS
from tests.e2e.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LONG = "x" * (COLUMNS - 20)
SOURCE = f'def mean(values):\n    """Of {LONG}."""\n    pass\n\n\nlast = 1\n'
BODY = "\n    ".join(f"größe_{n} = values[{n}] + {n}" for n in range(12))


def test_a_long_run_of_masks_goes_on_below(room: Room) -> None:
    room.use_fake_model({'."""\n    ': BODY}, delay_ms=100)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        screen = editor.screen
        editor.type("jj")
        editor.command("DlmdComplete")
        editor.wait(lambda: len(screen.drawn_in("DlmdMask")) > 1, "two lines of masks")
        editor.wait(lambda: "of " in "".join(screen.drawn_in("DlmdNote")), "the note")
        first = next(line for line in screen.lines() if "░" in line)
        assert first.startswith("    ") and len(first) == COLUMNS
        assert "last = 1" in screen.lines()  # moved down, not covered
        editor.keep_shot("long-run")
        editor.wait_lua("return not require('dlmd.run').running()")
        assert editor.lines()[2:-3] == ("    " + BODY).split("\n")
        assert editor.ghost_marks() == []


def test_a_note_finds_room_below_a_long_line(room: Room) -> None:
    source = f'def mean(values): return "{LONG}"\n'
    with room.open(room.file("mean.py", source.encode())) as editor:
        editor.lua("require('dlmd.client').when_ready = function() end")
        editor.command("DlmdComplete")
        note = "  dlmd: waiting for the language server"
        editor.wait(lambda: note in editor.screen.lines(), "the note, whole")
