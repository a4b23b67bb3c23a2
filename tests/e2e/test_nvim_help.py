"""The help file: its tags can be made, every reference leads somewhere, every name exists."""

import re
import shutil

import pytest

from tests.e2e.room import PLUGIN, Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HELP = (PLUGIN / "doc" / "dlmd.txt").read_text()


def test_tags_and_references(room: Room) -> None:
    shutil.copytree(PLUGIN / "doc", room.folder / "more" / "doc")
    with room.open(room.file("a.txt", b"")) as editor:
        editor.lua("vim.opt.runtimepath:prepend(...)", str(room.folder / "more"))
        folder = str(room.folder / "more" / "doc")
        editor.lua("vim.cmd.helptags(vim.fn.fnameescape(...))", folder)
        found = set(re.findall(r"(?<!\w)\|([^|\s]+)\|", HELP))
        assert len(found) > 20
        for reference in sorted(found):
            hits = editor.call(
                "nvim_call_function", "getcompletion", [reference, "help"]
            )
            assert reference in hits, reference
        editor.command("help dlmd-keys")
        assert editor.lua("return vim.fn.expand('%:t')") == "dlmd.txt"


def test_every_command_function_group_and_setting_is_told(room: Room) -> None:
    with room.open(room.file("a.txt", b"")) as editor:
        names = editor.lua(
            """local names = {}
            for name in pairs(vim.api.nvim_get_commands({})) do
              if name:match("^Dlmd") then table.insert(names, ":" .. name) end
            end
            for name, value in pairs(require("dlmd")) do
              if type(value) == "function" then table.insert(names, name .. "(") end
            end
            vim.list_extend(names, vim.fn.getcompletion("Dlmd", "highlight"))
            vim.list_extend(names, vim.tbl_keys(require("dlmd.config").defaults))
            vim.list_extend(names, vim.tbl_keys(require("dlmd").actions))
            return names"""
        )
    assert len(names) > 50
    missing = [name for name in names if name not in HELP]
    assert missing == []
