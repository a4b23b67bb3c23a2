"""Suggestions on a key over stdio: what waits for it, what is left of it, what else there is."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.recorder import recording
from tests.lsp_rig import editing

pytestmark = pytest.mark.slow

FILLS = {"total = ": "price * count"}


async def test_subtle_waits_for_its_key(quick: Path) -> None:
    waiting: list[Any] = []
    async with editing(quick, trigger="subtle") as editor:
        editor.client.feature("dlmd/waiting")(lambda params: waiting.append(params))
        at = editor.open("total = |\n")
        assert await editor.items(at) == []
        assert (await editor.run("dlmd.whyNot"))["code"] == "waiting-for-key"
        assert waiting[0].position.character == at.character
        assert waiting[0].version == editor.version
        [item] = await editor.items(at, manual=True)
        assert item.insert_text == "price * count"
        assert item.command is not None
        assert (item.command.arguments or [{}])[0]["id"] == waiting[0].id  # type: ignore[index]


async def test_subtle_shows_more_on_its_key(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=lambda request, at: "price * count") as heard,
        editing(tmp_path / "r", trigger="subtle") as editor,
    ):
        at = editor.open("total = |\n")
        assert await editor.items(at) == []
        assert await editor.inserted(at, manual=True) == ["price * count"]
        assert [request.n for request in heard.requests] == [1]
        # Once seen, it stays while it is typed; the key again asks what else there is.
        at = editor.type(at, "pr")
        assert await editor.inserted(at) == ["ice * count"]
        assert [request.n for request in heard.requests] == [1]
        assert await editor.items(at, manual=True)
        assert [request.n for request in heard.requests] == [1, 3]
        # What was asked by hand stays what it is.
        assert await editor.items(at, manual=True)
        assert len(heard.requests) == 2


async def test_the_rest_of_a_part_taken_is_there_by_hand_too(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=lambda request, at: "price * count") as heard,
        editing(tmp_path / "r") as editor,
    ):
        at = editor.open("total = |\n")
        assert await editor.inserted(at) == ["price * count"]
        at = editor.type(at, "price")
        assert await editor.inserted(at, manual=True) == [" * count"]
        assert len(heard.requests) == 1
        assert await editor.items(at, manual=True)
        assert [request.n for request in heard.requests] == [1, 3]


async def test_candidates_by_hand(tmp_path: Path) -> None:
    async with recording(tmp_path / "r") as heard, editing(tmp_path / "r") as editor:
        at = editor.open("total = |\n")
        assert await editor.inserted(at, manual=True) == ["value"]
        assert (heard.requests[0].n, heard.requests[0].by_token) == (3, True)
        await editor.items(editor.type(at, "x"))
        assert heard.requests[1].n == 1
