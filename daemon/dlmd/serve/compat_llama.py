"""llama.cpp's `/infill`, as llama.vim and llama.vscode send it and read it.

Pure functions. Fields that mean nothing to a masked-diffusion model (`id_slot`,
`cache_prompt`, `samplers`, penalties) are passed over. Must not know the engine.
"""

from typing import Any

from msgspec import Struct

from dlmd.serve.compat import About, Answer, Ask, Choice, common_bounds, decoded, stops
from dlmd.wire.complaints import shown
from dlmd.wire.protocol import Limits, ProtocolError

MOST_EXTRA = 1024


class Extra(Struct):
    text: str = ""
    filename: str = ""


class InfillForm(Struct):
    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[Extra] | None = None
    prompt: str | None = None  # the line of the cursor, before it
    n_predict: int | None = None
    n_cmpl: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    t_max_predict_ms: float | None = None
    response_fields: list[str] | None = None
    model: str | None = None


def read(body: bytes, limits: Limits) -> Ask:
    form = decoded(body, InfillForm)
    candidates = 1 if form.n_cmpl is None else form.n_cmpl
    if not 1 <= candidates <= limits.max_candidates:
        # llama.vscode looks for these very words.
        raise ProtocolError(
            f"Field 'n_cmpl': Value must be between 1 and {limits.max_candidates}, "
            f"but it was {shown(candidates)}; change it"
        )
    extras = form.input_extra or []
    if len(extras) > MOST_EXTRA:
        raise ProtocolError(
            f"input_extra holds {len(extras)} texts, expected at most {MOST_EXTRA}; "
            "send fewer"
        )
    other = "".join(extra.text.rstrip("\n") + "\n\n" for extra in extras if extra.text)
    box = form.t_max_predict_ms
    # -1 stands for "as many as it takes", and for any seed.
    wanted = None if form.n_predict == -1 else form.n_predict
    ask = Ask(
        before=other + form.input_prefix + (form.prompt or ""),
        after=form.input_suffix,
        max_tokens=wanted,
        n=candidates,
        stop=stops(form.stop),
        stream=bool(form.stream),
        temperature=form.temperature,
        top_p=form.top_p,
        seed=None if form.seed == -1 else form.seed,
        time_box_ms=None if box is None or box <= 0 else min(int(box), 3_600_000),
        model=form.model or "",
        fields=tuple(form.response_fields or ()),
    )
    return common_bounds(ask, limits, tokens="n_predict")


def whole(ask: Ask, answer: Answer, about: About) -> Any:
    entries = [
        shown_fields(entry(index, chosen, answer, about), ask.fields)
        for index, chosen in enumerate(answer.choices)
    ]
    return entries if ask.n > 1 else entries[0]


def entry(index: int, chosen: Choice, answer: Answer, about: About) -> dict[str, Any]:
    kind = "word" if chosen.word else "eos" if chosen.finish == "stop" else "limit"
    times = timings(answer)
    return {
        "index": index,
        "content": chosen.text,
        "tokens": [],
        "stop": True,
        "model": about.model,
        "tokens_predicted": answer.completion_tokens,
        "tokens_evaluated": answer.prompt_tokens,
        "truncated": answer.truncated,
        "stop_type": kind,
        "stopping_word": chosen.word,
        "tokens_cached": 0,
        "timings": times,
    }


def timings(answer: Answer) -> dict[str, float]:
    """The time to the first state stands for the prompt's, the rest for the fill's."""
    told: dict[str, float] = {}
    rest = max(answer.ms_total - answer.ms_first, 0.0)
    for name, count, spent in (
        ("prompt", answer.prompt_tokens, answer.ms_first),
        ("predicted", answer.completion_tokens, rest),
    ):
        told[f"{name}_n"] = count
        told[f"{name}_ms"] = round(spent, 3)
        told[f"{name}_per_token_ms"] = round(spent / count, 3) if count else 0.0
        told[f"{name}_per_second"] = round(1000 * count / spent, 3) if spent else 0.0
    return told


def shown_fields(reply: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """Only the fields asked for; `timings/prompt_n` comes out of its nest, named so."""
    if not wanted:
        return reply
    told: dict[str, Any] = {}
    for name in wanted:
        value: Any = reply
        for step in name.split("/"):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            told[name] = value
    return told


def delta(index: int, text: str, ask: Ask, about: About) -> Any:
    return {"index": index, "content": text, "tokens": [], "stop": False}


def last(index: int, rest: str, ask: Ask, answer: Answer, about: About) -> Any:
    final = entry(index, answer.choices[index], answer, about)
    return shown_fields(final | {"content": rest}, ask.fields)


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "type": kind}}
