"""The sending half of an HTTP exchange, and a reader who does not read."""

import asyncio
from typing import Any

import pytest
from dlmd.serve import reply
from dlmd.serve.exchange import Gone
from dlmd.serve.forms import INFILL
from dlmd.serve.http import Desk, Route
from dlmd.serve.metrics import Metrics
from dlmd.serve.reply import Reply
from dlmd.wire.protocol import Limits

from tests.fakes.desk import Desk as Engines


async def test_a_body_is_sent_whole_with_its_length() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Reply(send).whole(503, {"a": 1}, {"retry-after": "1"})
    start, body = sent
    assert start["status"] == 503
    assert (b"content-length", b"7") in start["headers"]
    assert (b"retry-after", b"1") in start["headers"]
    assert (body["body"], body["more_body"]) == (b'{"a":1}', False)


async def test_events_share_one_head() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    told = Reply(send)
    await told.event({"n": 1})
    await told.event({"n": 2})
    await told.end(b"data: [DONE]\n\n")
    assert [message["type"][14:] for message in sent] == ["start", *["body"] * 3]
    assert sent[2]["body"] == b'data: {"n":2}\n\n'
    assert [message["more_body"] for message in sent[1:]] == [True, True, False]


async def stuck(message: Any) -> None:
    await asyncio.Event().wait()


async def test_who_does_not_read_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reply, "WRITE_S", 0.01)
    with pytest.raises(Gone):
        await Reply(stuck).whole(200, {}, {})


async def test_a_refusal_that_nobody_reads_is_no_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{", "more_body": False}

    monkeypatch.setattr(reply, "WRITE_S", 0.01)
    desk = Desk(engine=Engines().engine, limits=Limits(), metrics=Metrics())
    scope = {"type": "http", "method": "POST", "path": "/infill", "headers": []}
    await Route(desk, INFILL)(scope, receive, stuck)
    assert desk.open == 0
