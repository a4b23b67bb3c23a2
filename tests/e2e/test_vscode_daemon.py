"""VS Code and what stands behind it: slow, gone, hanging, missing; and the model that ships."""

import pytest

from tests.e2e.vscode import Window, Workbench, until
from tests.e2e.vscode_desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

TABLE = {
    "one = ": "1",
    "return ": "a + b",
    "wait = ": "one + two + three + four + five + six + seven + eight",
}
DEF = b"def add(a, b):\n    "


def test_the_next_key_cancels_a_slow_answer(desk: Desk) -> None:
    window = desk.window
    desk.serve(TABLE, delay_ms=150)
    path = desk.edit("slow.py", b"", 1)
    before = desk.forwards()
    window.type("wait = ")
    until(lambda: desk.forwards() > before, "the model to begin", window)
    window.press("Backspace", "Backspace", "Backspace")
    tokens = 15  # that the fake model would have gone through
    assert desk.until_forwards_rest() - before < tokens
    assert window.save(path) == b"wait"
    window.assert_quiet()


def test_a_daemon_that_was_stopped_is_said_quietly_and_comes_back(desk: Desk) -> None:
    window = desk.window
    desk.serve(TABLE)
    path = desk.edit("down.py", DEF, 2)
    window.type("return ")
    window.until_ghost("a + b")
    window.press("Tab", "Enter")
    desk.stop_daemon()
    window.until_dlmd("stopped")
    window.type("one = ")
    window.until_dlmd("stopped")
    assert window.ghost() == ""
    window.shoot("stopped")
    window.assert_quiet()
    desk.serve(TABLE)
    window.press("Backspace")
    window.type(" ")
    window.until_ghost("1")
    window.until_dlmd("fake", "none")
    window.press("Tab")
    assert window.save(path) == DEF + b"return a + b\n    one = 1"
    window.assert_quiet()


def test_a_daemon_that_hangs_in_mid_request(desk: Desk) -> None:
    window = desk.window
    desk.serve(TABLE, delay_ms=150)
    path = desk.edit("hang.py", DEF, 2)
    before = desk.forwards()
    window.type("wait = ")
    until(lambda: desk.forwards() > before, "the model to begin", window)
    desk.freeze()
    try:
        window.type("1\n")
        typed = "".join(f"x{n} = {n}\n" for n in range(10))
        window.type(typed)
        until(lambda: "x9 = 9" in window.text(), "what was typed", window)
        window.until_dlmd("fake · none", "not answering")
        assert window.ghost() == ""
        window.shoot("hanging")
        window.assert_quiet()
    finally:
        desk.thaw()
    window.until_dlmd("fake · none")
    until(lambda: "not answering" not in window.dlmd(), "the daemon's return", window)
    desk.until_forwards_rest()
    assert window.ghost() == ""  # nothing of what was asked before
    lines = (DEF + b"wait = 1\n").decode() + typed.replace("x", "    x")
    assert window.save(path).decode().rstrip() == lines.rstrip()
    window.type("return ")
    window.until_ghost("a + b")
    window.assert_quiet()


def test_a_language_server_that_is_killed_is_started_again(desk: Desk) -> None:
    window = desk.window
    desk.serve(TABLE)
    desk.edit("killed.py", DEF, 2)
    window.type("return ")
    window.until_ghost("a + b")
    desk.kill_language_server()
    window.until_dlmd("idle")
    window.press("Escape", "Backspace")
    window.type(" ")
    window.until_ghost("a + b")
    window.assert_quiet()


def test_the_model_that_ships(desk: Desk) -> None:
    window = desk.window
    desk.serve_embedded()
    before = (
        b"class Account:\n    def __init__(self, owner, balance):\n"
        b"        self.owner = owner\n        self.balance = balance\n\n"
        b"    def get_owner(self):\n        return self.owner\n\n"
        b"    def get_balance(self):\n        "
    )
    after = b"\n\n    def set_owner(self, owner):\n        self.owner = owner\n"
    path = desk.edit("account.py", before + after, 10)
    window.type("return ")
    window.command("dlmd: Suggest Here")  # unasked, it may be too unsure of itself
    until(lambda: window.ghost(), "ghost text of the model", window)
    window.until_dlmd("embedded · cpu")
    window.shoot("embedded")
    drawn = window.ghost()
    window.press("Tab")
    assert window.save(path) == before + b"return " + drawn.encode() + after
    window.assert_quiet()


def test_a_missing_program_an_untrusted_workspace_and_two_roots(desk: Desk) -> None:
    """One more window: nothing installed, two folders, the workspace not trusted."""
    bench: Workbench = desk.workbench
    desk.serve(TABLE)
    second = desk.room.folder / "second root"
    second.mkdir()
    (second / "two.py").write_bytes(DEF)
    one = desk.file("one.py", DEF)
    workspace = desk.room.folder / "both.code-workspace"
    workspace.write_text(
        '{"folders": [{"path": "my project"}, {"path": "second root"}]}'
    )
    trust = "security.workspace.trust"
    bench.settings({f"{trust}.enabled": True, f"{trust}.startupPrompt": "never"})
    bench.program(there=False)
    with Window(bench, workspace, one, beside=desk.window) as window:
        window.until_dlmd("not installed")
        window.page.locator(".statusbar-item", has_text="Restricted Mode").wait_for()
        window.shoot("missing")
        window.assert_quiet()
        bench.program(there=True)
        window.command("dlmd: Restart the Language Server")
        window.until_dlmd("idle")
        for path in (one, second / "two.py"):
            window.open(path)
            window.end_of_line(2)
            window.type("return ")
            window.until_ghost("a + b")
            window.press("Tab")
            assert window.save(path) == DEF + b"return a + b"
        window.assert_quiet()
    bench.settings({})
