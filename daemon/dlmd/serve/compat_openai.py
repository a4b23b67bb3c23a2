"""OpenAI's completions and chat, and Mistral's FIM, as their clients send and read them.

Pure functions. What cannot be done is refused by name; what only shapes the sampling of
an autoregressive model (penalties, top_k) is passed over. Must not know the engine.
"""

from typing import Any

from msgspec import Struct

from dlmd.serve.compat import (
    About,
    Answer,
    Ask,
    Choice,
    common_bounds,
    decoded,
    sides,
    stops,
)
from dlmd.wire.complaints import shown
from dlmd.wire.protocol import Limits, ProtocolError, Turn

ROLES = {"system": "system", "developer": "system", "user": "user"} | {
    "assistant": "assistant"
}
DRAWN_MASK = "\u2591"  # a token that is not yet there, in a streamed canvas


class StreamOptions(Struct):
    include_usage: bool | None = None


class CompletionForm(Struct):
    """Of `/v1/completions` and `/v1/fim/completions`."""

    prompt: Any = None  # must be there; text that stands before the hole
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None
    random_seed: int | None = None  # Mistral's name for it
    diffusing: bool | None = None
    model: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Any = None
    logit_bias: Any = None


class Message(Struct):
    role: str
    content: Any = None


class ChatForm(Struct):
    messages: list[Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n_predict: int | None = None  # llama.cpp's; 0 is a warm-up
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None
    diffusing: bool | None = None
    model: str | None = None
    logprobs: Any = None
    logit_bias: Any = None
    tools: Any = None
    functions: Any = None
    response_format: Any = None


def read_completion(body: bytes, limits: Limits) -> Ask:
    form = decoded(body, CompletionForm)
    refuse_what_cannot_be(form, ("echo", "logprobs", "logit_bias"))
    if form.best_of not in (None, form.n or 1):
        raise ProtocolError(
            f"best_of was {shown(form.best_of)}, expected the same as n; leave it out"
        )
    before, after = sides(one_text(form.prompt), form.suffix)
    seed = form.random_seed if form.seed is None else form.seed
    return common_bounds(settings_of(form, before, after, (), seed), limits)


def read_chat(body: bytes, limits: Limits) -> Ask:
    form = decoded(body, ChatForm)
    refuse_what_cannot_be(form, ("logprobs", "logit_bias", "tools", "functions"))
    kind = form.response_format
    if isinstance(kind, dict) and kind.get("type") not in (None, "text"):
        raise ProtocolError(
            f"response_format was {shown(kind.get('type'))}, expected text; leave it out"
        )
    turns = tuple(turn(index, message) for index, message in enumerate(form.messages))
    if not turns:
        raise ProtocolError(
            "messages was empty, expected a message of the user; add it"
        )
    return common_bounds(settings_of(form, "", "", turns, form.seed), limits)


def settings_of(
    form: CompletionForm | ChatForm,
    before: str,
    after: str,
    turns: tuple[Turn, ...],
    seed: int | None,
) -> Ask:
    tokens = form.max_tokens
    if isinstance(form, ChatForm):
        for other in (form.max_completion_tokens, form.n_predict):
            tokens = other if tokens is None else tokens
    return Ask(
        before=before,
        after=after,
        turns=turns,
        max_tokens=None if tokens == -1 else tokens,
        n=1 if form.n is None else form.n,
        stop=stops(form.stop),
        stream=bool(form.stream),
        temperature=form.temperature,
        top_p=form.top_p,
        seed=None if seed == -1 else seed,
        model=form.model or "",
        diffusing=bool(form.stream and form.diffusing),
        usage_chunk=bool(form.stream_options and form.stream_options.include_usage),
    )


def refuse_what_cannot_be(form: Struct, names: tuple[str, ...]) -> None:
    for name in names:
        if value := getattr(form, name):
            raise ProtocolError(
                f"{name} was {shown(value)}, which dlmd cannot do; leave it out"
            )


def one_text(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise ProtocolError(
            f"prompt was {shown(prompt)}, expected one text; send each text by itself"
        )
    return prompt


def turn(index: int, message: Message) -> Turn:
    if message.role not in ROLES:
        raise ProtocolError(
            f"messages[{index}].role was {shown(message.role)}, expected system, user or "
            "assistant; change it"
        )
    content: Any = message.content
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise ProtocolError(
            f"messages[{index}].content was {shown(content)}, expected text; send text"
        )
    return Turn(role=ROLES[message.role], content=content)  # type: ignore[arg-type]


# ---- replies


def usage(answer: Answer) -> dict[str, int]:
    sent, filled = answer.prompt_tokens, answer.completion_tokens
    return {
        "prompt_tokens": sent,
        "completion_tokens": filled,
        "total_tokens": sent + filled,
    }


def _head(kind: str, about: About) -> dict[str, Any]:
    return {
        "id": about.id,
        "object": kind,
        "created": about.created,
        "model": about.model,
    }


def whole_completion(ask: Ask, answer: Answer, about: About) -> Any:
    choices = [
        {"index": i, "text": c.text, "logprobs": None, "finish_reason": c.finish}
        for i, c in enumerate(answer.choices)
    ]
    return _head("text_completion", about) | {
        "choices": choices,
        "usage": usage(answer),
    }


def completion_chunk(index: int, text: str, finish: str | None, about: About) -> Any:
    told = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return _head("text_completion", about) | {"choices": [told]}


def whole_chat(ask: Ask, answer: Answer, about: About) -> Any:
    choices = [_spoken(i, c) for i, c in enumerate(answer.choices)]
    return _head("chat.completion", about) | {
        "choices": choices,
        "usage": usage(answer),
    }


def chat_chunk(index: int, text: str, finish: str | None, about: About) -> Any:
    delta = {"role": "assistant", "content": text} if finish is None else {}
    if finish is not None and text:
        delta = {"content": text}
    told = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _head("chat.completion.chunk", about) | {"choices": [told]}


def whole_fim(ask: Ask, answer: Answer, about: About) -> Any:
    """Mistral's clients read `message`, Mercury's `text`."""
    choices = [_spoken(i, c) | {"text": c.text} for i, c in enumerate(answer.choices)]
    return _head("chat.completion", about) | {
        "choices": choices,
        "usage": usage(answer),
    }


def fim_chunk(index: int, text: str, finish: str | None, about: About) -> Any:
    delta = {"role": "assistant", "content": text}
    told = {"index": index, "delta": delta, "text": text, "finish_reason": finish}
    return _head("chat.completion.chunk", about) | {"choices": [told]}


def canvas_text(pieces: list[str | int]) -> str:
    """A whole state as text, for `diffusing`: each chunk replaces the one before."""
    return "".join(p if isinstance(p, str) else DRAWN_MASK * p for p in pieces)


def usage_chunk(kind: str, answer: Answer, about: About) -> Any:
    return _head(kind, about) | {"choices": [], "usage": usage(answer)}


def models(names: list[str], created: int) -> Any:
    return {"object": "list", "data": [model(name, created) for name in names]}


def model(name: str, created: int) -> Any:
    return {"id": name, "object": "model", "created": created, "owned_by": "dlmd"}


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    about = {"message": message, "type": kind, "param": None, "code": KINDS.get(status)}
    return {"error": about}


KINDS = {
    401: "invalid_api_key",
    404: "not_found",
    413: "too_large",
    429: "rate_limit_exceeded",
    503: "unavailable",
}


def _spoken(index: int, chosen: Choice) -> dict[str, Any]:
    message = {"role": "assistant", "content": chosen.text, "refusal": None}
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": chosen.finish,
    }
