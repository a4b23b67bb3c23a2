"""What lives as long as the editor does: options, jobs per document, offers, the daemon link.

The newest job of a kind on a document cancels the older one, and a cancelled job cancels its
request on the device. Must not know the editor's protocol, nor what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

from dlmd.wire.client import Client, DaemonFailure, DaemonGone
from dlmd.wire.protocol import HolePart, Infill, Result, State
from msgspec import UNSET

from dlmd_lsp.ask.pace import Pace
from dlmd_lsp.ask.reasons import Reason, sentence
from dlmd_lsp.link import DaemonHangs, Link
from dlmd_lsp.options import Options
from dlmd_lsp.show.offer import Offer
from dlmd_lsp.statistics import Statistics
from dlmd_lsp.tuned import Tuned

T = TypeVar("T")
Kind = Literal["inline", "command"]
Parts = list[str | HolePart]


@dataclass(slots=True)
class About:
    """What is remembered of one document."""

    offer: Offer | None = None
    shown: tuple[str, int] = ("", 0)  # the offer on the screen, at which version
    dismissed: str = ""  # the offer that somebody sent away, until they type otherwise
    reason: Reason | None = None  # why nothing was asked or shown last
    detail: str = ""
    scale: float = 1.0  # of the next suggestion's length


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request, kept to be shown on demand."""

    id: str
    uri: str
    parts: Parts
    others: list[Any] = field(default_factory=list)  # around.extras.Extra
    adapter: str | None = None


class Session:
    def __init__(self, options: Options, link: Link) -> None:
        self.options = options
        self.link = link
        self.pace = Pace()
        self.statistics = Statistics()
        self.tuned = Tuned()
        self.sent: dict[str, Sent] = {}  # the newest of each document
        self._open: dict[str, tuple[Client, str]] = {}  # id -> where it is computed
        self._about: dict[str, About] = {}
        self._ids = count(1)
        self._jobs: dict[tuple[Kind, str], asyncio.Task[Any]] = {}

    def new_id(self) -> str:
        return f"lsp-{next(self._ids)}"

    async def newest(
        self, kind: Kind, uri: str, work: Coroutine[Any, Any, T]
    ) -> T | None:
        """The work's result, or None when a newer job or the file's closing cancelled it."""
        job = asyncio.create_task(work)
        older = self._jobs.get((kind, uri))
        if older is not None:
            older.cancel()
        self._jobs[kind, uri] = job
        try:
            return await job
        except asyncio.CancelledError:
            asked = asyncio.current_task()
            if asked is not None and asked.cancelling():
                raise  # the editor itself cancelled the request
            return None
        finally:
            if self._jobs.get((kind, uri)) is job:
                del self._jobs[kind, uri]

    def about(self, uri: str) -> About:
        return self._about.setdefault(uri, About())

    def dismiss(self, id: str) -> None:
        """Somebody sent that offer away: typing what it says does not bring it back."""
        for about in self._about.values():
            if about.offer is not None and about.offer.id == id:
                about.dismissed, about.shown = id, ("", 0)

    def because(self, uri: str, reason: Reason, detail: str = "") -> None:
        """Remember why nothing came of a request."""
        about = self.about(uri)
        about.reason, about.detail = reason, detail
        self.statistics.reason(reason)

    def why_not(self, uri: str) -> dict[str, str | None]:
        about = self._about.get(uri, About())
        if about.reason is None:
            return {"code": None, "message": "nothing stands in the way"}
        return {"code": about.reason, "message": sentence(about.reason, about.detail)}

    def closed(self, uri: str) -> None:
        self._about.pop(uri, None)
        self.sent.pop(uri, None)
        for (_, owner), job in list(self._jobs.items()):
            if owner == uri:
                job.cancel()

    async def infill(
        self,
        id: str,
        parts: Parts,
        *,
        explicit: bool,
        file: str,
        n: int = 1,
        heat: float = 0.0,
    ) -> AsyncGenerator[State | Result, None]:
        """States, then the result. Closing this iterator cancels the request on the device."""
        clock = asyncio.get_running_loop().time
        options = self.options
        for attempt in (1, 2):
            client = await self.link.client(explicit=explicit)
            adapter = self._adapter_of(id, file, client)
            request = Infill(
                id=f"{id}.{attempt}",
                parts=parts,
                mode=options.mode,
                tokens_per_step=options.tokens_per_step,
                temperature=heat or options.temperature,
                top_p=options.top_p,
                n=n,
                by_token=True,
                adapter=UNSET if adapter is None else adapter,
            )
            heard, heard_at = False, clock()
            try:
                self._open[id] = (client, request.id)
                async with (
                    self.link.watching(client, lambda: heard_at),  # noqa: B023
                    aclosing(client.infill(request)) as messages,
                ):
                    async for message in messages:
                        heard, heard_at = True, clock()
                        yield message
                return
            except DaemonHangs:
                raise
            except DaemonGone:
                # It died since the last request: a fresh connection deserves one try.
                if heard or attempt == 2:
                    raise
            except DaemonFailure as failure:
                if adapter is None or attempt == 2 or failure.code != "bad_request":
                    raise
                self.tuned.refused(adapter, clock())
                self.link.say(f"{failure}; asked without the adapter")
            finally:
                self._open.pop(id, None)

    def _adapter_of(self, id: str, file: str, client: Client) -> str | None:
        """Of the repository a file is in. A daemon elsewhere has adapters of its own."""
        if not self.link.local or not Path(file).is_absolute():
            return None
        now = asyncio.get_running_loop().time()
        name = self.tuned.adapter_of(Path(file), client.status.model, now)
        for uri in [uri for uri, sent in self.sent.items() if sent.id == id]:
            self.sent[uri] = replace(self.sent[uri], adapter=name)
        return name

    async def pin(self, id: str, text: str) -> None:
        """The user typed this at the start of that request's first hole."""
        found = self._open.get(id)
        if found is not None:
            with suppress(OSError, ValueError):
                await found[0].pin(found[1], 0, text)
