"""Which route speaks which form: the table between http.py and compat_*.py.

Must not know requests in flight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dlmd.serve import compat_llama, compat_openai
from dlmd.serve.compat import About, Answer, Ask
from dlmd.wire.protocol import Limits

Pieces = list[str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A route, and pure functions for what comes in and goes out on it."""

    path: str
    prefix: str  # of the ids it gives
    read: Callable[[bytes, Limits], Ask]
    whole: Callable[[Ask, Answer, About], Any]
    delta: Callable[[int, str, Ask, About], Any]  # text to append
    canvas: Callable[[int, Pieces, About], Any]  # a whole state, replacing the last
    last: Callable[[int, str, Ask, Answer, About], Any]
    error: Callable[[int, str, str], Any]
    usage: Callable[[Answer, About], Any] | None = None
    done: bool = True  # a stream ends with [DONE]


Chunk = Callable[[int, str, str | None, About], Any]


def _delta(chunk: Chunk, index: int, text: str, ask: Ask, about: About) -> Any:
    return chunk(index, text, None, about)


def _canvas(chunk: Chunk, index: int, pieces: Pieces, about: About) -> Any:
    told = chunk(index, compat_openai.canvas_text(pieces), None, about)
    told["choices"][0]["pieces"] = pieces
    return told


def _last(
    chunk: Chunk, index: int, rest: str, ask: Ask, answer: Answer, about: About
) -> Any:
    return chunk(index, rest, answer.choices[index].finish, about)


def _openai(path: str, prefix: str, kind: str, chunk: Chunk, **own: Any) -> Form:
    return Form(
        path=path,
        prefix=prefix,
        delta=partial(_delta, chunk),
        canvas=partial(_canvas, chunk),
        last=partial(_last, chunk),
        error=compat_openai.error,
        usage=partial(compat_openai.usage_chunk, kind),
        **own,
    )


INFILL = Form(
    path="/infill",
    prefix="infill",
    read=compat_llama.read,
    whole=compat_llama.whole,
    delta=compat_llama.delta,
    canvas=lambda index, pieces, about: None,  # nothing in its requests asks for it
    last=compat_llama.last,
    error=compat_llama.error,
    done=False,
)
COMPLETIONS = _openai(
    "/v1/completions",
    "cmpl",
    "text_completion",
    compat_openai.completion_chunk,
    read=compat_openai.read_completion,
    whole=compat_openai.whole_completion,
)
FIM = _openai(
    "/v1/fim/completions",
    "fim",
    "chat.completion.chunk",
    compat_openai.fim_chunk,
    read=compat_openai.read_completion,
    whole=compat_openai.whole_fim,
)
CHAT = _openai(
    "/v1/chat/completions",
    "chatcmpl",
    "chat.completion.chunk",
    compat_openai.chat_chunk,
    read=compat_openai.read_chat,
    whole=compat_openai.whole_chat,
)
FORMS = (INFILL, COMPLETIONS, FIM, CHAT)
