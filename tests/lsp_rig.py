"""A real language server over stdio, a real daemon on the fake model, and an editor to type in.

The editor keeps a buffer, takes edits, and collects what the server says; `until` waits for
what it is asked, never for a time. Must not know how the server does anything.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from dlmd.wire import discovery
from dlmd_lsp.document import offset_at
from dlmd_lsp.lines import split_lines
from lsprotocol import types
from pygls.workspace import PositionCodec
from pytest_lsp import LanguageClient, make_test_lsp_client

ROOT = Path(__file__).resolve().parents[1]
FAKE = (sys.executable, str(ROOT / "tests" / "fakes" / "daemon.py"))
URI = "file:///work%20place/a.py"
DEADLINE_S = 30.0


def environment(runtime: Path) -> dict[str, str]:
    """What the processes of a test see: nothing of the machine's own dlmd."""
    kept = {key: value for key, value in os.environ.items() if "DLMD" not in key}
    return {
        **kept,
        "DLMD_RUNTIME_DIR": str(runtime),
        "DLMD_CONFIG_DIR": str(runtime / "config"),
        "DLMD_STATE_DIR": str(runtime / "state"),
        "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("daemon", "lsp")),
    }


@dataclass(slots=True, kw_only=True)
class Daemon:
    process: subprocess.Popen[bytes]
    counter: Path

    def forwards(self) -> int:
        return int(self.counter.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def command(
    folder: Path, fills: Mapping[str, str], delay_ms: float = 0, *more: str
) -> list[str]:
    """The command line of a fake daemon whose table and counter lie in the folder."""
    table = folder / "table.json"
    table.write_text(json.dumps(fills), encoding="utf-8")
    counter = str(folder / "forwards")
    options = ["--table", str(table), "--delay-ms", str(delay_ms), "--counter", counter]
    return [*FAKE, *options, *more]


@contextlib.contextmanager
def daemon(
    folder: Path, fills: Mapping[str, str], delay_ms: float = 0
) -> Iterator[Daemon]:
    folder.mkdir(exist_ok=True, mode=0o700)
    process = subprocess.Popen(
        command(folder, fills, delay_ms),
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        serving(folder, process)
        yield Daemon(process=process, counter=folder / "forwards")
    finally:
        process.kill()
        process.wait()


def serving(folder: Path, process: subprocess.Popen[bytes] | None = None) -> int:
    """The id of the process that serves in that folder, waiting until one does."""
    file = folder / "daemon.json"
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        assert process is None or process.poll() is None, "the fake daemon ended"
        with contextlib.suppress(OSError, ValueError, LookupError):
            found = json.loads(file.read_text())
            pid = int(found["pid"])
            # The file of a daemon that was killed stays, and may name the same socket.
            os.kill(pid, 0)
            mine = process is None or process.pid == pid
            if mine and discovery.accepts(Path(found["socket"])):
                return pid
        time.sleep(0.01)
    raise AssertionError(f"no daemon serves in {folder}")


def end_daemon(folder: Path) -> None:
    """End the daemon that a server started there, if it still lives."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        os.kill(json.loads((folder / "daemon.json").read_text())["pid"], 9)


@dataclass(slots=True, kw_only=True)
class Editor:
    """One open file in a client of the server."""

    client: LanguageClient
    able: types.ServerCapabilities = field(default_factory=types.ServerCapabilities)
    text: str = ""
    version: int = 0
    uri: str = URI
    states: list[Any] = field(default_factory=list)
    statuses: list[Any] = field(default_factory=list)
    edits: list[types.ApplyWorkspaceEditParams] = field(default_factory=list)
    takes_edits: bool = True
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def logged(self) -> str:
        return "\n".join(entry.message for entry in self.client.log_messages)

    @property
    def shown(self) -> list[str]:
        return [entry.message for entry in self.client.messages]

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not true():
                self.news.clear()
                await self.news.wait()

    def open(self, marked: str, language: str = "python") -> types.Position:
        """Open a text with a | where the cursor is; the cursor's position."""
        before, _, after = marked.partition("|")
        self.text, self.version = before + after, self.version + 1
        item = types.TextDocumentItem(self.uri, language, self.version, self.text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return position_after(before)

    def type(self, at: types.Position, new: str) -> types.Position:
        """Insert at the cursor, as an incremental change; the cursor behind it."""
        offset = offset_at(split_lines(self.text), at, PositionCodec())
        before = self.text[:offset] + new
        self.text = before + self.text[offset:]
        self.version += 1
        change = types.TextDocumentContentChangePartial(types.Range(at, at), new)
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(self.version, self.uri), [change]
            )
        )
        return position_after(before)

    def sync(self) -> None:
        """Tell the server what an edit of its own made of the text."""
        self.version += 1
        whole = types.TextDocumentContentChangeWholeDocument(self.text)
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(self.version, self.uri), [whole]
            )
        )

    def close(self) -> None:
        self.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(self.uri))
        )

    def ask(
        self, at: types.Position, *, manual: bool = False, uri: str | None = None
    ) -> tuple[str, "asyncio.Future[Any]"]:
        """Send an inlineCompletion request; its id and the answer to come."""
        kinds = types.InlineCompletionTriggerKind
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(
                kinds.Invoked if manual else kinds.Automatic
            ),
            text_document=types.TextDocumentIdentifier(uri or self.uri),
            position=at,
        )
        return self.request("textDocument/inlineCompletion", params)

    def request(self, method: str, params: Any) -> tuple[str, "asyncio.Future[Any]"]:
        id = f"test-{time.monotonic_ns()}"
        # Sent now, not when it is awaited: what is typed next must come after it.
        sent = self.client.protocol.send_request(method, params, msg_id=id)
        return id, asyncio.wrap_future(sent)

    async def items(
        self, at: types.Position, *, manual: bool = False
    ) -> list[types.InlineCompletionItem]:
        answer = await asyncio.wait_for(self.ask(at, manual=manual)[1], DEADLINE_S)
        return list(answer.items)

    async def inserted(self, at: types.Position, *, manual: bool = False) -> list[str]:
        return [str(item.insert_text) for item in await self.items(at, manual=manual)]

    async def run(self, name: str, **argument: Any) -> Any:
        """A command with one object, which names this document."""
        return await asyncio.wait_for(self.command(name, **argument)[1], DEADLINE_S)

    def command(self, name: str, **argument: Any) -> tuple[str, "asyncio.Future[Any]"]:
        params = types.ExecuteCommandParams(name, [{"uri": self.uri, **argument}])
        return self.request("workspace/executeCommand", params)

    def complete_function(self, *arguments: Any) -> tuple[str, "asyncio.Future[Any]"]:
        return self.request(
            "workspace/executeCommand",
            types.ExecuteCommandParams("dlmd.completeFunction", list(arguments)),
        )

    async def filled(self, at: types.Position, *more: Any) -> Any:
        place = {"line": at.line, "character": at.character}
        answer = self.complete_function(self.uri, place, *more)[1]
        return await asyncio.wait_for(answer, DEADLINE_S)

    def cancel(self, id: str) -> None:
        self.client.cancel_request(types.CancelParams(id))

    def apply(self, params: types.ApplyWorkspaceEditParams) -> None:
        """Do to the buffer what an editor would: one document, one version."""
        self.edits.append(params)
        changes, plain = params.edit.document_changes, params.edit.changes
        if changes:
            [change] = changes
            assert isinstance(change, types.TextDocumentEdit)
            assert change.text_document.version == self.version
            uri, found = change.text_document.uri, change.edits
        else:
            assert plain
            [(uri, found)] = plain.items()
        assert uri == self.uri
        lines, codec = split_lines(self.text), PositionCodec()
        spans = [
            (
                offset_at(lines, e.range.start, codec),
                offset_at(lines, e.range.end, codec),
            )
            for e in found
        ]
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
        for edit, (start, end) in reversed(list(zip(found, spans, strict=True))):
            assert isinstance(edit, types.TextEdit)
            self.text = self.text[:start] + edit.new_text + self.text[end:]


def position_after(text: str) -> types.Position:
    """Counted here a second time, so that the server's arithmetic is not its own judge."""
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return types.Position(
        len(rows) - 1, len(rows[-1].encode("utf-16-le", "surrogatepass")) // 2
    )


CAPABILITIES = types.ClientCapabilities(
    text_document=types.TextDocumentClientCapabilities(
        inline_completion=types.InlineCompletionClientCapabilities()
    ),
    window=types.WindowClientCapabilities(work_done_progress=True),
    workspace=types.WorkspaceClientCapabilities(
        apply_edit=True,
        workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True),
    ),
)


@contextlib.asynccontextmanager
async def editing(
    runtime: Path,
    *,
    argv: Sequence[str] = ("-m", "dlmd_lsp"),
    capabilities: types.ClientCapabilities = CAPABILITIES,
    extra_env: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Editor]:
    """An editor whose server has just been initialised with these options."""
    editor = Editor(client=make_test_lsp_client())
    _listen(editor)
    env = {**environment(runtime), **(extra_env or {})}
    await editor.client.start_io(sys.executable, *argv, env=env)
    answer = await editor.client.initialize_session(
        types.InitializeParams(
            capabilities=capabilities,
            initialization_options={"startDaemon": False, **options},
        )
    )
    editor.able = answer.capabilities
    try:
        yield editor
        assert editor.client.error is None
    finally:
        await asyncio.wait_for(editor.client.shutdown_session(), DEADLINE_S)
        await editor.client.stop()  # type: ignore[no-untyped-call]


def _listen(editor: Editor) -> None:
    def state(params: Any) -> None:
        editor.states.append(params)
        editor.news.set()

    def status(params: Any) -> None:
        editor.statuses.append(params)
        editor.news.set()

    def edit(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        if editor.takes_edits:
            editor.apply(params)
        return types.ApplyWorkspaceEditResult(applied=editor.takes_edits)

    handlers = {
        "dlmd/state": state,
        "dlmd/status": status,
        types.WORKSPACE_APPLY_EDIT: edit,
    }
    for method, handler in handlers.items():
        editor.client.feature(method)(handler)
