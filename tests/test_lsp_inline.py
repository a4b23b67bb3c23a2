"""dlmd_lsp.inline over stdio: what is answered, and that nothing outlives its request."""

from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp_rig import Daemon, editing

pytestmark = pytest.mark.slow

LONG = " + ".join(f"x{number}" for number in range(40))
FILLS = {
    "return ": "a + b",
    "two = ": "1\nthree = 3",
    "print(": "a)",
    "if a:\n    ": "b = 1\n    c = 2\n\nd = 3\n",
    "\tif a:\n\t\t": "b = 1\n\t\tc = 2\n",
    "# é漢😀e\u0301\nz = '漢😀e\u0301' + ": "'😀'",
    "\f\nform = ": "'feed'",
    "last = ": "'end'",
    "long = ": LONG,
    "nothing = ": "\n\n",
}


async def test_the_item(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        [item] = await editor.items(at)
        assert item.insert_text == "a + b"
        assert item.range == types.Range(types.Position(1, 11), types.Position(1, 11))
        assert item.command is not None
        assert item.command.command == "dlmd.accepted"
        assert editor.states == []
        assert (editor.shown, editor.logged) == ([], "")


ANSWERS = [
    ("two = |\n", False, ["1"]),
    ("two = |\n", True, ["1"]),
    ("print(|)\n", False, ["a"]),
    ("nothing = |\n", False, []),
    ("last = |", False, ["'end'"]),
    ("wo|rd\n", False, []),
    ("|", False, []),
    ("|", True, ["return value"]),
    # An opened block is filled, a line elsewhere is one line.
    ("if a:\n    |\n", False, ["b = 1\n    c = 2"]),
    ("if a:\n    |\n    x\n", False, ["b = 1"]),
    ("if a:\n    |\n", True, ["b = 1\n    c = 2"]),
    ("if a:\r\n    |\r\n", True, ["b = 1\r\n    c = 2"]),
    ("while 1:\r\n\tif a:\r\n\t\t|\r\n", True, ["b = 1\r\n\t\tc = 2"]),
    ("x\n\f\nform = |\n", False, ["'feed'"]),
]


async def test_answers(quick: Path) -> None:
    async with editing(quick) as editor:
        for number, (marked, manual, expected) in enumerate(ANSWERS):
            editor.uri = f"file:///{number}.py"
            at = editor.open(marked)
            assert await editor.inserted(at, manual=manual) == expected, marked


async def test_ten_thousand_lines(quick: Path) -> None:
    lines = "".join(f"def f{number}():\n    pass\n" for number in range(5_000))
    async with editing(quick) as editor:
        at = editor.open(lines + "return |\n" + lines)
        assert await editor.inserted(at) == ["a + b"]


async def test_other_languages_and_files_never_opened(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("{\n  return |;\n}\n", language="rust")
        assert await editor.inserted(at) == ["a + b"]
        answer = await editor.ask(at, uri="file:///nowhere/b.py")[1]
        assert list(answer.items) == []


async def test_an_open_menu_comes_first(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("return |\n")
        chosen = types.SelectedCompletionInfo(types.Range(at, at), "abs")
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(
                types.InlineCompletionTriggerKind.Automatic, chosen
            ),
            types.TextDocumentIdentifier(editor.uri),
            at,
        )
        answer = await editor.request("textDocument/inlineCompletion", params)[1]
        assert list(answer.items) == []


async def test_states_when_asked_for(quick: Path) -> None:
    async with editing(quick, liveStates=True) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        assert await editor.inserted(at) == ["a + b"]
        *drawn, end = editor.states
        assert drawn and not any(state.done for state in drawn)
        assert (end.done, list(end.holes)) == (True, [])
        for state in editor.states:
            assert (state.kind, state.id, state.version) == ("inline", drawn[0].id, 1)
            assert state.uri == editor.uri
            assert (state.position.line, state.position.character) == (1, 11)
            assert [len(one) for one in state.holes] == [
                len(one) for one in state.confidence
            ]
        steps = [state.step for state in drawn]
        assert steps == sorted(steps) and drawn[0].of == 3


async def test_states_of_a_single_line_end_at_its_break(quick: Path) -> None:
    async with editing(quick, liveStates=True) as editor:
        at = editor.open("two = |\n")
        assert await editor.inserted(at) == ["1"]
        last = editor.states[-2]
        assert list(last.holes) == [["1"]]


async def test_cancel_reaches_the_device_within_a_step(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        id, answer = editor.ask(at)
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.cancel(id)
        with pytest.raises(Exception, match="cancel"):
            await answer
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        # The forward under way, and one that may begin before the cancel gets there.
        assert process.forwards() <= before + 2 < before + editor.states[0].of
        assert [state.done for state in editor.states].count(True) == 1
        assert editor.shown == []


async def test_the_newest_request_cancels_the_older(slow: tuple[Path, Daemon]) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        older = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        at = editor.type(at, "0\nreturn ")
        assert await editor.inserted(at) == ["a + b"]
        assert older.done() and list(older.result().items) == []
        assert process.forwards() <= before + 2 + 3


async def test_typing_on_without_asking_drops_the_stale_result(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        answer = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.type(at, "1")
        assert list((await answer).items) == []
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 3


async def test_closing_the_file_cancels(slow: tuple[Path, Daemon]) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("long = |\n")
        answer = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.close()
        assert list((await answer).items) == []
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 2


async def test_only_the_last_keystroke_is_answered(slow: tuple[Path, Daemon]) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("def f(a, b):\n    |\n")
        before = process.forwards()
        asked = []
        for character in "return ":
            at = editor.type(at, character)
            asked.append(editor.ask(at)[1])
        answers = [[item.insert_text for item in (await one).items] for one in asked]
        assert answers == [[]] * 6 + [["a + b"]]
        # Three for the answer; of the others each at most the one under way.
        assert process.forwards() <= before + 3 + 6
        ids = {state.id for state in editor.states}
        assert sum(state.done for state in editor.states) == len(ids)
        assert (editor.shown, editor.logged) == ([], "")


async def test_two_files_do_not_cancel_each_other(slow: tuple[Path, Daemon]) -> None:
    folder, _ = slow
    async with editing(folder) as editor:
        at = editor.open("def f(a, b):\n    return |\n")
        first = editor.ask(at)[1]
        editor.uri += "x"
        there = editor.open("last = |")
        assert await editor.inserted(there) == ["'end'"]
        assert [item.insert_text for item in (await first).items] == ["a + b"]
