"""A suggestion on its way: one request, which typing at its place joins instead of ending.

What is typed there is pinned, and the rest of the hole adapts. Whatever else happens to the
document ends it, on the device too. What it brings is kept as the document's offer before
anybody is told, so that it is there also for who asks a moment later. Must not know when to
ask, nor how items look.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from dlmd.wire.client import DaemonFailure
from dlmd.wire.protocol import Result, State
from lsprotocol import types
from pygls.uris import to_fs_path

from dlmd_lsp import context, document
from dlmd_lsp.ask.reasons import Reason
from dlmd_lsp.context import Ask
from dlmd_lsp.link import DaemonHangs
from dlmd_lsp.session import Parts, Sent
from dlmd_lsp.show import choose
from dlmd_lsp.show.offer import Offer, Place
from dlmd_lsp.show.sureness import letters

if TYPE_CHECKING:
    from dlmd_lsp.editor import Editor

# How long a request may go on after the one who asked left, for typing to join it.
GRACE_S = 0.15
# A little chance, so that further candidates differ from the first.
HEAT = 0.5
QUIET_CODES = {"cancelled", "superseded"}
LONGEST_PIN = 64


class Flight:
    def __init__(
        self, editor: Editor, uri: str, version: int, place: Place, ask: Ask
    ) -> None:
        self.id = editor.session.new_id()
        self.place, self.ask = place, ask
        self.typed = ""
        self.joins = 0  # who joined last is the one who may leave
        self._manual = False
        loop = asyncio.get_running_loop()
        # None: nothing in it is worth showing.
        self.answer: asyncio.Future[Offer | None] = loop.create_future()
        self._editor, self._uri, self.version = editor, uri, version
        self._position: types.Position | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._pins: set[asyncio.Task[None]] = set()

    def begin(
        self,
        position: types.Position,
        sent: Sent,
        *,
        manual: bool,
        others: int = 0,
        known: choose.Rest | None = None,
    ) -> None:
        """`others`: how many candidates besides the model's own choice, which is not asked
        for again where it is known."""
        self._manual = manual
        self._position = position
        self._editor.flights[self._uri] = self
        self._task = asyncio.create_task(self._fly(sent.parts, others, known))

    def join(
        self, text: str, offset: int, version: int, position: types.Position
    ) -> bool:
        """Whether this request serves the document as it is now, too."""
        between = self.place.typed(text, offset)
        if self.answer.done() or between is None or between[1]:
            return False
        typed = between[0]
        if "\n" in typed or "\r" in typed or len(typed) > LONGEST_PIN:
            return False
        if typed != self.typed and not typed.startswith(self.typed):
            return False  # something was deleted again; a pin cannot be taken back
        self._stay()
        self.joins += 1
        self.version, self._position = version, position
        if typed != self.typed:
            self.typed = typed
            pin = asyncio.create_task(self._editor.session.pin(self.id, typed))
            self._pins.add(pin)
            pin.add_done_callback(self._pins.discard)
        return True

    def changed(self, text: str, edited_to: int) -> None:
        """The document changed: only typing at the place gets the chance to join."""
        if self.place.typed(text, edited_to) is None:
            self.drop()
        else:
            self.leave()

    def leave(self) -> None:
        """Nobody waits any more; somebody may join soon."""
        if self._leaving is None:
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(GRACE_S, self.drop)

    def drop(self) -> None:
        self._stay()
        if self._task is not None:
            self._task.cancel()
        self.answer.cancel()
        if self._editor.flights.get(self._uri) is self:
            del self._editor.flights[self._uri]

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    async def _fly(self, parts: Parts, others: int, known: choose.Rest | None) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer: choose.Answer = []
            if known is None:
                answer = await self._hear(self.id, parts)
                self._editor.session.pace.answered(clock() - began)
            if others and not self.typed:
                # Whoever types on is served with what there is.
                with suppress(OSError, DaemonFailure):
                    answer += await self._hear(f"{self.id}-more", parts, others)
            offer = self._kept(answer, known)
        except DaemonFailure as failure:
            self._fail("daemon-refused", failure, quiet=failure.code in QUIET_CODES)
        except DaemonHangs as error:
            self._fail("daemon-hanging", error)
        except (OSError, ValueError) as error:
            self._fail("daemon-away", error)
        except Exception as error:
            self._fail("internal", error)
        else:
            if not self.answer.done():
                self.answer.set_result(offer)
        finally:
            self.answer.cancel()
            if self._editor.flights.get(self._uri) is self:
                del self._editor.flights[self._uri]

    def _kept(self, answer: choose.Answer, known: choose.Rest | None) -> Offer | None:
        session, uri = self._editor.session, self._uri
        text = document.find(self._editor.workspace, uri)
        if text is None:
            return None
        options, manual = session.options, self._manual
        found = choose.offer(
            self.id, self.place, self.ask, answer, text, options, manual
        )
        if known is not None:
            found = choose.behind(known, self.id, self.place, found)
        if not isinstance(found, Offer):
            session.because(uri, found)
            return None
        offer = session.about(uri).offer = replace(found, pinned=self.typed)
        return offer

    async def _hear(self, id: str, parts: Parts, others: int = 0) -> choose.Answer:
        """The model's own choice, or so many that chance decided."""
        session, last = self._editor.session, dict[int, State]()
        base: dict[str, object] = {"kind": "inline", "id": id, "uri": self._uri}
        base |= self._where()
        live = session.options.live_states and not others
        with self._editor.drawing(base, wanted=live) as draw:
            messages = session.infill(
                id,
                parts,
                explicit=self._manual,
                file=to_fs_path(self._uri) or "",
                n=others or 1,
                heat=HEAT if others else 0.0,
            )
            async with aclosing(messages):
                async for message in messages:
                    if isinstance(message, Result):
                        self._editor.recovered()
                        return [
                            (found.holes[0], sureness(found.holes[0], last.get(at)))
                            for at, found in enumerate(message.candidates)
                        ]
                    if others and self.typed:
                        return []
                    last[message.candidate] = message
                    base |= self._where()
                    if live and self._leaving is None:
                        pieces, sure = self._drawn(message)
                        draw(message, [pieces], [sure])
        raise AssertionError("a request ends in a result or an error")

    def _where(self) -> dict[str, object]:
        assert self._position is not None
        here = types.Range(self._position, self._position)
        return {
            "version": self.version,
            "position": self._position,
            "range": here,
            "ranges": [here],
        }

    def _drawn(self, state: State) -> tuple[list[str | int], list[float]]:
        """What is still to be seen: less what was typed, up to where the line ends."""
        pieces = context.shown(self.ask, state.holes[0])
        sure = (state.confidence or [[0.0] * len(pieces)])[0][: len(pieces)]
        left = self.typed
        while left and pieces and isinstance(pieces[0], str):
            if not (pieces[0].startswith(left) or left.startswith(pieces[0])):
                return [], []
            cut = min(len(left), len(pieces[0]))
            left, rest = left[cut:], pieces[0][cut:]
            pieces = [rest, *pieces[1:]] if rest else pieces[1:]
            sure = sure if rest else sure[1:]
        return ([], []) if left else (pieces, sure)

    def _fail(self, reason: Reason, error: Exception, *, quiet: bool = False) -> None:
        """Typing must never meet an error: it goes to the log, and to who asks why."""
        name = f"internal error: {type(error).__name__}: " * (reason == "internal")
        self._editor.session.because(self._uri, reason, str(error))
        if not quiet:
            self._editor.log_once(f"{name}{error}")


def sureness(text: str, state: State | None) -> list[float]:
    """Of each letter of the final text; nothing where the last state is not of that text."""
    if state is None or state.confidence is None:
        return []
    pieces = state.holes[0]
    if "".join(piece for piece in pieces if isinstance(piece, str)) != text:
        return []
    return letters(pieces, state.confidence[0])
