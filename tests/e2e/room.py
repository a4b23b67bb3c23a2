"""The folders, environment and daemon of one end-to-end test.

Knows how the parts are started and ended. It must not know Neovim's drawing (editor.py)
nor what is asserted. The daemon is always the one the language server starts on demand;
what is changed is only which program that is, and that its process id is written down,
so that a test can kill it and nothing outlives the test. Paths hold a space on purpose.
"""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.editor import Editor

REPOSITORY = Path(__file__).parents[2]
PLUGIN = REPOSITORY / "editors" / "nvim"

# A screen without a line that changes by itself, so that any message is seen there.
# The groups are defined before setup(): a user's own colour has to win over our link. Each has
# a colour of its own, or Neovim would name two of them as one, and one that can be read in the
# pictures.
INIT = """
vim.opt.runtimepath:prepend({plugin})
vim.o.swapfile = false
vim.o.showmode = false
vim.o.showcmd = false
vim.o.ruler = false
vim.opt.shortmess:append("F")
for group, colour in pairs({{
  DlmdGhost = 0x8b90a0, ComplHint = 0x8b90a1, DlmdMask = 0x565b6b, DlmdNote = 0x6c7285,
  DlmdSettled = 0xe0e2ea, DlmdFresh = 0x7ee0a0, DlmdRest = 0xe0e2eb,
  DlmdHeat1 = 0xff9090, DlmdHeat2 = 0xffc080, DlmdHeat3 = 0xf0e080, DlmdHeat4 = 0x90d0ff,
  DlmdHeat5 = 0x90f0a0,
}}) do
  vim.api.nvim_set_hl(0, group, {{ fg = colour }})
end
vim.cmd({before})
require("dlmd").setup({setup})
"""

TAB = "{ keys = { accept = '<Tab>' } }"

# The `dlmd` that is first on PATH: the real program, but for the daemon it starts.
PROGRAM = """\
import sys
from dlmd.cli import main
from dlmd.wire import discovery

daemon = {daemon!r} or discovery.DAEMON
discovery.DAEMON = ("sh", "-c", 'echo $$ >>"$0"; exec "$@"', {pids!r}, *daemon)
sys.argv[0] = "dlmd"
main()
"""

# What an editor opens whose page says how to complete a line, and then a whole function.
TWO_FUNCTIONS = b"def add(first, second):\n    \n\ndef all_of(xs):\n    pass\n"
BOTH_FILLED = (
    b"def add(first, second):\n    return first + second\n\n"
    b"def all_of(xs):\n    total = sum(xs)\n    return total\n"
)


class Room:
    def __init__(self, *, folder: Path, python: Path):
        self.folder = folder
        self.python = python
        self.project = folder / "my project"
        self.pids = folder / "pids"
        self.counter = folder / "forwards"
        for name in ("home", "run", "my project", "bin"):
            (folder / name).mkdir(mode=0o700)
        self.env = {
            "HOME": str(folder / "home"),
            "PATH": f"{folder}/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "DLMD_RUNTIME_DIR": str(folder / "run"),
            "OMP_NUM_THREADS": "1",
        }
        self.use_embedded_model()

    def file(self, name: str, content: bytes) -> Path:
        path = self.project / name
        path.write_bytes(content)
        return path

    def open(self, path: Path, *, setup: str = TAB, before: str = "") -> Editor:
        """Neovim on a file; `setup` is Lua, `before` an Ex command run before it."""
        init = self.folder / "init.lua"
        init.write_text(
            INIT.format(plugin=_lua(PLUGIN), before=_lua(before), setup=setup)
        )
        argv = [os.environ["NVIM"], "--embed", "-u", str(init), "-i", "NONE", str(path)]
        return Editor(argv, self.env, self.project)

    def use_embedded_model(self) -> None:
        self._write_program(())

    def use_fake_model(self, table: Mapping[str, str], *, delay_ms: int = 1) -> None:
        """The daemon answers from a table: text before the hole -> what fills it."""
        path = self.folder / "table.json"
        path.write_text(json.dumps(table))
        fake = ["env", f"PYTHONPATH={REPOSITORY}", str(self.python)]
        fake += ["-m", "tests.fakes.daemon", "--table", str(path)]
        fake += ["--counter", str(self.counter)]
        self._write_program((*fake, "--delay-ms", str(delay_ms)))

    def forwards(self) -> int:
        """How often the fake model has computed."""
        return int(self.counter.read_text())

    def kill_daemon(self) -> None:
        """As the kernel does when memory runs out: no goodbye."""
        assert self.started() == 1
        self._kill()

    def stop_daemon(self) -> None:
        """As a person does, who means it."""
        stop = [str(self.folder / "bin" / "dlmd"), "stop"]
        subprocess.run(stop, env=self.env, check=True, capture_output=True)

    def freeze_daemon(self) -> None:
        """It hangs: its sockets stay open, and nothing answers."""
        assert self.started() == 1
        self._signal(signal.SIGSTOP)

    def thaw_daemon(self) -> None:
        self._signal(signal.SIGCONT)

    def started(self) -> int:
        """How many daemons were started."""
        return len(self.pids.read_text().split()) if self.pids.exists() else 0

    def close(self) -> None:
        if self.started():
            self._kill()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids.read_text().split():
            try:
                os.kill(int(pid), number)
            except ProcessLookupError:
                continue

    def _write_program(self, daemon: tuple[str, ...]) -> None:
        body = self.folder / "program.py"
        body.write_text(PROGRAM.format(daemon=daemon, pids=str(self.pids)))
        program = self.folder / "bin" / "dlmd"
        # -P: the folder of the script is no place to import from.
        program.write_text(f'#!/bin/sh\nexec "{self.python}" -P "{body}" "$@"\n')
        program.chmod(stat.S_IRWXU)


def _lua(value: object) -> str:
    """A Lua string literal."""
    return json.dumps(str(value), ensure_ascii=False)
