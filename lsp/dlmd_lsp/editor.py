"""What is said to the editor: pygls' server with our notifications, and nothing that pops up.

An automatic request never produces a message box: what went wrong goes to the log, once for
as long as it stays the same. Must not know holes, Python or how the daemon is reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dlmd.wire import discovery
from dlmd.wire.protocol import State, Status
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dlmd_lsp.link import Away
from dlmd_lsp.session import Session

Note = dict[str, Any]
# A state, its holes as they are to be drawn, and whether a piece of ours leads each of them.
Draw = Callable[[State, list[list[str | int]], bool], None]


class Editor(LanguageServer):
    """The client at the other end of stdio."""

    # Set by `initialize`, before which an editor may ask nothing (LSP, Server lifecycle).
    session: Session
    complaints: list[str]

    def __init__(self) -> None:
        super().__init__("dlmd", discovery.version())
        self._logged = ""
        self._status: Note = {}

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
        note = status_note(status)
        if note != self._status:
            self._status = note
            self.protocol.notify("dlmd/status", note)

    @contextmanager
    def drawing(self, base: Note, *, wanted: bool = True) -> Iterator[Draw]:
        """`dlmd/state` for each state drawn, and one with done=true whatever happens."""

        def draw(state: State, holes: list[list[str | int]], led: bool) -> None:
            if wanted:
                last["step"], last["of"] = state.step, state.of
                note = {**base, **state_note(state, holes, led)}
                self.protocol.notify("dlmd/state", note)

        last = {"step": 0, "of": 0}
        try:
            yield draw
        finally:
            if wanted:
                end = {"candidate": 0, "done": True, "holes": [], "confidence": []}
                self.protocol.notify("dlmd/state", {**base, **last, **end})


def state_note(state: State, holes: list[list[str | int]], led: bool) -> Note:
    lead = [1.0] if led else []
    confidence = state.confidence or [[0.0] * len(pieces) for pieces in state.holes]
    return {
        "candidate": state.candidate,
        "step": state.step,
        "of": state.of,
        "done": False,
        "holes": holes,
        # One number per piece: a cut hole has fewer pieces than the daemon's numbers.
        "confidence": [
            (lead + numbers)[: len(pieces)]
            for numbers, pieces in zip(confidence, holes, strict=True)
        ],
    }


def status_note(status: Status | Away) -> Note:
    if isinstance(status, Away):
        # "stopping" only fills the struct: the phase of ours replaces it.
        known = status_note(Status(phase="stopping", detail=status.detail))
        return {**known, "phase": status.phase}
    loading = status.phase == "loading"
    return {
        "phase": status.phase,
        "model": status.model,
        "profile": status.profile,
        "device": status.device,
        "adapter": status.adapter,
        "detail": status.detail,
        "fix": status.fix,
        "bytesDone": status.bytes_done if loading else None,
        "bytesTotal": status.bytes_total if loading else None,
        "etaS": status.eta_s,
    }


def quiet_logging() -> None:
    """pygls logs the messages it cannot handle, source text included; nobody asked for that."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
