"""A real VS Code workbench, driven by keys and judged by what it draws and saves.

code-server runs the workbench and its extension host, Chromium shows it, the packaged
extension is installed as a user would. Everything is waited for by what the product shows.
It must not know what a test wants to see, nor dlmd's TypeScript.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.e2e.room import REPOSITORY

DEADLINE_S = 45.0
SHOTS = REPOSITORY / ".e2e" / "shots"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--lang=en-US"),
]
# Without these the welcome page, the chat bar and the gallery get in the way.
SETTINGS: dict[str, object] = {
    "chat.disableAIFeatures": True,
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.enableExperiments": False,
    "workbench.tips.enabled": False,
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "update.mode": "none",
    "telemetry.telemetryLevel": "off",
    "files.autoSave": "off",
    "git.enabled": False,
    "security.workspace.trust.enabled": False,
    "editor.minimap.enabled": False,
    "editor.wordBasedSuggestions": "currentDocument",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "files.simpleDialog.enable": True,
}


class Workbench:
    """code-server with the extension in it; a context manager."""

    def __init__(self, *, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.data = folder / "vscode"
        self._env = {**env, "EXTENSIONS_GALLERY": '{"serviceUrl":""}'}
        self._base = [os.environ["NODE"], os.environ["CODE_SERVER"]]
        self._base += ["--user-data-dir", str(self.data)]
        self._base += ["--extensions-dir", str(folder / "extensions")]
        self.port = _free_port()

    def __enter__(self) -> "Workbench":
        self.settings({})
        self.program(there=True)
        install = [*self._base, "--install-extension", os.environ["VSIX"]]
        done = subprocess.run(install, env=self._env, capture_output=True, timeout=120)
        assert b"successfully installed" in done.stdout, done.stdout + done.stderr
        command = [*self._base, "--auth", "none", "--disable-telemetry"]
        command += ["--bind-addr", f"127.0.0.1:{self.port}", "--disable-update-check"]
        command += ["--disable-getting-started-override"]
        with (self.folder / "workbench.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, "code-server to answer")
        return self

    def __exit__(self, *_: object) -> None:
        # The group: the extension host and what it started end with it.
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def settings(self, more: Mapping[str, object]) -> None:
        """The user's settings, for windows to be opened."""
        path = self.data / "User" / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**SETTINGS, **more}))

    def program(self, *, there: bool) -> None:
        """dlmd where pipx would put it; code-server's PATH is that of a login shell."""
        link = self.folder / "home" / ".local" / "bin" / "dlmd"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if there:
            link.symlink_to(self.folder / "bin" / "dlmd")

    def address(self, project: Path, file: Path) -> str:
        """A folder with a file open in it; a .code-workspace file is a workspace."""
        open_file = ["openFile", f"vscode-remote://127.0.0.1:{self.port}{file}"]
        kind = "workspace" if project.suffix == ".code-workspace" else "folder"
        query = {kind: str(project), "payload": json.dumps([open_file])}
        return f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode(query)}"

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "workbench.log").read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5)
        except OSError:
            return False
        return True


class Window:
    """One window of the workbench. Use as a context manager."""

    def __init__(
        self,
        workbench: Workbench,
        project: Path,
        file: Path,
        *,
        beside: "Window | None" = None,
    ) -> None:
        self._beside = beside  # the window that shares its browser
        self._address = workbench.address(project, file)
        self._port = workbench.port
        self._first = file
        self.strangers: list[str] = []

    def __enter__(self) -> "Window":
        if self._beside is None:
            self._driver = sync_playwright().start()
            self._browser = self._driver.chromium.launch(
                executable_path=os.environ["CHROMIUM"], args=FLAGS
            )
        else:
            self._browser = self._beside._browser
        size: Any = {"width": 1100, "height": 640}
        self.page: Page = self._browser.new_page(viewport=size, color_scheme="light")
        self.page.set_default_timeout(DEADLINE_S * 1000)
        self.page.route(re.compile(".*"), self._local_only)
        self.page.goto(self._address)
        self._shown(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()
        if self._beside is None:
            self._browser.close()
            self._driver.stop()

    def _local_only(self, route: Any) -> None:
        url = route.request.url
        if url.startswith((f"http://127.0.0.1:{self._port}/", "data:", "blob:")):
            route.continue_()
        else:
            self.strangers.append(url)
            route.abort()

    def open(self, file: Path) -> None:
        """Another file, by the dialog that takes a path."""
        self.press("Control+o")
        field = self.page.locator(".quick-input-widget input[type=text]").first
        field.wait_for(state="visible")
        self.page.locator(".quick-input-list .monaco-list-row").first.wait_for()
        tab = self.page.locator(f'.tab.active[data-resource-name="{file.name}"]')

        def opened() -> bool:
            # While it lists a folder, the dialog may write its own path over ours.
            if field.is_visible():
                with contextlib.suppress(PlaywrightTimeout):
                    field.fill(str(file), timeout=500)
                    self.page.wait_for_timeout(200)
                    field.press("Enter", timeout=500)
                    # A second Enter could meet the editor that opens.
                    tab.wait_for(timeout=3000)
            return tab.count() == 1

        until(opened, f"{file.name} to open", self)
        self._shown(file)

    def _shown(self, file: Path) -> None:
        tab = self.page.locator(f'.tab.active[data-resource-name="{file.name}"]')
        tab.wait_for()
        self.page.locator(".monaco-editor .view-lines").first.wait_for()
        self.page.locator(".monaco-editor .view-lines").first.click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str, delay_ms: int = 20) -> None:
        self.page.keyboard.type(text, delay=delay_ms)

    def end_of_line(self, line: int) -> None:
        """The cursor behind a line, counted from 1, without the mouse."""
        self.press("Control+g")
        self.page.locator(".quick-input-widget").wait_for(state="visible")
        self.type(f"{line}:999")
        self.press("Enter")
        self.page.locator(".quick-input-widget").wait_for(state="hidden")
        self.status("Ln ", f"Ln {line}, ")

    def command(self, title: str) -> None:
        """From the palette, as a person would."""
        field = self.page.locator(".quick-input-widget input[type=text]").first
        rows = self.page.locator(".quick-input-list .monaco-list-row")
        row = rows.filter(has_text=title).first

        def offered() -> bool:
            # A list that is still closing may take the key, or the text, with it.
            self.press("F1")
            with contextlib.suppress(PlaywrightTimeout):
                field.fill(f">{title}", timeout=3000)
                row.wait_for(timeout=3000)
                return True
            return False

        until(offered, f"the command {title}", self)
        self.press("Enter")

    def preferences(self, whose: str, settings: Mapping[str, object]) -> None:
        """Other settings, put in where a person does: of the "User", or "Remote"."""
        self.command(f"Preferences: Open {whose} Settings (JSON)")
        tab = self.page.locator('.tab.active[data-resource-name="settings.json"]')
        tab.wait_for()
        self.page.locator(".monaco-editor .view-lines").first.click()
        self.press("Control+a")
        self.page.keyboard.insert_text(json.dumps(settings))
        self.press("Control+Shift+End", "Delete")  # what the editor closed
        self.press("Control+s")
        saved = '.tab.active[data-resource-name="settings.json"]:not(.dirty)'
        self.page.locator(saved).wait_for()
        self.press("Control+w")
        tab.wait_for(state="detached")

    def status(self, which: str, shows: str) -> None:
        """Until the item of the status bar that has one text has another too."""
        items = self.page.locator(".statusbar-item", has_text=which)
        until(
            lambda: any(shows in text for text in items.all_inner_texts()), shows, self
        )

    def dlmd(self) -> str:
        """Our item of the status bar."""
        texts = self.page.locator(".statusbar-item", has_text="dlmd").all_inner_texts()
        return " ".join(texts).replace("\u00a0", " ").strip()

    def until_dlmd(self, *words: str) -> None:
        until(lambda: all(word in self.dlmd() for word in words), f"{words}", self)

    def ghost(self) -> str:
        """The ghost text: the rest of its first line, and the lines below it."""
        script = """() => {
          const shown = (e) => e.textContent.replaceAll('\\u00a0', ' ').replaceAll('\\u200b', '');
          const first = [...document.querySelectorAll('.view-lines .ghost-text-decoration')].map(shown).join('');
          const rest = [...document.querySelectorAll('.suggest-preview-text .view-line, .ghost-text .view-line')].map(shown);
          const lines = [...document.querySelectorAll('.view-zones .suggest-preview-text')]
            .flatMap((zone) => [...zone.children].map(shown));
          return [first, ...(lines.length ? lines : rest)].join('\\n');
        }"""
        return str(self.page.evaluate(script))

    def until_ghost(self, text: str) -> None:
        until(lambda: self.ghost() == text, f"ghost text {text!r}", self)

    def drawing(self) -> str:
        """What a live canvas shows: the pieces that lie over the text, blank covers aside."""
        script = """() => [...document.querySelectorAll('.view-line span')]
          .map((e) => getComputedStyle(e, '::before'))
          .filter((s) => s.position === 'absolute' && s.content.startsWith('"') && s.content !== '"\u00a0"')
          .sort((a, b) => parseFloat(a.top) - parseFloat(b.top) || parseFloat(a.left) - parseFloat(b.left))
          .map((s) => s.content.slice(1, -1).replaceAll('\u00a0', ' ')).join('|').trim()"""
        return str(self.page.evaluate(script)).strip("| ")

    def heated(self) -> int:
        """How many pieces of a live canvas have a colour of their own behind them."""
        script = """() => [...document.querySelectorAll('.view-line span')]
          .map((e) => getComputedStyle(e, '::before'))
          .filter((s) => s.position === 'absolute' && /rgba\\(.*0\\.\\d+\\)/.test(s.backgroundColor)).length"""
        return int(self.page.evaluate(script))

    def text(self) -> str:
        """The drawn lines, ghost text included."""
        lines: Locator = self.page.locator(".monaco-editor .view-line")
        return "\n".join(lines.all_inner_texts()).replace("\u00a0", " ")

    def save(self, file: Path) -> bytes:
        self.press("Control+s")
        name = f'.tab.active[data-resource-name="{file.name}"]'
        clean = self.page.locator(f"{name}:not(.dirty)")
        clean.wait_for()
        return file.read_bytes()

    def assert_quiet(self) -> None:
        """Nothing popped up, and nobody outside was asked for anything."""
        shown = self.page.locator(".notification-toast, .monaco-dialog-box")
        # VS Code's own TypeScript server is not in its npm package, and it says so once.
        said = [text for text in shown.all_inner_texts() if "tsserver" not in text]
        assert said == []
        assert self.strangers == []

    def shoot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"vscode-{name}.png")


def until(
    holds: Callable[[], object],
    what: str,
    window: Window | None = None,
    *,
    deadline_s: float | None = None,
) -> None:
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while not holds():
        if time.monotonic() > end:
            seen = (
                f"; shown:\n{window.dlmd()}\n{window.ghost()!r}\n{window.text()}"
                if window
                else ""
            )
            raise AssertionError(f"waited in vain for {what}{seen}")
        if window is None:
            time.sleep(0.02)
        else:
            window.page.wait_for_timeout(20)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
