"""The command dlmd.completeFunction over stdio: one edit, progress, and every way to refuse."""

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp_rig import CAPABILITIES, Daemon, Editor, editing

pytestmark = pytest.mark.slow

LONG = "\n    ".join(f"x{number} = {number}" for number in range(15))
BODY = "for a in b:\n        print(a)\n    return b\n\n\ndef other():\n    pass\n"
FILLS = {
    '"""Show b."""\n    ': BODY,
    "def tabs(b):\n\t\t": "for a in b:\n\t\t\tprint(a)\n\t\treturn b\n",
    "def bare(b):\n    ": "return b",
    "def empty():\n    ": "\n\n",
    '"""Take long."""\n    ': LONG,
}
SHOW = 'def show(b):\n    """Show b."""\n    |\n\n\ndef after():\n    pass\n'
LONG_ONE = 'def long():\n    """Take long."""\n    |\n'


async def test_the_body_is_filled_by_one_edit(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open(SHOW)
        answer = await editor.filled(at, editor.version)
        assert answer == {"applied": True}
        assert editor.text == (
            'def show(b):\n    """Show b."""\n    for a in b:\n        print(a)\n'
            "    return b\n\n\ndef after():\n    pass\n"
        )
        assert len(editor.edits) == 1
        assert editor.shown == []


async def test_its_progress(quick: Path) -> None:
    async with editing(quick) as editor:
        await editor.filled(editor.open(SHOW))
        [(_, told)] = editor.client.progress_reports.items()
        begin, *reports, end = told
        assert isinstance(begin, types.WorkDoneProgressBegin)
        assert (begin.title, begin.cancellable) == ("dlmd: filling show", True)
        assert isinstance(end, types.WorkDoneProgressEnd)
        percents = [report.percentage for report in reports]
        assert percents == sorted(percents) and percents[-1] == 100


async def test_its_states_fill_the_range_that_gives_way(quick: Path) -> None:
    async with editing(quick) as editor:
        await editor.filled(editor.open("def bare(b): ...|\n"))
        *drawn, end = editor.states
        assert end.done and not any(state.done for state in drawn)
        assert {state.kind for state in drawn} == {"function"}
        assert list(drawn[-1].holes) == [["\n    ", "return", " b"]]
        assert len(drawn[-1].confidence[0]) == len(drawn[-1].fresh[0]) == 3
        assert [state.range for state in drawn] == [state.ranges[0] for state in drawn]
        [edit] = editor.edits
        [change] = edit.edit.document_changes or []
        assert isinstance(change, types.TextDocumentEdit)
        where = change.edits[0].range
        for state in editor.states:
            assert state.range.start.character == where.start.character == 12
            assert state.range.end.character == where.end.character == 16
        assert editor.text == "def bare(b):\n    return b\n"


STYLES = [
    (
        "class A:\r\n\tdef tabs(b):\r\n\t\tpass|\r\n\r\nx = 1\r\n",
        "class A:\r\n\tdef tabs(b):\r\n\t\tfor a in b:\r\n\t\t\tprint(a)\r\n"
        "\t\treturn b\r\n\r\nx = 1\r\n",
    ),
    (
        "s = '😀'; t = (\ndef bare(b):|",
        "s = '😀'; t = (\ndef bare(b):\n    return b",
    ),
    ("x = 1\n\f\ndef bare(b): |pass\n", "x = 1\n\f\ndef bare(b):\n    return b\n"),
]


async def test_the_file_keeps_its_style(quick: Path) -> None:
    async with editing(quick) as editor:
        for number, (marked, expected) in enumerate(STYLES):
            editor.uri = f"file:///{number}.py"
            assert await editor.filled(editor.open(marked)) == {"applied": True}
            assert editor.text == expected


async def test_a_client_without_versions_and_progress(quick: Path) -> None:
    plain = types.ClientCapabilities(
        workspace=types.WorkspaceClientCapabilities(apply_edit=True)
    )
    assert plain != CAPABILITIES
    async with editing(quick, capabilities=plain) as editor:
        assert await editor.filled(editor.open("def bare(b):|\n")) == {"applied": True}
        assert editor.text == "def bare(b):\n    return b\n"
        assert editor.edits[0].edit.document_changes is None
        assert editor.client.progress_reports == {}


async def test_a_client_that_never_answers_to_an_edit(quick: Path) -> None:
    silent = (
        types.ClientCapabilities()
    )  # as Vim's ALE, which takes the edit nevertheless
    async with editing(quick, capabilities=silent) as editor:
        heard, over = asyncio.get_running_loop().create_future(), asyncio.Event()

        async def edit(params: types.ApplyWorkspaceEditParams) -> None:
            heard.set_result(params)
            await over.wait()

        editor.client.protocol.fm.features.pop(types.WORKSPACE_APPLY_EDIT)
        editor.client.feature(types.WORKSPACE_APPLY_EDIT)(edit)
        assert await editor.filled(editor.open("def bare(b):|\n")) == {"applied": True}
        assert (await heard).edit.changes is not None
        over.set()


async def refused(editor: Editor, at: types.Position, *more: object) -> str:
    """The one sentence shown, after a command that changed nothing."""
    text, shown = editor.text, len(editor.shown)
    answer = await editor.filled(at, *more)
    [sentence] = editor.shown[shown:]
    assert answer == {"applied": False, "reason": sentence}
    assert editor.text == text and "\n" not in sentence and editor.edits == []
    return sentence


async def test_refusals(quick: Path) -> None:
    async with editing(quick) as editor:
        sentence = await refused(editor, types.Position(0, 0))
        assert "is not open in the editor" in sentence
        at = editor.open("x = |1\n")
        assert "no Python function at line 1" in await refused(editor, at)
        assert "the document changed" in await refused(editor, at, 7)
        editor.uri += "x"
        at = editor.open("def empty():\n    |\n")
        assert "left the body of empty empty" in await refused(editor, at)
        editor.uri = "file:///a.rs"
        at = editor.open("const A: u8 = |1;\n", language="rust")
        assert "no function with a body at line 1" in await refused(editor, at)


async def test_arguments_of_another_plugin(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.open(SHOW)
        for wrong in ([], [1, 2], [editor.uri, {"line": -1, "character": 0}]):
            answer = await editor.complete_function(*wrong)[1]
            assert answer["applied"] is False
            assert "update the editor's dlmd plugin" in editor.shown[-1]


async def test_an_editor_that_takes_no_edit(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.takes_edits = False
        at = editor.open(SHOW)
        assert "the editor did not take the edit" in await refused(editor, at)


async def test_no_daemon(tmp_path: Path) -> None:
    async with editing(tmp_path) as editor:
        at = editor.open(SHOW)
        assert "start one with `dlmd serve`" in await refused(editor, at)
        [told] = editor.client.progress_reports.values()
        assert isinstance(told[-1], types.WorkDoneProgressEnd)


async def test_typing_meanwhile_ends_it_and_nothing_pops_up(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder) as editor:
        at = editor.open(LONG_ONE)
        answer = editor.complete_function(
            editor.uri, {"line": at.line, "character": at.character}
        )[1]
        await editor.until(lambda: editor.states)
        before = process.forwards()
        editor.type(types.Position(0, 0), "# new\n")
        assert await answer == {"applied": False, "reason": "cancelled"}
        assert editor.shown == [] and "the text changed" in editor.logged
        await editor.until(lambda: "the text changed" in editor.statuses[-1].message)
        assert (await editor.run("dlmd.whyNot"))["code"] == "typed-on"
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 3
        assert editor.edits == []


@pytest.mark.parametrize("by", ["progress", "request", "closing"])
async def test_it_can_be_cancelled(slow: tuple[Path, Daemon], by: str) -> None:
    folder, process = slow
    async with editing(folder) as editor:
        at = editor.open(LONG_ONE)
        place = {"line": at.line, "character": at.character}
        id, answer = editor.complete_function(editor.uri, place)
        await editor.until(lambda: editor.states)
        [token] = editor.client.progress_reports
        before = process.forwards()
        if by == "progress":
            editor.client.window_work_done_progress_cancel(
                types.WorkDoneProgressCancelParams(token)
            )
        elif by == "closing":
            editor.close()
        else:
            editor.cancel(id)
        if by == "request":
            with pytest.raises(Exception, match="cancel"):
                await answer
        else:
            assert await answer == {"applied": False, "reason": "cancelled"}
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 2 < before + editor.states[0].of
        assert editor.shown == [] and editor.edits == []
        assert editor.states[-1].done
        told = editor.client.progress_reports[token]
        assert isinstance(told[-1], types.WorkDoneProgressEnd)


async def test_the_newest_command_on_a_file_wins(slow: tuple[Path, Daemon]) -> None:
    folder, _ = slow
    async with editing(folder) as editor:
        at = editor.open(LONG_ONE + "\n\ndef bare(b):\n    pass\n")
        place = {"line": at.line, "character": at.character}
        older = editor.complete_function(editor.uri, place)[1]
        await editor.until(lambda: editor.states)
        assert await editor.filled(types.Position(5, 0)) == {"applied": True}
        assert await older == {"applied": False, "reason": "cancelled"}
        assert editor.text.endswith("def bare(b):\n    return b\n")


async def test_ghost_text_meanwhile_does_not_end_it(slow: tuple[Path, Daemon]) -> None:
    folder, _ = slow
    async with editing(folder) as editor:
        at = editor.open('def show(b):\n    """Show b."""\n    |\n\n\n')
        place = {"line": at.line, "character": at.character}
        answer = editor.complete_function(editor.uri, place)[1]
        await editor.until(lambda: editor.states)
        assert await editor.inserted(types.Position(4, 0)) == ["return value"]
        assert await asyncio.wait_for(answer, 30) == {"applied": True}
