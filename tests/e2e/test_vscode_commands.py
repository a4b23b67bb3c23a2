"""What a VS Code user asks for by name: whole functions drawn live, several holes, rewriting."""

import pytest

from tests.e2e.vscode import until
from tests.e2e.vscode_desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

MEAN = b'def mean(values):\n    """The arithmetic mean."""\n    '
BODY = (
    "total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)"
)
REST = b"\n\n\ndef other(x):\n    return x\n"
HOLES = b"def area(width, height):\n    size = ...\n    return ...\n"
# However few of these lines have settled, what is whole of them is Python.
STEPS = b'def run(step, start):\n    """Every step."""\n    '
LINES = "start" + "\n    step" * 11
TABLE = {
    STEPS.decode(): LINES,
    MEAN.decode(): BODY,
    "size = ": "width * height",
    "return ": "size",
    "rough = ": "round(x, 2)",
}


@pytest.fixture
def quick(desk: Desk) -> Desk:
    if desk.table != TABLE:
        desk.serve(TABLE)
    return desk


@pytest.fixture(scope="module")
def slow(desk: Desk) -> Desk:
    desk.serve(TABLE, delay_ms=150)
    return desk


def test_a_whole_function_is_drawn_while_it_settles(slow: Desk) -> None:
    window = slow.window
    path = slow.edit("whole.py", MEAN + b"pass" + REST, 3)
    window.press("Alt+Shift+Backslash")
    until(lambda: "░" in window.drawing(), "masked tokens", window)
    window.until_dlmd("fake · none", "writing the function")
    until(lambda: "for" in window.drawing(), "settled tokens", window)
    assert "░" in window.drawing()
    assert window.save(path) == MEAN + b"pass" + REST  # drawn, not there
    window.shoot("live")
    until(lambda: not window.drawing(), "the drawing to go", window)
    until(lambda: "return total / len(values)" in window.text(), "the body", window)
    assert window.save(path) == MEAN + BODY.encode() + REST
    window.press("Control+z")
    assert window.save(path) == MEAN + b"pass" + REST
    window.assert_quiet()


def test_stopping_early_keeps_what_has_settled(slow: Desk) -> None:
    window = slow.window
    slow.serve(TABLE, delay_ms=700)
    path = slow.edit("early.py", STEPS + b"pass" + REST, 3)
    window.press("Alt+Shift+Backslash")
    two = "start|step"  # lines without a mask between them
    until(lambda: window.drawing().startswith(two), "two settled lines", window)
    window.press("Control+Enter")
    until(lambda: not window.drawing(), "the drawing to go", window)
    until(lambda: "pass" not in window.text(), "what was kept", window)
    kept = window.save(path).removeprefix(STEPS).removesuffix(REST)
    assert kept.startswith(b"start")
    assert len(kept) < len(LINES)
    window.press("Control+z")
    assert window.save(path) == STEPS + b"pass" + REST
    window.assert_quiet()
    slow.serve(TABLE, delay_ms=150)


def test_escape_cancels_and_the_device_rests(slow: Desk) -> None:
    window = slow.window
    path = slow.edit("cancel.py", MEAN + b"pass" + REST, 3)
    before = slow.forwards()
    window.press("Alt+Shift+Backslash")
    until(lambda: "░" in window.drawing(), "masked tokens", window)
    window.press("Escape")
    until(lambda: not window.drawing(), "the drawing to go", window)
    tokens = 24  # that the fake model would have gone through
    assert slow.until_forwards_rest() - before < tokens
    assert window.save(path) == MEAN + b"pass" + REST
    window.assert_quiet()


def test_the_heat_map_colours_by_confidence(slow: Desk) -> None:
    window = slow.window
    slow.serve(TABLE, delay_ms=400)  # the setting takes a moment to be written
    slow.edit("heat.py", MEAN + b"pass" + REST, 3)
    window.command("dlmd: Show or Hide the Heat Map of Confidence")
    window.press("Alt+Shift+Backslash")
    until(lambda: window.heated() > 0, "coloured tokens", window)
    window.shoot("heat")
    window.press("Escape")
    until(lambda: not window.drawing(), "the drawing to go", window)
    window.command("dlmd: Show or Hide the Heat Map of Confidence")
    slow.serve(TABLE, delay_ms=150)


def test_typing_while_it_settles_wins(slow: Desk) -> None:
    window = slow.window
    path = slow.edit("typed.py", MEAN + b"pass" + REST, 3)
    window.press("Alt+Shift+Backslash")
    until(lambda: "░" in window.drawing(), "masked tokens", window)
    window.type("  # mine")
    until(lambda: not window.drawing(), "the drawing to go", window)
    window.until_dlmd("fake · none")
    slow.until_forwards_rest()
    assert window.save(path) == MEAN + b"pass  # mine" + REST
    window.assert_quiet()  # whoever types on knows


def test_several_holes_at_once_are_one_step_of_undo(quick: Desk) -> None:
    window = quick.window
    path = quick.edit("holes.py", HOLES, 2)
    window.command("dlmd: Fill All Holes")
    until(lambda: "..." not in window.text(), "the holes to be filled", window)
    assert window.save(path) == (
        b"def area(width, height):\n    size = width * height\n    return size\n"
    )
    window.press("Control+z")
    assert window.save(path) == HOLES
    window.assert_quiet()


def test_a_selection_is_rewritten(quick: Desk) -> None:
    window = quick.window
    path = quick.edit("rewrite.py", b"x = 1 / 3\nrough = x\n", 2)
    window.press("Shift+ArrowLeft", "Alt+Shift+Backslash")
    until(lambda: "round" in window.text(), "the new text", window)
    assert window.save(path) == b"x = 1 / 3\nrough = round(x, 2)\n"
    window.press("Control+z")
    assert window.save(path) == b"x = 1 / 3\nrough = x\n"


def test_what_was_sent_is_shown_and_why_not_is_said(quick: Desk) -> None:
    window = quick.window
    quick.edit("sent.py", HOLES, 2)
    window.command("dlmd: Fill All Holes")
    until(lambda: "..." not in window.text(), "the holes to be filled", window)
    window.command("dlmd: Show What Was Sent to the Model")
    page = window.page.locator('.tab.active[data-resource-name="What was sent"]')
    page.wait_for()
    until(lambda: "def area(width, height)" in window.text(), "the request", window)
    window.shoot("sent")
    window.press("Control+w")
    page.wait_for(state="detached")
    window.command("dlmd: Why Is There No Suggestion?")
    said = window.page.locator(".notification-toast", has_text="dlmd:")
    said.first.wait_for()
    window.command("Notifications: Clear All Notifications")
    said.wait_for(state="detached")
