"""Numbers too large, negative, or none at all, to make the daemon allocate, loop or die."""

from collections.abc import Iterator
from typing import Any

import pytest
from dlmd.serve import compat_llama, compat_openai, http
from dlmd.wire import protocol
from dlmd.wire.protocol import Failure, Result

from tests.fakes.inside import Inside

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE = [-1, 0, 9, 2**31, 2**63, 10**30, -(2**63), 1e308, 1.5, "8", True, [8], {}]
MANY = 60  # candidates; the bound is 8


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/infill", "n_cmpl"),
        ("/v1/completions", "n"),
        ("/v1/fim/completions", "n"),
        ("/v1/chat/completions", "n"),
    ],
)
async def test_no_hostile_count_is_carried_out(
    inside: Inside, path: str, name: str
) -> None:
    before = inside.backend.forwards
    for value in HOSTILE:
        body = {"messages": [{"role": "user", "content": "x"}], name: value}
        told = await inside.ask("POST", path, body)
        assert told.status == 400, (value, told.body)
    for text in ("1e999", "NaN", "Infinity", "-0x1", "1" * 5000):
        raw = f'{{"messages": [{{"role": "user", "content": ""}}], "{name}": {text}}}'
        told = await inside.ask("POST", path, raw.encode())
        assert told.status == 400, (text, told.body)
    assert inside.backend.forwards == before


@pytest.mark.parametrize("name", ["max_tokens", "temperature", "top_p", "seed"])
async def test_no_hostile_number_reaches_the_model(inside: Inside, name: str) -> None:
    for value in (-(2**63), 10**30, 1e308, "8", [8]):
        told = await inside.ask("POST", "/v1/completions", {"prompt": "", name: value})
        assert told.status == 400, value


async def test_a_length_that_lies_is_no_length(inside: Inside) -> None:
    for length in ("-1", "1e9", "99999999999999999999", "0x10", "1, 2"):
        headers = {"Content-Length": length}
        told = await inside.ask("POST", "/infill", b"{}", headers)
        assert told.status in (400, 413), length


def nothing(*anything: object) -> Iterator[Any]:
    return iter(())


async def test_without_the_bounds_a_request_takes_what_it_likes(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in (compat_llama, compat_openai):
        monkeypatch.setattr(where, "common_bounds", lambda ask, *rest, **more: ask)
    asked = {"prompt": "", "n": MANY}
    # The wire's own bounds are a second line behind the form's.
    assert (await inside.ask("POST", "/v1/completions", asked)).status == 400
    monkeypatch.setattr(http, "complaints", nothing)
    before = inside.backend.forwards
    told = await inside.ask("POST", "/v1/completions", asked)
    assert len(told.json["choices"]) == MANY
    assert inside.backend.forwards >= before + MANY


async def streamed(inside: Inside, **fields: object) -> Result | Failure:
    parts = ["", {"hole": fields.pop("hole", {})}]
    request = {"type": "infill", "parts": parts, "stream": False}
    return await inside.streamed(request | fields)


@pytest.mark.parametrize("name", ["n", "steps", "tokens_per_step", "deadline_ms"])
async def test_nor_over_the_stream(inside: Inside, name: str) -> None:
    for value in (-1, 0, 2**31, 10**30, 1e308, "8", [8]):
        end = await streamed(inside, **{name: value})
        assert isinstance(end, Failure) and end.code == "bad_request", value
    for value in (-1, 0, 2**31, 10**30):
        for hole in ({"length": value}, {"max_tokens": value}):
            assert isinstance(await streamed(inside, hole=hole), Failure), hole


async def test_nor_without_its_bounds(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "complaints", nothing)
    end = await streamed(inside, n=MANY)
    assert isinstance(end, Result) and len(end.candidates) == MANY
