"""What is said to the editor: pygls' server with our notifications, and nothing that pops up.

An automatic request never produces a message box: what went wrong goes to the log, once for
as long as it stays the same. Must not know holes, Python or how the daemon is reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from dlmd.wire import discovery
from dlmd.wire.protocol import State, Status
from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from dlmd_lsp.around.ring import Chunk, Ring, Seen
from dlmd_lsp.ask.gate import never
from dlmd_lsp.ask.ignored import is_ignored
from dlmd_lsp.document import Document, find
from dlmd_lsp.link import Away
from dlmd_lsp.session import Session
from dlmd_lsp.show.newest import told_apart

ASIDE_S = 10.0
Note = dict[str, Any]
Pieces = list[str | int]
# A state, its holes as they are to be drawn, and how sure each piece is.
Draw = Callable[[State, list[Pieces], list[list[float]]], None]


class Editor(LanguageServer):
    """The client at the other end of stdio."""

    # Set by `initialize`, before which an editor may ask nothing (LSP, Server lifecycle).
    session: Session
    complaints: list[str]

    def __init__(self) -> None:
        super().__init__("dlmd", discovery.version())
        self._logged = ""
        self.status: Note = {}
        self._known: Status | Away | None = None
        self._aside = ""  # said beside the status, for a while
        self.flights: dict[str, Any] = {}  # flight.Flight of each document
        self.works: dict[str, Any] = {}  # commands.work.Work under way
        self.dones: dict[str, Any] = {}  # commands.work.Done of each document
        self.extras: dict[str, Any] = {}  # what was last chosen from other files
        self.ring = Ring()
        self._last: tuple[str, int] = ("", 0)  # document and row of the newest edit

    def roots(self) -> list[str]:
        """The folders of the workspace."""
        folders = [to_fs_path(uri) for uri in self.workspace.folders]
        root = self.workspace.root_path
        return [folder for folder in [*folders, root] if folder]

    def elsewhere(self, uri: str) -> tuple[Chunk, ...]:
        """What is remembered of other documents than this and may be told today: a rule may
        have come after the document was seen."""
        return tuple(c for c in self.ring.others(uri) if not is_ignored(c.path))

    def remember(self, text: Document, first: int, last: int, kind: Seen) -> None:
        """Keep lines of a document in mind, unless nothing of it may leave the server."""
        if never(text) is None:
            lines = list(islice(text.lines, first, last + 1))
            self.ring.add(text.uri, text.path, lines, first, kind)
        else:
            self.ring.forget(text.uri)

    def edited(self, text: Document) -> None:
        """Where somebody works; remembered when they go on somewhere else."""
        row = text.source.count("\n", 0, text.edited_to)
        uri, last = self._last
        if uri and (uri != text.uri or abs(row - last) > 8):
            left = find(self.workspace, uri)
            if left is not None:
                self.remember(left, max(0, last - 8), last + 8, "edited")
        self._last = (text.uri, row)

    def heed_cancel(self, task: asyncio.Task[Any] | None) -> None:
        """Let `$/cancelRequest` reach a command, where pygls cancels only the answer.

        It runs a command as a step of its own request, under another id.
        """
        answer = self.protocol._request_futures.get(self.protocol.msg_id or "")
        if answer is not None and task is not None:
            answer.add_done_callback(lambda done: done.cancelled() and task.cancel())

    def report_server_error(self, error: Exception, source: Any) -> None:
        """pygls would show a message box; a fault of ours is no reason to stop a typist."""
        self.log(
            f"internal error ({source.__name__}): {error}", types.MessageType.Error
        )

    def log(self, text: str, kind: types.MessageType = types.MessageType.Info) -> None:
        self.window_log_message(types.LogMessageParams(type=kind, message=text))

    def log_once(self, text: str) -> None:
        """A trouble that every keystroke meets again is told once."""
        if text != self._logged:
            self.log(text, types.MessageType.Warning)
        self._logged = text

    def recovered(self) -> None:
        self._logged = ""

    def show(self, text: str) -> None:
        """For explicit commands only."""
        self.window_show_message(
            types.ShowMessageParams(type=types.MessageType.Warning, message=text)
        )

    def tell_status(self, status: Status | Away) -> None:
        """`dlmd/status`, when it differs from the last one."""
        self._known, note = status, status_note(status)
        if self._aside:
            note["message"] += f"; {self._aside}"
        if note != self.status:
            self.status = note
            self.protocol.notify("dlmd/status", note)

    def whisper(self, text: str) -> None:
        """For what a person may want to know and must not be stopped by."""
        self.log(text)
        self._say_beside(text)
        asyncio.get_running_loop().call_later(ASIDE_S, self._say_beside, "")

    def _say_beside(self, text: str) -> None:
        self._aside = text
        if self._known is not None:
            self.tell_status(self._known)

    @contextmanager
    def drawing(self, base: Note, *, wanted: bool = True) -> Iterator[Draw]:
        """`dlmd/state` for each state drawn, and one with done=true whatever happens."""

        last = {"step": 0, "of": 0}
        before: list[Pieces] = []

        def draw(
            state: State, holes: list[Pieces], confidence: list[list[float]]
        ) -> None:
            nonlocal before
            if wanted:
                last["step"], last["of"] = state.step, state.of
                note = {**base, **state_note(state, holes, confidence, before)}
                self.protocol.notify("dlmd/state", note)
                before = holes

        try:
            yield draw
        finally:
            if wanted:
                end: Note = {"candidate": 0, "done": True, "holes": []}
                end |= {"confidence": [], "fresh": []}
                self.protocol.notify("dlmd/state", {**base, **last, **end})


def state_note(
    state: State,
    holes: list[Pieces],
    confidence: list[list[float]],
    before: list[Pieces],
) -> Note:
    told = [
        told_apart(pieces, before[at] if at < len(before) else [])
        for at, pieces in enumerate(holes)
    ]
    return {
        "candidate": state.candidate,
        "step": state.step,
        "of": state.of,
        "done": False,
        "holes": [[piece for piece, _, _ in hole] for hole in told],
        "confidence": [
            [numbers[at] if at < len(numbers) else 0.0 for _, _, at in hole]
            for numbers, hole in zip(confidence, told, strict=True)
        ],
        "fresh": [[new for _, new, _ in hole] for hole in told],
    }


def status_note(status: Status | Away) -> Note:
    if isinstance(status, Away):
        # "stopping" only fills the struct: the phase of ours replaces it.
        known = status_note(Status(phase="stopping", detail=status.detail))
        return {**known, "phase": status.phase, "message": status.detail}
    loading = status.phase == "loading"
    return {
        "phase": status.phase,
        "model": status.model,
        "profile": status.profile,
        "device": status.device,
        "adapter": status.adapter,
        "detail": status.detail,
        "fix": status.fix,
        "message": message(status),
        "bytesDone": status.bytes_done if loading else None,
        "bytesTotal": status.bytes_total if loading else None,
        "etaS": status.eta_s,
    }


def message(status: Status) -> str:
    """One line for people: what it does, with which model, on which device."""
    adapter = f" with {status.adapter}" if status.adapter else ""
    where = f" on {status.device}" if status.device else ""
    what = f"{status.model}{adapter}{where}: " if status.model else ""
    said = f", {status.detail}" if status.detail else ""
    return f"{what}{status.phase}{said}"


def quiet_logging() -> None:
    """pygls logs the messages it cannot handle, source text included; nobody asked for that."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
