"""Foreign requests and replies <-> ours: what all their forms have in common.

Pure functions over texts and pieces. Editors' plugins put both sides of the cursor into
one prompt, between marks of some model's training; want the text as it grows, and cut at
stop words. compat_llama.py and compat_openai.py hold the forms themselves. Must not know
sockets, the engine or how a model is run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from dlmd.wire.complaints import shown
from dlmd.wire.protocol import (
    LARGEST_SEED,
    Infill,
    Limits,
    ProtocolError,
    Turn,
    hole,
)

MOST_STOPS = 64
MOST_STOP_CHARS = 1024
MOST_TOKENS_ASKED = (
    1_000_000  # beyond it a number is a mistake; below, it is cut to fit
)
MOST_TIME_MS = 3_600_000
SMALLEST_TOP_P = 1e-4

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What every foreign request comes down to."""

    before: str = ""
    after: str = ""
    turns: tuple[Turn, ...] = ()
    max_tokens: int | None = None  # 0: a warm-up, which asks for nothing
    n: int = 1
    stop: tuple[str, ...] = ()
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    time_box_ms: int | None = None  # then the lines that stand, once there is one
    model: str = ""
    fields: tuple[str, ...] = ()  # of the reply; none: all
    diffusing: bool = False  # stream whole canvases
    usage_chunk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    text: str
    finish: str  # "stop" or "length"
    word: str = ""  # the stop word that ended it


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    choices: tuple[Choice, ...]
    prompt_tokens: int = 0  # of the text sent, as far as the model sees it
    completion_tokens: int = 0
    truncated: bool = False  # the model saw less than was sent
    ms_first: float = 0.0  # until the first state
    ms_total: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Who answers which request."""

    model: str
    id: str
    created: int  # seconds since the epoch


def decoded(body: bytes, form: type[T]) -> T:
    """The JSON body as one of the forms; unknown fields are passed over."""
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        field_name = path.rstrip("`").lstrip(".")
        what = f"{field_name}: {reason}" if field_name else reason
        raise ProtocolError(f"{what}; correct the request") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        seen = shown(body[:60].decode("utf-8", "replace"))
        raise ProtocolError(
            f"the body {seen} is not JSON; send one JSON object in UTF-8"
        ) from error


def to_infill(ask: Ask, id: str, *, room: int, states: bool) -> Infill:
    """`room`: how many tokens may be filled at all."""
    heat = ask.temperature
    most = min(ask.max_tokens or room, room)
    # A chat's answer has no text after it that could end it: it takes all its room. Who
    # sets no limit for a hole gets what the command line gives, which finds its length.
    blank = hole(max_tokens=most if ask.max_tokens else None)
    if ask.turns:
        blank = hole(length=most)
    return Infill(
        id=id,
        chat=list(ask.turns) or None,
        parts=[blank] if ask.turns else [ask.before, blank, ask.after],
        temperature=heat,
        # Without heat nothing is drawn, and a filter would only change the ranking.
        top_p=max(ask.top_p, SMALLEST_TOP_P)
        if heat and ask.top_p is not None
        else None,
        seed=ask.seed,
        n=ask.n,
        stream=states,
    )


# ---- bounds


def number(
    name: str, value: float | None, low: float, high: float
) -> ProtocolError | None:
    if value is None or low <= value <= high:
        return None
    seen = f"{value:g}" if isinstance(value, float) else shown(value)
    return ProtocolError(f"{name} was {seen}, expected {low:g} to {high:g}; change it")


def check(complaints: Iterable[ProtocolError | None]) -> None:
    for complaint in complaints:
        if complaint is not None:
            raise complaint


def common_bounds(ask: Ask, limits: Limits, tokens: str = "max_tokens") -> Ask:
    """The same ask, or a ProtocolError about the first number out of bounds."""
    chars = len(ask.before) + len(ask.after) + sum(len(t.content) for t in ask.turns)
    check(
        (
            number(tokens, ask.max_tokens, 0, MOST_TOKENS_ASKED),
            number("n", ask.n, 1, limits.max_candidates),
            number("temperature", ask.temperature, 0, limits.max_temperature),
            number("top_p", ask.top_p, 0, 1),
            number("seed", ask.seed, 0, LARGEST_SEED),
            number("t_max_predict_ms", ask.time_box_ms, 0, MOST_TIME_MS),
            number("the number of messages", len(ask.turns), 0, limits.max_parts),
        )
    )
    if chars > limits.max_text_chars:
        raise ProtocolError(
            f"the request holds {chars} characters, expected at most "
            f"{limits.max_text_chars}; send less text",
            code="too_large",
        )
    return ask


def stops(given: str | list[str] | None) -> tuple[str, ...]:
    words = [given] if isinstance(given, str) else given or []
    longest = max(map(len, words), default=0)
    if len(words) > MOST_STOPS or longest > MOST_STOP_CHARS:
        raise ProtocolError(
            f"stop holds {len(words)} words, the longest of {longest} characters, "
            f"expected at most {MOST_STOPS} of {MOST_STOP_CHARS}; send fewer"
        )
    return tuple(word for word in words if word)


# ---- both sides in one prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """How one family of models was taught to fill in the middle."""

    begin: str
    hole: str
    end: str
    blank: str = ""  # what its template puts around the marks
    other: tuple[str, ...] = ()  # between files


MARKS = (
    Marks(  # Qwen2.5-Coder, CodeGemma
        begin="<|fim_prefix|>",
        hole="<|fim_suffix|>",
        end="<|fim_middle|>",
        other=("<|repo_name|>", "<|file_sep|>", "<|file_separator|>"),
    ),
    Marks(  # StarCoder, Stable Code, Granite
        begin="<fim_prefix>",
        hole="<fim_suffix>",
        end="<fim_middle>",
        other=("<file_sep>", "<reponame>", "<repo_name>", "<filename>"),
    ),
    Marks(  # DeepSeek-Coder
        begin="<｜fim▁begin｜>",  # noqa: RUF001
        hole="<｜fim▁hole｜>",  # noqa: RUF001
        end="<｜fim▁end｜>",  # noqa: RUF001
    ),
    Marks(begin="<PRE>", hole="<SUF>", end="<MID>", blank=" "),  # Code Llama
)


def sides(prompt: str, suffix: str | None) -> tuple[str, str]:
    """Text before and after the hole. A suffix beside the prompt wins over marks in it."""
    if suffix:
        return prompt, "" if suffix == "<|endoftext|>" else suffix
    for marks in MARKS:
        found = _split(prompt, marks)
        if found is not None:
            return found
    if prompt.startswith("[SUFFIX]") and "[PREFIX]" in prompt:  # Codestral
        after, _, before = prompt.removeprefix("[SUFFIX]").partition("[PREFIX]")
        return before, after
    return prompt, ""


def _split(prompt: str, marks: Marks) -> tuple[str, str] | None:
    body = prompt.rstrip("\n") if prompt.rstrip("\n").endswith(marks.end) else prompt
    if not body.endswith(marks.end):
        # Suffix first: end of prompt and of prefix are one.
        start, middle = prompt.find(marks.hole), prompt.find(marks.begin)
        if 0 <= start < middle:
            after = prompt[start + len(marks.hole) : middle]
            first, _, rest = prompt[middle + len(marks.begin) :].partition(marks.end)
            return _plain(prompt[:start], marks) + first + rest, after
        return None
    body = body[: -len(marks.end)].removesuffix(marks.blank)
    start = body.find(marks.begin)
    middle = body.find(marks.hole)
    if start < 0 or middle < 0:
        return None
    extra = _plain(body[: min(start, middle)], marks)
    if middle < start:
        after = body[middle + len(marks.hole) : start]
        return extra + body[start + len(marks.begin) :], after
    before = body[start + len(marks.begin) : middle]
    before = before.removeprefix(marks.blank).removesuffix(marks.blank)
    return extra + before, body[middle + len(marks.hole) :]


def _plain(extra: str, marks: Marks) -> str:
    """Text of other files, which our models were not taught to tell apart by marks."""
    for mark in marks.other:
        extra = extra.replace(mark, "\n")
    extra = extra.strip("\n")
    return extra + "\n\n" if extra else ""


# ---- text as it grows


def cut(text: str, words: Sequence[str]) -> tuple[str, str]:
    """The text before the first stop word, and that word."""
    at, word = min(
        ((text.find(word), word) for word in words if word in text),
        default=(len(text), ""),
    )
    return text[:at], word


def leading(pieces: Sequence[str | int]) -> str:
    """What stands before the first mask."""
    return pieces[0] if pieces and isinstance(pieces[0], str) else ""


def held_back(text: str, words: Sequence[str]) -> str:
    """`text` less an end that may turn out to be the start of a stop word."""
    for size in range(min(len(text), max(map(len, words), default=1) - 1), 0, -1):
        if any(len(word) > size and text.endswith(word[:size]) for word in words):
            return text[:-size]
    return text


@dataclass(slots=True, kw_only=True)
class Teller:
    """Turns states of one candidate into text to append, for readers who know no other."""

    stop: tuple[str, ...] = ()
    told: str = field(default="", init=False)

    def more(self, pieces: Sequence[str | int]) -> str:
        """What can be said now and will still hold at the end."""
        text, word = cut(leading(pieces), self.stop)
        return self._rest(text if word else held_back(text, self.stop))

    def last(self, text: str) -> str:
        """The rest; ValueError where the end contradicts what was told."""
        if not text.startswith(self.told):
            raise ValueError(
                "the text changed after a part of it was sent; ask again without stream"
            )
        return self._rest(text)

    def _rest(self, text: str) -> str:
        if not text.startswith(self.told):
            return ""
        rest = text[len(self.told) :]
        self.told = text
        return rest


def choice(text: str, finish: str, words: Sequence[str]) -> Choice:
    kept, word = cut(text, words)
    return Choice(text=kept, finish="stop" if word else finish, word=word)
