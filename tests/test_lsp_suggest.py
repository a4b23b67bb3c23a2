"""Suggestions over stdio: when they are asked for, what is left of them, and why there is none."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from dlmd_lsp.ask.reasons import REASONS, SENTENCES
from lsprotocol import types

from tests.fakes.recorder import recording
from tests.lsp_rig import CAPABILITIES, Daemon, Editor, editing

pytestmark = pytest.mark.slow

FILLS = {
    "return ": "a + b",
    "print(": "a, b)",
    "total = ": "price * count",
    "if a:\n    ": "b = 1\n    c = 2\n",
    "broken = ": "(((",
    "let x = ": "1 + 2;",
    "int x = ": "1 + 2;",
    "x := ": "1 + 2",
    "x = ": "[1, 2]",
}


async def code(editor: Editor, at: types.Position | None = None) -> str | None:
    more = (
        {} if at is None else {"position": {"line": at.line, "character": at.character}}
    )
    answer = await editor.run("dlmd.whyNot", **more)
    assert answer["message"]
    found: str | None = answer["code"]
    return found


def test_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(REASONS)


REASONED = [
    ("", "|", {}, "empty-document"),
    ("", "val|ue\n", {}, "mid-word"),
    ("", "total = |\n", {"trigger": "manual"}, "manual"),
    ("", "total = |\n", {"disabledLanguages": ["python"]}, "language-disabled"),
    ("", "# total = |\n", {}, "in-comment"),
    ("", "s = 'total = |'\n", {}, "in-string"),
    ("", "s = f'{int(x = |)}'\n", {}, None),
    ("", "# total = |\n", {"inComments": True}, None),
    ("", "s = 'total = |'\n", {"inStrings": True}, None),
    ("", "total = |\n", {"threshold": 1.0}, "not-sure"),
    ("", "x = 1\nbroken = |3\n", {}, "not-parsable"),
    ("", "total = |price * count\n", {}, "nothing-new"),
    ("", "total = |\n", {}, None),
    ("/.env", "total = |\n", {}, "secret-file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "marked", "options", "expected"), REASONED)
async def test_reasons(
    quick: Path, name: str, marked: str, options: dict[str, Any], expected: str | None
) -> None:
    async with editing(quick, **options) as editor:
        editor.uri += name
        at = editor.open(marked)
        items = await editor.items(at)
        assert bool(items) is (expected is None)
        assert await code(editor) == expected
        # By hand most of these do not hold.
        if expected in ("manual", "language-disabled", "in-comment", "in-string"):
            assert await editor.items(at, manual=True)
            assert await code(editor, at) == expected
        assert editor.shown == []


async def test_a_file_that_is_not_open(quick: Path) -> None:
    async with editing(quick) as editor:
        assert await editor.items(types.Position(0, 0)) == []
        assert await code(editor) == "not-open"


async def test_typing_what_was_suggested_asks_nobody(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=lambda request, at: "price * count") as heard,
        editing(tmp_path / "r") as editor,
    ):
        at = editor.open("total = |\n")
        assert await editor.inserted(at) == ["price * count"]
        for letter, rest in zip("price", ("rice * count", "ice * count", "ce * count", "e * count", " * count"), strict=True):  # fmt: skip
            at = editor.type(at, letter)
            assert await editor.inserted(at) == [rest]
        assert len(heard.requests) == 1
        # Another letter than was suggested: now somebody has to be asked.
        at = editor.type(at, "x")
        await editor.items(at)
        assert len(heard.requests) == 2


async def test_a_bracket_that_the_editor_closed(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=lambda request, at: "show(a)") as heard,
        editing(tmp_path / "r") as editor,
    ):
        at = editor.open("x = |\n")
        assert await editor.inserted(at) == ["show(a)"]
        editor.type(at, "show()")
        assert await editor.inserted(types.Position(0, 9)) == ["a"]
        assert len(heard.requests) == 1


async def test_a_part_taken_leaves_the_rest(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("total = |\n")
        [item] = await editor.items(at)
        assert item.command is not None
        about: Any = (item.command.arguments or [])[0]
        assert (about["word"], about["line"]) == (5, 13)
        assert 0 <= about["confident"] <= 13
        at = editor.type(at, "price * count"[: about["word"]])
        taken = types.ExecuteCommandParams(
            "dlmd.accepted", [{"id": about["id"], "part": "word", "characters": 5}]
        )
        await editor.request("workspace/executeCommand", taken)[1]
        assert await editor.inserted(at) == [" * count"]


async def test_typing_into_a_running_request_pins_what_was_typed(
    slow: tuple[Path, Daemon],
) -> None:
    folder, _ = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("total = |\n")
        first = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        began = editor.states[0].id
        at = editor.type(at, "pr")
        second = editor.ask(at)[1]
        assert list((await first).items) == []
        assert [item.insert_text for item in (await second).items] == ["ice * count"]
        assert {state.id for state in editor.states} == {began}
        # What is drawn after it stands where the cursor is now.
        late = [state for state in editor.states if state.version == editor.version]
        assert late and {s.position.character for s in late} == {at.character}
        texts = [
            "".join(p for p in s.holes[0] if isinstance(p, str))
            for s in late
            if s.holes
        ]
        assert not [text for text in texts if text.startswith("price")]


async def test_a_block_where_one_was_opened_and_a_line_elsewhere(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("if a:\n    |\n")
        assert await editor.inserted(at) == ["b = 1\n    c = 2"]


LANGUAGES = [
    ("python", "a.py", "x = |\n", ["[1, 2]"]),
    ("typescript", "a.ts", "function f() {\n\tlet x = |\n}\n", ["1 + 2;"]),
    ("javascript", "a.js", "function f() {\n  let x = |;\n}\n", ["1 + 2"]),
    ("typescriptreact", "a.tsx", "const f = () => {\n  let x = |\n}\n", ["1 + 2;"]),
    ("go", "a.go", "package a\n\nfunc f() {\n\tx := |\n}\n", ["1 + 2"]),
    ("rust", "a.rs", "fn f() {\n    let x = |;\n}\n", ["1 + 2"]),
    ("c", "a.c", "int f(void) {\n  int x = |\n}\n", ["1 + 2;"]),
    ("cpp", "a.cpp", "int f() {\r\n  int x = |;\r\n}\r\n", ["1 + 2"]),
    ("java", "A.java", "class A {\n  void f() {\n    int x = |;\n  }\n}\n", ["1 + 2"]),
    ("ruby", "a.rb", "def f\n  x = |\nend\n", ["[1, 2]"]),
    ("go", "a.go", "package a\n\n// x := |\n", []),
    ("rust", "a.rs", "/* let x = | */\n", []),
    ("java", "A.java", 'class A { String s = "int x = |"; }\n', []),
]


async def test_a_line_in_each_language(quick: Path) -> None:
    async with editing(quick) as editor:
        for number, (language, name, marked, expected) in enumerate(LANGUAGES):
            editor.uri = f"file:///{number}/{name}"
            at = editor.open(marked, language=language)
            assert await editor.inserted(at) == expected, (language, marked)


async def test_settings_that_change_while_it_runs(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.client.workspace_did_change_configuration(
            types.DidChangeConfigurationParams(
                {"dlmd": {"trigger": "manual", "mode": 1}}
            )
        )
        at = editor.open("total = |\n")
        assert await editor.items(at) == []
        assert await code(editor) == "manual"
        assert "mode is 1" in editor.logged


async def test_the_editor_is_asked_for_its_section(quick: Path) -> None:
    able = types.ClientCapabilities(
        text_document=CAPABILITIES.text_document,
        workspace=types.WorkspaceClientCapabilities(configuration=True),
    )
    async with editing(quick, capabilities=able) as editor:
        editor.client.set_configuration({"dlmd": {"trigger": "manual", "connect": "ssh://evil"}})  # fmt: skip
        editor.client.workspace_did_change_configuration(
            types.DidChangeConfigurationParams(settings=None)
        )
        at = editor.open("total = |\n")
        while await code(editor, at) != "manual":
            await asyncio.sleep(0)
        # Which daemon is not for a repository's settings to say.
        assert await editor.inserted(at, manual=True) == ["price * count"]


async def test_what_was_sent_and_how_it_stands(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "prices.py").write_text(
        "VAT = 2\n\n\ndef price_of(name: str) -> int:\n    return 1\n"
    )
    async with recording(tmp_path / "r") as heard, editing(tmp_path / "r") as editor:
        editor.uri = (work / "shop.py").as_uri()
        at = editor.open("from prices import price_of\n\nprint(price_of(|))\n")
        assert "nothing was sent" in (await editor.run("dlmd.whatWasSent"))["text"]
        await editor.items(at)
        told = await editor.run("dlmd.whatWasSent")
        [item] = told["items"]
        assert (item["path"], item["kind"], item["lines"]) == (
            "prices.py",
            "signature",
            [3, 3],
        )
        assert "# def price_of(name: str) -> int" in told["text"]
        [request] = heard.requests
        assert all(
            part in told["text"] for part in request.parts if isinstance(part, str)
        )
        status = await editor.run("dlmd.status")
        assert (status["model"], status["phase"]) == ("recorder", "ready")
        assert status["message"].startswith("recorder") and status["pid"]


async def test_a_small_context_is_for_the_code_around_the_cursor(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    long = ", ".join(f"argument{n}: int" for n in range(12))
    names = ", ".join(f"f{n}" for n in range(20))
    (work / "many.py").write_text(
        "".join(f"def f{n}({long}):\n    pass\n" for n in range(20))
    )
    body = "".join(f"x{n} = f{n}()\n" for n in range(20))
    async with (
        recording(tmp_path / "r", context=512) as heard,
        editing(tmp_path / "r") as editor,
    ):
        editor.uri = (work / "a.py").as_uri()
        at = editor.open(f"from many import {names}\n{body}y = |\n")
        await editor.items(at)
        [request] = heard.requests
        assert isinstance(request.parts[0], str)
        own = request.parts[0].partition("from many import")[2]
        extra = len(request.parts[0]) - len(own)
        assert own.endswith(body + "y = ") and extra < 512 * 3 * 0.15


async def test_recently_edited_text_of_other_files_goes_along(tmp_path: Path) -> None:
    async with recording(tmp_path / "r") as heard, editing(tmp_path / "r") as editor:
        editor.uri = (tmp_path / "one.py").as_uri()
        # How much the model sees is known from the first answer on.
        at = editor.open("def tariff_of(parcel):\n    |\n")
        await editor.items(at)
        editor.type(at, "return parcel.weight * RATE")
        editor.uri = (tmp_path / "two.py").as_uri()
        at = editor.open("fee = tariff_of(parcel) + |\n")
        editor.type(types.Position(0, 0), "x")
        await editor.items(types.Position(0, at.character + 1))
        request = heard.requests[-1]
        assert "# one.py\n# def tariff_of(parcel):\n#     return parcel.weight" in str(request.parts[0])  # fmt: skip


async def test_a_daemon_that_hangs_blocks_nothing_and_leaves_nothing_stale(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder, liveStates=True) as editor:
        at = editor.open("total = |\n")
        stuck = editor.ask(at)[1]
        await editor.until(lambda: editor.states)
        os.kill(process.process.pid, signal.SIGSTOP)
        try:
            for letter in "qwe":
                at = editor.type(at, letter)
                stuck, older = editor.ask(at)[1], stuck
                assert list((await older).items) == []
            assert list((await stuck).items) == []
            await editor.until(lambda: editor.statuses[-1].phase == "hanging")
            assert await code(editor) == "daemon-hanging"
            # From now on the answer is immediate, and nothing is sent.
            assert await editor.items(at) == []
            status = await editor.run("dlmd.status")
            assert "dlmd stop" in status["message"]
            drawn = len(editor.states)
        finally:
            os.kill(process.process.pid, signal.SIGCONT)
        await editor.until(lambda: editor.statuses[-1].phase in ("ready", "busy"))
        assert [s for s in editor.states[drawn:] if not s.done] == []
        at = editor.type(at, "\ntotal = ")
        assert await editor.inserted(at) == ["price * count"]
        assert editor.shown == []


async def test_two_workspaces_with_one_daemon(quick: Path, tmp_path: Path) -> None:
    async with editing(quick) as one, editing(quick) as other:
        one.uri, other.uri = "file:///one/a.py", "file:///other/a.py"
        first, second = one.open("total = |\n"), other.open("return |\n")
        answers = await asyncio.gather(one.inserted(first), other.inserted(second))
        assert list(answers) == [["price * count"], ["a + b"]]
        assert await code(one) is None and await code(other) is None


async def test_edits_out_of_order_and_versions_askew(quick: Path) -> None:
    """An editor that breaks the rules gets nothing wrong, and no error either."""
    async with editing(quick) as editor:
        at = editor.open("total = |\n")
        ident = types.VersionedTextDocumentIdentifier
        change = types.TextDocumentContentChangePartial(types.Range(at, at), "1")
        for version, uri in ((7, editor.uri), (3, editor.uri), (8, "file:///never.py")):
            editor.client.text_document_did_change(
                types.DidChangeTextDocumentParams(ident(version, uri), [change])
            )
        beyond = types.Range(types.Position(90, 9), types.Position(99, 9))
        editor.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                ident(9, editor.uri),
                [types.TextDocumentContentChangePartial(beyond, "x = ")],
            )
        )
        assert await editor.inserted(types.Position(1, 4)) == ["[1, 2]"]
        editor.close()
        assert await editor.items(at) == []
        assert await code(editor) == "not-open"
        assert editor.shown == []
