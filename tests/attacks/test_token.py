"""A program of another user on this machine calls the port without the token, or guesses."""

import pytest
from dlmd.serve import guard
from dlmd.wire.protocol import Result
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.inside import Inside

pytestmark = pytest.mark.asyncio(loop_scope="module")
SHUT = ("/infill", "/v1/completions", "/v1/chat/completions", "/v1/fim/completions")


def guesses(token: str) -> list[dict[str, str]]:
    wrong = [f"Bearer {token[:-1]}", f"Bearer {token}x", "Bearer ", "Bearer", token]
    wrong += [f"Basic {token}", f"Bearer {token.swapcase()}", "Bearer \xff"]
    return [{}, *({"Authorization": text} for text in wrong), {"Cookie": "dlmd_page="}]


async def test_nothing_is_told_without_the_token(inside: Inside) -> None:
    before = inside.backend.forwards
    for headers in guesses(inside.token):
        for path in SHUT:
            told = await inside.ask("POST", path, {"prompt": ""}, headers, own=False)
            assert told.status == 401, headers
        for path in ("/v1/models", "/metrics", "/nowhere", "/health/../metrics"):
            told = await inside.ask("GET", path, None, headers, own=False)
            assert told.status == 401, (headers, path)
    assert inside.backend.forwards == before


async def test_two_tokens_are_none(inside: Inside) -> None:
    reader, writer = await inside.open()
    said = inside.said("GET", "/v1/models")
    writer.write(said.replace(b"Host:", b"Authorization: Bearer x\r\nHost:", 1))
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_the_stream_asks_for_it_too(inside: Inside) -> None:
    url = f"ws://127.0.0.1:{inside.port}/v1/stream"
    for headers in guesses(inside.token)[:4]:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, additional_headers=headers, compression=None):
                pass
        assert refused.value.response.status_code == 401
    async with connect(url, additional_headers=inside.bearer, compression=None) as ours:
        assert await ours.recv()


async def test_health_alone_is_open_and_says_little(inside: Inside) -> None:
    told = await inside.ask("GET", "/health", own=False)
    assert told.json.keys() == {"status", "phase", "version"}
    assert (await inside.ask("POST", "/health", {}, own=False)).status == 401


async def test_every_comparison_takes_the_same_time(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not measured: whatever was given, it is the constant-time function that answers."""
    asked: list[tuple[str, str]] = []

    def seen(given: str, token: str) -> bool:
        asked.append((given, token))
        return False

    monkeypatch.setattr(guard, "matches", seen)
    await inside.ask("GET", "/v1/models", None, {"Authorization": "Bearer no"})
    assert asked == [("no", inside.token)]


async def test_without_the_check_anybody_is_served(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard.Guard, "wrong_token", lambda self, heads: None)
    for headers in guesses(inside.token):
        before = inside.backend.forwards
        told = await inside.ask("POST", "/infill", {}, headers, own=False)
        assert told.json["content"] == "return value"
        assert inside.backend.forwards > before
    told = await inside.ask("GET", "/metrics", own=False)
    assert b"dlmd_infills_total" in told.body
    asked = {"type": "infill", "parts": ["x = ", {"hole": {}}]}
    end = await inside.streamed(asked, additional_headers={})
    assert isinstance(end, Result)
