"""Requests as llama.vim, llama.vscode, minuet and Continue send them, and what each of
them reads of the reply. The fields are theirs; the texts are ours."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.inside import Heard, Inside, serving
from tests.fakes.model import FakeBackend

pytestmark = pytest.mark.asyncio(loop_scope="module")
BEFORE, AFTER, FILL = (
    "def area(r):\n    return ",
    "\n\nprint(area(2))\n",
    "3.14 * r * r",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Inside]:
    folder = tmp_path_factory.mktemp("run") / "dlmd"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLMD_RUNTIME_DIR", str(folder))
        async with serving(folder, FakeBackend(table={BEFORE: FILL})) as running:
            yield running


async def post(daemon: Inside, path: str, body: object, **headers: str) -> Heard:
    told = await daemon.ask("POST", path, body, headers)
    assert told.status == 200, told.body
    return told


# ---- llama.vim: curl, `/infill`, one object


VIM_FIELDS = [
    "content",
    *(
        f"timings/{kind}_{what}"
        for kind in ("prompt", "predicted")
        for what in ("n", "ms", "per_token_ms", "per_second")
    ),
    "truncated",
    "tokens_cached",
]


def vim_request(**more: Any) -> dict[str, Any]:
    prefix, _, line = BEFORE.rpartition("\n")
    return {
        "id_slot": 0,
        "input_prefix": prefix + "\n",
        "input_suffix": AFTER,
        "input_extra": [{"text": "import math\n", "time": [1, 2], "filename": "m.py"}],
        "prompt": line,
        "n_predict": 128,
        "stop": [],
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": False,
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 250,
        "response_fields": VIM_FIELDS,
        "model": "",
    } | more


async def test_llama_vim_completes(daemon: Inside) -> None:
    told = await post(daemon, "/infill", vim_request())
    raw = told.body.decode()
    # It looks before it decodes, and wants no blank after the colon.
    assert re.match(r"\s*{", raw)
    assert re.search(r'"content"\s*:"', raw)
    assert told.json.keys() == set(VIM_FIELDS)
    assert told.json["content"] == FILL
    assert all(
        isinstance(told.json[name], int | float)
        for name in VIM_FIELDS
        if name.startswith("timings/")
    )


async def test_llama_vim_warms_up(daemon: Inside) -> None:
    before = daemon.backend.forwards
    request = vim_request(
        input_prefix="",
        input_suffix="",
        prompt="",
        n_predict=0,
        temperature=0.0,
        samplers=[],
        t_max_prompt_ms=1,
        t_max_predict_ms=1,
        response_fields=[""],
    )
    assert (await post(daemon, "/infill", request)).json == {}
    assert daemon.backend.forwards == before


async def test_llama_vim_without_a_key_is_told_where_it_lies(daemon: Inside) -> None:
    # It sends the header with nothing in it.
    told = await daemon.ask(
        "POST", "/infill", vim_request(), {"Authorization": "Bearer "}, own=False
    )
    assert told.status == 401
    assert "dlmd status" in told.error["message"]


async def test_llama_vim_instructs(daemon: Inside) -> None:
    messages = [
        {"role": "system", "content": "You are a text-editing assistant."},
        {"role": "user", "content": "INSTRUCTION: shorten"},
    ]
    request = {
        "id_slot": 1,
        "messages": messages,
        "min_p": 0.1,
        "temperature": 0.1,
        "samplers": ["min_p", "temperature"],
        "stream": True,
        "cache_prompt": True,
    }
    told = await post(daemon, "/v1/chat/completions", request)
    assert told.events[-1] == "[DONE]"
    deltas = [event["choices"][0]["delta"] for event in told.events[:-1]]
    assert "".join(d.get("content", "") for d in deltas) == daemon.backend.default
    warm_up = request | {"n_predict": 0, "stream": False, "response_fields": [""]}
    await post(daemon, "/v1/chat/completions", warm_up)


# ---- llama.vscode: axios, `/infill`, one object or a list


def vscode_request(**more: Any) -> dict[str, Any]:
    prefix, _, line = BEFORE.rpartition("\n")
    return {
        "id_slot": 0,
        "input_prefix": prefix + "\n",
        "input_suffix": AFTER,
        "input_extra": [{"text": "import math\n", "filename": "m.py"}],
        "prompt": line,
        "n_predict": 500,
        "n_cmpl": 3,
        "top_k": 40,
        "top_p": 0.99,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "n_indent": 4,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 2500,
    } | more


async def test_llama_vscode_gets_as_many_as_it_asks_for(daemon: Inside) -> None:
    told = (await post(daemon, "/infill", vscode_request())).json
    assert isinstance(told, list)
    assert [entry["content"] for entry in told] == [FILL] * 3
    one = (await post(daemon, "/infill", vscode_request(n_cmpl=1))).json
    assert "content" in one  # it tells a list from an object by this field
    assert one["timings"]["predicted_n"] > 0


async def test_llama_vscode_shows_what_is_wrong_with_a_setting(daemon: Inside) -> None:
    told = await daemon.ask("POST", "/infill", vscode_request(n_cmpl=20))
    assert told.status == 400
    assert told.error["message"].startswith("Field 'n_cmpl': Value must be between")


async def test_llama_vscode_warms_up_with_a_lora(daemon: Inside) -> None:
    request = vscode_request(
        n_predict=0, samplers=[], t_max_predict_ms=1, lora=[{"id": 0, "scale": 0.5}]
    )
    await post(daemon, "/infill", request)


async def test_llama_vscode_checks_health(daemon: Inside) -> None:
    told = await daemon.ask("GET", "/health")
    assert told.json["status"] == "ok"


# ---- minuet: curl, OpenAI's form, marks in the prompt or a suffix


async def test_minuet_with_marks(daemon: Inside) -> None:
    request = {
        "model": "PLACEHOLDER",
        "stream": True,
        "max_tokens": 56,
        "top_p": 0.9,
        "prompt": f"<|fim_prefix|>{BEFORE}<|fim_suffix|>{AFTER}<|fim_middle|>",
    }
    told = await post(daemon, "/v1/completions", request, Accept="application/json")
    assert minuet_text(told, lambda event: event["choices"][0]["text"]) == FILL


async def test_minuet_with_a_suffix(daemon: Inside) -> None:
    request = {"model": "dlmd", "stream": True, "prompt": BEFORE, "suffix": AFTER}
    told = await post(daemon, "/v1/completions", request)
    assert minuet_text(told, lambda event: event["choices"][0]["text"]) == FILL


async def test_minuet_as_codestral(daemon: Inside) -> None:
    request = {"model": "codestral-latest", "prompt": BEFORE, "suffix": AFTER}
    told = await post(daemon, "/v1/fim/completions", request | {"stream": True})
    text = minuet_text(told, lambda event: event["choices"][0]["delta"]["content"])
    assert text == FILL
    whole = await post(daemon, "/v1/fim/completions", request | {"stream": False})
    assert whole.json["choices"][0]["message"]["content"] == FILL


def minuet_text(told: Heard, get: Any) -> str:
    """Line by line; what is no JSON or has no such field is passed over."""
    texts = []
    for line in told.body.decode().split("\n"):
        try:
            texts.append(get(json.loads(line.removeprefix("data:"))))
        except (ValueError, LookupError, TypeError):
            continue
    return "".join(text for text in texts if isinstance(text, str))


# ---- Continue: fetch, Mistral's form or marks; every line of the stream must parse


def continue_events(told: Heard) -> list[Any]:
    events = []
    for line in told.body.decode().split("\n"):
        if line.startswith(("data: [DONE]", "data:[DONE]", ": ping")):
            break
        if line.startswith("data:"):
            data = json.loads(line.removeprefix("data:"))
            assert not data.get("error")
            events.append(data)
    return events


async def test_continue_as_mistral(daemon: Inside) -> None:
    request = {
        "model": "codestral",
        "prompt": BEFORE,
        "suffix": AFTER,
        "max_tokens": 4096,
        "temperature": 0.01,
        "top_p": None,
        "frequency_penalty": None,
        "presence_penalty": None,
        "stop": ["[PREFIX]", "[SUFFIX]", "\n\n\n", "/src/", "```"],
        "stream": True,
    }
    headers = {"x-api-key": daemon.token, "Accept": "application/json"}
    told = await post(daemon, "/v1/fim/completions", request, **headers)
    deltas = [event["choices"][0]["delta"] for event in continue_events(told)]
    assert "".join(delta["content"] for delta in deltas) == FILL


@pytest.mark.parametrize(
    "prompt",
    [
        f"<fim_prefix>{BEFORE}<fim_suffix>{AFTER}<fim_middle>",
        f"<file_sep>import math<file_sep><fim_prefix>{BEFORE}<fim_suffix>{AFTER}<fim_middle>",
        f"<PRE> {BEFORE} <SUF>{AFTER} <MID>",
        f"<｜fim▁begin｜>{BEFORE}<｜fim▁hole｜>{AFTER}<｜fim▁end｜>",  # noqa: RUF001
        f"[SUFFIX]{AFTER}[PREFIX]{BEFORE}",
    ],
)
async def test_continue_with_marks(daemon: Inside, prompt: str) -> None:
    request = {
        "model": "any",
        "prompt": prompt,
        "max_tokens": 4096,
        "temperature": 0.01,
        "stop": ["<fim_prefix>", "<fim_suffix>", "<|endoftext|>"],
        "stream": True,
    }
    told = await post(daemon, "/v1/completions", request)
    texts = [event["choices"][0]["text"] for event in continue_events(told)]
    assert "".join(texts) == FILL


async def test_continue_as_mercury(daemon: Inside) -> None:
    request = {
        "model": "mercury-coder",
        "prompt": BEFORE,
        "suffix": "<|endoftext|>",  # its word for nothing
        "max_tokens": 150,
        "presence_penalty": 1.5,
        "stop": ["\n\n", "\n \n"],
        "stream": True,
    }
    told = await post(daemon, "/v1/completions", request)
    texts = [event["choices"][0]["text"] for event in continue_events(told)]
    assert "".join(texts) == FILL


async def test_continue_chats_with_parts(daemon: Inside) -> None:
    request = {
        "model": "any",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 4096,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    told = await post(daemon, "/v1/chat/completions", request)
    *events, usage = continue_events(told)
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] > 0
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
