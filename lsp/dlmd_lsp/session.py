"""What lives as long as the editor does: options, jobs per document, accepts, the daemon link.

The newest job of a kind on a document cancels the older one, and a cancelled job cancels its
request on the device. Must not know the editor's protocol, nor what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from itertools import count
from typing import Any, Literal, TypeVar

from dlmd.wire.client import DaemonGone
from dlmd.wire.protocol import HolePart, Infill, Result, State

from dlmd_lsp.link import Link
from dlmd_lsp.options import Options

T = TypeVar("T")
Kind = Literal["inline", "function"]
Parts = list[str | HolePart]


class Session:
    def __init__(self, options: Options, link: Link) -> None:
        self.options = options
        self.link = link
        self.accepted = 0
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

    def closed(self, uri: str) -> None:
        for (_, owner), job in list(self._jobs.items()):
            if owner == uri:
                job.cancel()

    async def infill(
        self, id: str, parts: Parts, *, explicit: bool
    ) -> AsyncGenerator[State | Result, None]:
        """States, then the result. Closing this iterator cancels the request on the device."""
        options = self.options
        for attempt in (1, 2):
            request = Infill(
                id=f"{id}.{attempt}",
                parts=parts,
                mode=options.mode,
                tokens_per_step=options.tokens_per_step,
                temperature=options.temperature,
                top_p=options.top_p,
            )
            client = await self.link.client(explicit=explicit)
            heard = False
            try:
                async with aclosing(client.infill(request)) as messages:
                    async for message in messages:
                        heard = True
                        yield message
                return
            except DaemonGone:
                # It died since the last request: a fresh connection deserves one try.
                if heard or attempt == 2:
                    raise
