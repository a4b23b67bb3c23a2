"""Suggestions on a key over stdio: what waits for it, what is left of it, what else there is."""

from pathlib import Path
from typing import Any

import pytest
from dlmd.wire.protocol import Infill
from dlmd_lsp.flight import HEAT
from lsprotocol import types

from tests.fakes.recorder import recording
from tests.lsp_rig import Editor, editing

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
        assert [request.n for request in heard.requests] == [1, 2]
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
        assert [request.n for request in heard.requests] == [1, 2]


async def test_what_was_asked_for_by_hand_stays_while_it_is_typed(quick: Path) -> None:
    async with editing(quick, trigger="manual") as editor:
        at = editor.open("total = |\n")
        assert await editor.inserted(at) == []
        assert await editor.inserted(at, manual=True) == ["price * count"]
        at = editor.type(at, "pr")
        assert await editor.inserted(at) == ["ice * count"]
        # Another letter than was suggested: nothing is asked unless somebody does.
        assert await editor.inserted(editor.type(at, "x")) == []
        assert (await editor.run("dlmd.whyNot"))["code"] == "manual"


def chance_or_choice(request: Infill, at: int) -> str:
    return "chance" if request.temperature else "choice"


async def test_candidates_by_hand(tmp_path: Path) -> None:
    """The model's own choice first, as it would be unasked; chance only has the others."""
    async with (
        recording(tmp_path / "r", fill=chance_or_choice) as heard,
        editing(tmp_path / "r") as editor,
    ):
        at = editor.open("total = |\n")
        assert await editor.inserted(at, manual=True) == ["choice", "chance"]
        asked = [(one.n, one.temperature or 0.0) for one in heard.requests]
        assert asked == [(1, 0.0), (2, HEAT)]
        assert all(one.by_token for one in heard.requests)
        await editor.items(editor.type(at, "x"))
        assert heard.requests[2].n == 1


async def test_what_is_on_the_screen_stays_among_the_candidates(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=chance_or_choice) as heard,
        editing(tmp_path / "r") as editor,
    ):
        at = editor.open("total = |\n")
        assert await editor.inserted(at) == ["choice"]
        assert await editor.inserted(at, manual=True) == ["choice", "chance"]
        assert [one.n for one in heard.requests] == [1, 2]


async def test_one_candidate_is_one_request(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r") as heard,
        editing(tmp_path / "r", candidates=1) as editor,
    ):
        at = editor.open("total = |\n")
        assert await editor.inserted(at, manual=True) == ["value"]
        assert [one.n for one in heard.requests] == [1]


async def id_of_the_one(editor: Editor, at: types.Position) -> Any:
    [item] = await editor.items(at)
    assert item.command is not None
    return (item.command.arguments or [{}])[0]["id"]  # type: ignore[index]


async def test_what_was_sent_away_stays_away_while_its_letters_are_typed(
    quick: Path,
) -> None:
    async with editing(quick) as editor:
        at = editor.open("total = |\n")
        id = await id_of_the_one(editor, at)
        assert await editor.run("dlmd.rejected", id=id, dismissed=True) is None
        assert await editor.items(at) == []
        at = editor.type(at, "pr")
        assert await editor.items(at) == []
        assert (await editor.run("dlmd.whyNot"))["code"] == "dismissed"
        # Asked for by hand it is there at once, and then it stays.
        assert await editor.inserted(at, manual=True) == ["ice * count"]
        assert await editor.inserted(editor.type(at, "i")) == ["ce * count"]


async def test_what_was_sent_away_comes_back_once_something_else_was_typed(
    quick: Path,
) -> None:
    async with editing(quick) as editor:
        at = editor.open("total = |\n")
        id = await id_of_the_one(editor, at)
        await editor.run("dlmd.rejected", id=id, dismissed=True)
        assert await editor.items(editor.type(at, "q")) == []
        assert (await editor.run("dlmd.whyNot"))["code"] != "dismissed"
        editor.text = "total = \n"
        editor.sync()
        assert await editor.inserted(at) == ["price * count"]


async def test_what_was_only_counted_as_refused_comes_back(quick: Path) -> None:
    """A cursor that moved away, or a menu that opened, sends nothing away for good."""
    async with editing(quick) as editor:
        at = editor.open("total = |\n")
        id = await id_of_the_one(editor, at)
        await editor.run("dlmd.rejected", id=id)
        assert await editor.inserted(editor.type(at, "p")) == ["rice * count"]
