"""A real Neovim, driven by keys and judged by what it draws.

Neovim runs with `--embed` and takes us for its screen: the `redraw` events give every
cell with the highlight groups it is drawn in. A thread of its own owns the connection
(pynvim may only be used from one thread); tests wait on conditions with a deadline.
It must not know dlmd's Lua: tests see keys, cells, buffers and files.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pynvim

from tests.e2e.picture import Colours, drawn

COLUMNS, ROWS = 100, 24
DEADLINE_S = float(os.environ.get("E2E_DEADLINE_S", "30"))
SHOTS = Path(__file__).resolve().parents[2] / ".e2e" / "shots"


class Screen:
    """The cells of the one grid, kept from `redraw` batches (`:help ui-linegrid`)."""

    def __init__(self) -> None:
        self.cells = [[" "] * COLUMNS for _ in range(ROWS)]
        self.groups = [[0] * COLUMNS for _ in range(ROWS)]
        self.names: dict[int, set[str]] = {0: set()}
        self.colours: dict[int, Colours] = {0: Colours()}

    def apply(self, batches: Sequence[Sequence[Any]]) -> None:
        for name, *calls in batches:
            if handler := getattr(self, f"on_{name}", None):
                for arguments in calls:
                    handler(*arguments)

    def on_hl_attr_define(self, number: int, rgb: Any, _cterm: Any, info: Any) -> None:
        self.names[number] = {part["hi_name"] for part in info if "hi_name" in part}
        self.colours[number] = Colours.read(rgb)

    def on_default_colors_set(self, front: int, back: int, *_: Any) -> None:
        self.colours[0] = Colours(front=front, back=back)

    def on_grid_line(
        self, _grid: int, row: int, start: int, cells: Any, *_: Any
    ) -> None:
        column, group = start, 0
        for text, *rest in cells:
            group = rest[0] if rest else group
            for _repeat in range(rest[1] if len(rest) > 1 else 1):
                self.cells[row][column] = text
                self.groups[row][column] = group
                column += 1

    def on_grid_scroll(self, *arguments: int) -> None:
        _grid, top, bottom, left, right, rows, _columns = arguments
        order = (
            range(top, bottom - rows)
            if rows > 0
            else range(bottom - 1, top - rows - 1, -1)
        )
        for row in order:
            self.cells[row][left:right] = self.cells[row + rows][left:right]
            self.groups[row][left:right] = self.groups[row + rows][left:right]

    def on_grid_clear(self, _grid: int) -> None:
        self.cells = [[" "] * COLUMNS for _ in range(ROWS)]
        self.groups = [[0] * COLUMNS for _ in range(ROWS)]

    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]

    def drawn_in(self, group: str) -> list[str]:
        """What is drawn in a highlight group: one string for each row that has some."""
        rows = []
        for cells, groups in zip(self.cells, self.groups, strict=True):
            pairs = zip(cells, groups, strict=True)
            text = "".join(c for c, g in pairs if group in self.names.get(g, ()))
            if text:
                rows.append(text)
        return rows


class Editor:
    """A running Neovim. Use as a context manager."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path):
        self.screen = Screen()
        self._changed = threading.Condition()
        self._ready: Future[Any] = Future()
        self._argv = ["env", "-i", "-C", str(folder)]
        self._argv += [f"{key}={value}" for key, value in env.items()] + list(argv)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Editor":
        self._thread.start()
        self._nvim = self._ready.result(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._nvim.async_call(self._quit)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "Neovim did not quit"

    def _quit(self) -> None:
        # Out of any mode and prompt; the answer never comes, the connection ends.
        self._nvim.input("<C-\\><C-n>")
        self._nvim.command("qall!", async_=True)

    def _run(self) -> None:
        try:
            nvim = pynvim.attach("child", argv=self._argv)
            nvim.ui_attach(COLUMNS, ROWS, rgb=True, ext_linegrid=True, ext_hlstate=True)
        except Exception as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(nvim)
        with contextlib.suppress(EOFError):  # how pynvim says that Neovim quit
            nvim.run_loop(None, self._notified)
        nvim.close()

    def _notified(self, name: str, arguments: Sequence[Any]) -> None:
        if name == "redraw":
            with self._changed:
                self.screen.apply(arguments)
                self._changed.notify_all()

    def call(
        self, function: str, *arguments: Any, deadline_s: float = DEADLINE_S
    ) -> Any:
        """One API request, as in `call("nvim_get_mode")`."""
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._nvim.request(function, *arguments))
            except Exception as error:
                answer.set_exception(error)

        self._nvim.async_call(ask)
        return answer.result(deadline_s)

    def lua(self, source: str, *arguments: Any) -> Any:
        return self.call("nvim_exec_lua", source, list(arguments))

    def command(self, line: str, deadline_s: float = DEADLINE_S) -> None:
        self.call("nvim_command", line, deadline_s=deadline_s)

    def type(self, keys: str) -> None:
        """Type, one key after the other, each taken before the next is sent."""
        self.call("nvim_input", keys)

    def lines(self) -> list[str]:
        return self.call("nvim_buf_get_lines", 0, 0, -1, True)

    def ghost(self) -> list[str]:
        return self.screen.drawn_in("DlmdGhost")

    def keep_shot(self, name: str) -> None:
        """The screen as text, and as a picture, for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        suite = Path(os.environ["NVIM"]).parents[2].name
        with self._changed:
            lines, screen = self.screen.lines(), self.screen
            picture = drawn(screen.cells, screen.groups, screen.colours)
        (SHOTS / f"{suite}-{name}.txt").write_text("\n".join(lines) + "\n")
        (SHOTS / f"{suite}-{name}.svg").write_text(picture)

    def wait(
        self,
        condition: Callable[[], object],
        what: str,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Until the screen satisfies a condition; the screen is in the failure."""
        end = time.monotonic() + deadline_s
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    drawn = "\n".join(self.screen.lines())
                    raise AssertionError(f"waited in vain for {what}; screen:\n{drawn}")

    def wait_lua(self, source: str) -> None:
        """Until Lua in the editor returns something true; Neovim itself waits."""
        body = f"local function done() {source} end return (vim.wait(..., done, 10))"
        assert self.lua(body, int(DEADLINE_S * 1000)), f"waited in vain: {source}"

    def ghost_marks(self) -> list[object]:
        """Everything the plugin has drawn, on the screen or off it."""
        return self.lua(
            """local space = vim.api.nvim_get_namespaces().dlmd
            return vim.api.nvim_buf_get_extmarks(0, space, 0, -1, {})"""
        )

    def wait_for_ghost(self, *rows: str) -> None:
        self.wait(lambda: self.ghost() == list(rows), f"ghost text {rows}")

    def messages(self) -> str:
        return self.call("nvim_exec2", "messages", {"output": True})["output"]

    def assert_quiet(self) -> None:
        """No message was given, no window opened, no prompt waits."""
        assert self.messages() == ""
        windows = self.call("nvim_list_wins")
        assert len(windows) == 1
        assert not self.call("nvim_get_mode")["blocking"]
        with self._changed:
            assert self.screen.lines()[-1] == ""
