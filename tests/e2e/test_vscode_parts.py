"""VS Code, what lies beside plain ghost text: parts of a suggestion, another length, subtle
suggestions, repair, several selections, the walkthrough, counts, a command that does not exist.
"""

import contextlib
import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.room import REPOSITORY
from tests.e2e.vscode import SETTINGS, Window, until
from tests.e2e.vscode_desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

WORDS = [f"w{n}" for n in range(40)]  # a token each; a suggestion of a line has 32
CLICKS = 3  # at most, until a button of the walkthrough is answered
TABLE = {
    "mean = ": "sum(values) / len(values)",
    "left = ": "'x 😀 y' + b",
    "subtle = ": "1 + 2",
    "words = ": " ".join(WORDS),
    "{\n    ": '"wrong": 0,',
    '"width": 1,\n    ': '"size": true',
    "first = ": "1",
    "second = ": "2",
    "counted = ": "mean(values)",
}
MANIFEST = json.loads((REPOSITORY / "editors/vscode/package.json").read_text())


@pytest.fixture
def parts(desk: Desk) -> Desk:
    if desk.table != TABLE:
        desk.serve(TABLE)
    return desk


@pytest.fixture
def subtle(parts: Desk) -> Iterator[Desk]:
    window = parts.window
    parts.edit("awake.py", b"", 1)
    window.type("first = ")
    window.until_ghost("1")
    window.preferences("User", {**SETTINGS, "dlmd.trigger": "subtle"})
    window.until_dlmd("(subtle)")
    yield parts
    window.preferences("User", SETTINGS)
    until(lambda: "(subtle)" not in window.dlmd(), "the usual settings", window)


def test_the_confident_part_is_taken_and_the_rest_stays(parts: Desk) -> None:
    window = parts.window
    path = parts.edit("sure.py", b"values = [1]\n\n", 2)
    window.type("mean = ")
    window.until_ghost("sum(values) / len(values)")
    window.press("Alt+ArrowRight")  # the fake model gives what follows 0.56
    window.until_ghost(" / len(values)")
    assert window.save(path) == b"values = [1]\nmean = sum(values)\n"
    window.press("Tab")
    window.until_ghost("")
    assert window.save(path) == b"values = [1]\nmean = sum(values) / len(values)\n"
    window.press("Control+z")
    assert window.save(path) == b"values = [1]\nmean = sum(values)\n"
    window.press("Control+z")
    assert window.save(path) == b"values = [1]\nmean = \n"
    window.assert_quiet()


def test_words_beyond_sixteen_bits_leave_the_cursor_behind_them(parts: Desk) -> None:
    window = parts.window
    path = parts.edit("astral.py", b"b = ''\n\n", 2)
    window.type("left = ")
    for rest in ("'x 😀 y' + b", "x 😀 y' + b", " 😀 y' + b", "😀 y' + b", " y' + b"):
        window.until_ghost(rest)
        window.press("Control+ArrowRight")
    window.until_ghost("y' + b")
    assert window.save(path).decode() == "b = ''\nleft = 'x 😀 \n"
    window.press("Tab")
    window.until_ghost("")
    window.type("!")
    assert window.save(path).decode() == "b = ''\nleft = 'x 😀 y' + b!\n"
    window.assert_quiet()


def test_longer_and_shorter_after_a_command(parts: Desk) -> None:
    window = parts.window
    path = parts.edit("length.cfg", b"words = ...\n", 1)
    before = window.save(path)

    def until_words(count: int) -> None:
        shown = f"{WORDS[count - 1]}"
        until(
            lambda: re.search(rf"words = w0 .*\b{shown}$", window.text(), re.MULTILINE),
            f"{count} words",
            window,
        )
        assert window.save(path).decode() == f"words = {' '.join(WORDS[:count])}\n"

    window.command("dlmd: Fill All Holes")
    until_words(32)
    window.press("Alt+=")
    until_words(40)
    window.press("Alt+-")
    until_words(32)
    window.press("Alt+-")
    until_words(21)
    window.press(*["Control+z"] * 4)
    assert window.save(path) == before
    window.assert_quiet()


def test_longer_while_a_command_runs_and_then_escape(parts: Desk) -> None:
    window = parts.window
    parts.serve(TABLE, delay_ms=150)
    path = parts.edit("running.cfg", b"words = ...\n", 1)
    before = parts.forwards()
    window.command("dlmd: Fill All Holes")
    window.until_dlmd("filling holes", "/32")
    window.press("Alt+=")
    window.until_dlmd("filling holes", "/40")
    window.press("Escape")
    until(lambda: not window.drawing(), "the drawing to go", window)
    until(lambda: "filling" not in window.dlmd(), "the end of the work", window)
    assert parts.until_forwards_rest() - before < len(WORDS)
    assert window.save(path) == b"words = ...\n"
    window.assert_quiet()


def test_a_subtle_suggestion_waits_for_its_key(subtle: Desk) -> None:
    window = subtle.window
    path = subtle.edit("subtle.py", b"", 1)
    lamp = window.page.locator(".statusbar-item .codicon-lightbulb")
    window.type("subtle = ")
    lamp.wait_for()
    window.shoot("subtle")
    assert window.ghost() == ""
    window.press("Alt+Backslash")
    window.until_ghost("1 + 2")
    window.press("Tab")
    window.until_ghost("")
    assert window.save(path) == b"subtle = 1 + 2"
    lamp.wait_for(state="detached")
    window.assert_quiet()


def test_only_the_line_with_a_problem_is_repaired(parts: Desk) -> None:
    window = parts.window
    text = b'{\n    "width": 1,\n    "size": tru\n}\n'
    path = parts.edit("repair.json", text, 3)
    window.page.locator(".view-overlays .squiggly-error").first.wait_for()
    window.press("Shift+ArrowUp", "Shift+ArrowUp")
    window.command("dlmd: Repair Doubtful Words Near the Problems Here")
    until(lambda: "true" in window.text(), "the repair", window)
    assert window.save(path) == b'{\n    "width": 1,\n    "size": true\n}\n'
    window.press("Control+z")
    assert window.save(path) == text
    window.assert_quiet()


def test_each_of_several_selections_is_a_hole(parts: Desk) -> None:
    window = parts.window
    path = parts.edit("several.py", b"first = None\nsecond = None\n", 1)
    window.press("Control+Shift+ArrowLeft", "Control+d")
    window.status("selected", "2 selections")
    window.command("dlmd: Fill All Holes")
    until(lambda: "None" not in window.text(), "the holes to be filled", window)
    assert window.save(path) == b"first = 1\nsecond = 2\n"
    window.press("Control+z")
    assert window.save(path) == b"first = None\nsecond = None\n"
    window.assert_quiet()


def test_what_was_taken_is_counted_here(parts: Desk) -> None:
    """Asked for by hand, so that it is known what was shown."""
    window = parts.window
    path = parts.edit("counted.py", b"", 1)
    window.command("dlmd: Restart the Language Server")
    window.until_dlmd("idle")
    window.command("dlmd: Suggest While Typing: On or Off")
    window.until_dlmd("(manual)")
    before = _counts(parts)
    window.type("counted = ")
    window.press("Alt+Backslash")
    window.until_ghost("mean(values)")
    window.press("Control+ArrowRight")
    window.until_ghost("(values)")
    window.press("Tab")
    window.until_ghost("")
    window.press("Enter")
    window.type("counted = ")
    assert window.ghost() == ""
    window.press("Alt+Backslash")
    window.until_ghost("mean(values)")
    window.press("Escape")
    window.type("1")
    assert window.save(path) == b"counted = mean(values)\ncounted = 1"
    window.command("dlmd: Suggest While Typing: On or Off")
    until(lambda: "(manual)" not in window.dlmd(), "automatic again", window)
    window.command("dlmd: Restart the Language Server")  # which writes what it counted
    until(lambda: _counts(parts) != before, "the counts", window)
    after = _counts(parts)
    changed = {what: after[what] - before.get(what, 0) for what in after}
    told = {what: changed[what] for what in ("shown", "accepted", "rejected")}
    assert told == {"shown": 2, "accepted": 1, "rejected": 1}
    assert changed["letters"] == len("mean(values)")


def _counts(desk: Desk) -> dict[str, int]:
    rows = json.loads(desk.dlmd("stats", "--json").stdout)["languages"]
    return next((row for row in rows if row.pop("language") == "python"), {})


def test_the_walkthrough_and_what_its_steps_offer(parts: Desk) -> None:
    window = parts.window
    steps = MANIFEST["contributes"]["walkthroughs"][0]["steps"]
    known = {one["command"] for one in MANIFEST["contributes"]["commands"]}
    for step in steps:
        for label, command in re.findall(
            r"\[(.+?)\]\(command:(.+?)\)", step["description"]
        ):
            assert command in known
            tries = (_offered(window, step["title"], label) for _ in range(CLICKS))
            assert any(tries), f"no answer to {label}"
    window.shoot("walkthrough")
    shown = window.page.locator(".tab", has_text="Walkthrough: dlmd")
    shown.locator(".codicon-close").click()
    shown.wait_for(state="detached")


def _offered(window: Window, title: str, label: str) -> bool:
    """Whether a click in the walkthrough brought a list, a sentence or a page of ours.

    All of it is sent away again. The page takes the focus back whenever it has drawn
    itself, which closes a list that is already open, so a click can go unanswered.
    """
    page = window.page
    window.command("dlmd: Get Started")
    steps = page.locator(".gettingStartedContainer")
    steps.get_by_text(title, exact=True).first.click()
    steps.get_by_role("button", name=label).click()
    listed = page.locator(".quick-input-widget", has_text="dlmd")
    said = page.locator(".notification-toast", has_text="dlmd: ")
    sent = page.locator('.tab.active[data-resource-name="What was sent"]')
    came = (listed, said.first, sent)
    with contextlib.suppress(AssertionError):
        until(
            lambda: any(each.is_visible() for each in came), "any", window, deadline_s=5
        )
    if listed.is_visible():
        window.press("Escape")
        listed.wait_for(state="hidden")
    elif said.count():
        window.command("Notifications: Clear All Notifications")
        said.wait_for(state="detached")
    elif sent.count():
        sent.locator(".codicon-close").click()
        sent.wait_for(state="detached")
    else:
        return False
    return True


def test_a_command_that_is_not_there_is_said_quietly(parts: Desk) -> None:
    window = parts.window
    gone = "/nowhere/bin/dlmd"
    # What is run is a setting of the machine that runs it, here as in a remote window.
    window.preferences("Remote", {"dlmd.command": [gone, "lsp"]})
    window.until_dlmd("not installed")
    window.command("dlmd: Status and Actions")
    told = window.page.locator(".quick-input-list .monaco-list-row", has_text=gone)
    told.wait_for()
    window.press("Escape")
    window.assert_quiet()
    window.preferences("Remote", {})
    window.until_dlmd("idle")
    window.assert_quiet()
