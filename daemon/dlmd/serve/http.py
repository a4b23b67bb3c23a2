"""The HTTP routes: other programs' requests, answered by the same engine as ours.

A reply begins when the model has something to say, so that a refusal still gets its
status. Whatever goes wrong becomes an error object in the form that the route's clients
read. Must not know the forms themselves (compat*.py), nor who may ask (guard.py).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dlmd.profiles import PROFILES
from dlmd.serve import compat
from dlmd.serve.compat import About, Answer, Ask, Teller
from dlmd.serve.engine import Engine
from dlmd.serve.exchange import Exchange, Gone
from dlmd.serve.forms import Form
from dlmd.serve.job import explained
from dlmd.serve.metrics import Metrics
from dlmd.serve.reply import Reply
from dlmd.wire.complaints import complaints, shown
from dlmd.wire.protocol import Code, Failure, Limits, ProtocolError, Result, State

log = logging.getLogger(__name__)

BODY_S = 30.0  # for a whole body to arrive
MOST_OPEN = 64  # requests of all HTTP clients together
CONTEXT = 1024  # of models that do not say
CHARS_PER_TOKEN = 8  # more than any text has, so that no more of it need be counted
STATUS: dict[Code, int] = {
    "bad_request": 400,
    "too_large": 413,
    "busy": 429,
    "deadline": 504,
    "model": 503,
    "shutting_down": 503,
}
KINDS = {400: "invalid_request_error", 404: "not_found_error"} | {
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "unavailable_error",
}
AGAIN = {"retry-after": "1"}
CLOSE = {"connection": "close"}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True, kw_only=True)
class Desk:
    """What all routes share."""

    engine: Engine
    limits: Limits
    metrics: Metrics
    open: int = 0

    @property
    def context(self) -> int:
        """What the model was made to see."""
        known = PROFILES.get(self.engine.status.profile)
        return CONTEXT if known is None else known.context

    @property
    def seen(self) -> int:
        """What it sees of a document on this machine."""
        return self.engine.status.context or self.context

    @property
    def model(self) -> str:
        """A name; where the model is a folder, not its path."""
        status = self.engine.status
        return status.profile if "/" in status.model else status.model


class Route:
    """One POST route, as an ASGI app."""

    def __init__(self, desk: Desk, form: Form) -> None:
        self.desk = desk
        self.form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = Reply(send)
        desk = self.desk
        desk.open += 1
        try:
            await self.answered_or_refused(scope, receive, reply)
        except (Gone, ClientDisconnect):
            log.debug("%s: the client left", self.form.path)
        finally:
            desk.open -= 1
            desk.metrics.http.labels(self.form.path, reply.status or 499).inc()

    async def answered_or_refused(
        self, scope: Scope, receive: Receive, reply: Reply
    ) -> None:
        desk = self.desk
        try:
            if desk.open > MOST_OPEN:
                raise Refused(
                    429,
                    f"{MOST_OPEN} HTTP requests are open, which is the most; try again "
                    "when some have ended",
                )
            body = await body_of(Request(scope, receive), desk.limits)
            await self.answer(body, receive, reply)
        except (Gone, ClientDisconnect):
            raise
        except ProtocolError as error:
            await self.refuse(reply, STATUS.get(error.code, 400), str(error))
        except Refused as error:
            await self.refuse(reply, error.status, str(error))
        except Exception as error:  # its text may quote the request
            told = explained("", error).message
            await self.refuse(reply, 500, told)

    async def refuse(self, reply: Reply, status: int, message: str) -> None:
        error = self.form.error(status, KINDS.get(status, "server_error"), message)
        if reply.status is None:
            headers = AGAIN if status in (429, 503) else {}
            if status in (408, 413, 429):
                headers = (
                    headers | CLOSE
                )  # what is still to come of the body is not read
            await reply.whole(status, error, headers)
        else:
            await reply.event(error)
            await reply.end()

    async def answer(self, body: bytes, receive: Receive, reply: Reply) -> None:
        desk, form = self.desk, self.form
        ask = form.read(body, desk.limits)
        refuse_other_model(ask.model, desk)
        id = f"{form.prefix}-{uuid4().hex}"
        about = About(model=desk.model, id=id, created=int(time.time()))
        if ask.max_tokens == 0:
            nothing = compat.Choice(text="", finish="length")
            answer = Answer(choices=(nothing,) * ask.n)
            await self.tell(ask, answer, about, {}, reply)
            return
        room = desk.context // (2 if ask.turns else 4)
        room = max(1, min(room, desk.limits.max_tokens))
        states = ask.stream or ask.time_box_ms is not None
        infill = compat.to_infill(ask, id, room=room, states=states)
        for complaint in complaints(infill, desk.limits):
            raise complaint
        tellers = {i: Teller(stop=ask.stop) for i in range(ask.n)}
        async with Exchange(desk.engine, infill, receive) as exchange:
            end = await self.follow(exchange, ask, about, tellers, reply)
        answer = await counted(end, ask, room, desk)
        await self.tell(ask, answer, about, tellers, reply)

    async def follow(
        self,
        exchange: Exchange,
        ask: Ask,
        about: About,
        tellers: dict[int, Teller],
        reply: Reply,
    ) -> Answer:
        """Pass states on as they come; the answer, its tokens not yet counted."""
        began = time.monotonic()
        newest: dict[int, State] = {}
        first: float | None = None
        async for message in messages(exchange):
            if not isinstance(message, State):
                return ended(message, ask)
            first = time.monotonic() if first is None else first
            newest[message.candidate] = message
            if ask.stream:
                await self.pass_on(message, ask, about, tellers, reply)
            spent_ms = (time.monotonic() - first) * 1000
            if ask.time_box_ms is not None and spent_ms >= ask.time_box_ms:
                lines = whole_lines(newest, ask)
                if lines is not None:
                    total = (time.monotonic() - began) * 1000
                    return replace(lines, ms_first=total - spent_ms, ms_total=total)
        raise AssertionError("an infill ends with a result or a failure")

    async def pass_on(
        self,
        state: State,
        ask: Ask,
        about: About,
        tellers: dict[int, Teller],
        reply: Reply,
    ) -> None:
        index, pieces = state.candidate, state.holes[0]
        if ask.diffusing:
            await reply.event(self.form.canvas(index, pieces, about))
        elif text := tellers[index].more(pieces):
            await reply.event(self.form.delta(index, text, ask, about))

    async def tell(
        self,
        ask: Ask,
        answer: Answer,
        about: About,
        tellers: dict[int, Teller],
        reply: Reply,
    ) -> None:
        """The end: the whole reply, or what is left of a streamed one."""
        if not ask.stream:
            await reply.whole(200, self.form.whole(ask, answer, about), {})
            return
        for index, chosen in enumerate(answer.choices):
            rest = chosen.text
            if index in tellers and not ask.diffusing:
                try:
                    rest = tellers[index].last(chosen.text)
                except ValueError as error:
                    raise Refused(500, str(error)) from error
            await reply.event(self.form.last(index, rest, ask, answer, about))
        if ask.usage_chunk and self.form.usage is not None:
            await reply.event(self.form.usage(answer, about))
        await reply.end(b"data: [DONE]\n\n" if self.form.done else b"")


async def messages(exchange: Exchange) -> AsyncIterator[State | Result | Failure]:
    while True:
        yield await exchange.next()


def ended(end: Result | Failure, ask: Ask) -> Answer:
    if isinstance(end, Failure):
        raise Refused(STATUS.get(end.code, 500), end.message)
    chosen = (compat.choice(c.holes[0], c.finish, ask.stop) for c in end.candidates)
    return Answer(
        choices=tuple(chosen),
        ms_first=end.usage.ms_first_state or 0.0,
        ms_total=end.usage.ms_total or 0.0,
    )


def whole_lines(newest: dict[int, State], ask: Ask) -> Answer | None:
    """The lines that stand already, if every candidate has one."""
    if len(newest) < ask.n:
        return None
    texts = [compat.leading(newest[i].holes[0]) for i in range(ask.n)]
    if not all("\n" in text for text in texts):
        return None
    chosen = (
        compat.choice(text.rpartition("\n")[0], "length", ask.stop) for text in texts
    )
    return Answer(choices=tuple(chosen))


async def counted(answer: Answer, ask: Ask, room: int, desk: Desk) -> Answer:
    """With the tokens of what was sent, as far as the model sees it, and of what came."""
    context = desk.context if ask.turns else desk.seen
    count = desk.engine.count
    most = context * CHARS_PER_TOKEN
    filled = min(ask.max_tokens or room, room)
    spoken = "\n".join(turn.content for turn in ask.turns)

    def tokens() -> tuple[int, int]:
        sides = (spoken[-most:], ask.before[-most:], ask.after[:most])
        sent = sum(count(text) for text in sides if text)
        return sent, sum(count(c.text) for c in answer.choices if c.text)

    sent, came = await asyncio.to_thread(tokens)
    seen = max(0, context - filled)
    cut_off = len(ask.before) > most or len(ask.after) > most
    return replace(
        answer,
        prompt_tokens=min(sent, seen),
        completion_tokens=came,
        truncated=sent > seen or cut_off,
    )


def refuse_other_model(name: str, desk: Desk) -> None:
    """Plugins send any name; one that we know to be another model is a mistake."""
    status = desk.engine.status
    if name in PROFILES and name not in (status.model, status.profile):
        raise Refused(
            404,
            f"model was {shown(name)}, and this daemon serves {desk.model}; ask for "
            f"that, or start it with `dlmd serve --model {name}`",
        )


async def body_of(request: Request, limits: Limits) -> bytes:
    most = limits.max_message_bytes
    too_large = ProtocolError(
        f"the body has more than {most} bytes; send less text", code="too_large"
    )
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError as error:
        raise Refused(
            408, f"the body did not arrive within {BODY_S:g} s; send it faster"
        ) from error
    return bytes(body)
