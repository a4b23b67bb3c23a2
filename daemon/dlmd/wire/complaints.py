"""What is wrong with a message, in one sentence: the field, the value seen, the bound.

Bounds hold on both sides of every number. Each sentence ends with what to do, and is safe
to print and to send back: values are shortened, never echoed whole. This file must not know
sockets or the state of a conversation.
"""

import json
import math
import re
import reprlib
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from dlmd.wire import duration
from dlmd.wire.messages import (
    LARGEST_SEED,
    ClientMessage,
    HolePart,
    HoleSpec,
    Infill,
    Limits,
    Pin,
    ProtocolError,
    Sleep,
    UseAdapter,
    UseModel,
)

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
ADAPTER_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


def explain(text: str, error: Exception, union: Any, limits: Limits) -> ProtocolError:
    """The sentence for a message msgspec refused; the slow path, so it may parse again."""
    try:
        # json takes NaN and lone surrogates, which lets us say which request was meant.
        raw = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return ProtocolError(
            f"the message {shown(text)} is not JSON; send one JSON object per frame"
        )
    types = [str(member.__struct_config__.tag) for member in get_args(union)]
    if not isinstance(raw, dict):
        return ProtocolError(
            f"the message was {shown(raw)}, expected a JSON object with a type; "
            f"send one of {', '.join(types)}"
        )
    id = _usable_id(raw.get("id"), limits)
    if raw.get("type") not in types:
        return ProtocolError(
            f"unknown message type {shown(raw.get('type'))}, expected one of "
            f"{', '.join(types)}; update the older of the two sides",
            id=id,
        )
    try:
        msgspec.convert(raw, union)
    except msgspec.ValidationError as refusal:
        return ProtocolError(_shape_complaint(raw, str(refusal), limits), id=id)
    except UnicodeEncodeError as broken:  # half of a character, in a place of its own
        error = broken
    return ProtocolError(
        f"the text of the message was refused ({error}); send whole Unicode characters",
        id=id,
    )


def _shape_complaint(raw: Any, refusal: str, limits: Limits) -> str:
    """From msgspec's words and path: a field is missing, or of the wrong kind."""
    reason, _, path = refusal.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(\w+)`", reason):
        name = f"{path}.{missing[1]}".lstrip(".")
        return f"{name} is missing, expected {_expected(name, limits)}; add it"
    value = raw
    for step in re.findall(r"[^.\[\]]+", path):
        value = value[int(step) if isinstance(value, list) else step]
    return f"{path} was {shown(value)}, expected {_expected(path, limits)}; change it"


def _usable_id(id: Any, limits: Limits) -> str | None:
    if not isinstance(id, str) or not 0 < len(id) <= limits.max_id_chars:
        return None
    return id if id.isprintable() else None


_SHORT = reprlib.Repr()  # a peer's value may be huge, or nested without end
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 48
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxlevel = 2


def shown(value: object) -> str:
    """A value as a short piece of JSON-like text, safe to print and to send."""
    return _SHORT.repr(value)


def _ranges(limits: Limits) -> dict[str, tuple[float, float, str]]:
    return {
        "steps": (1, limits.max_steps, "an integer"),
        "tokens_per_step": (0.1, limits.max_tokens, "a number"),
        "temperature": (0, limits.max_temperature, "a number"),
        "top_p": (0.0001, 1, "a number"),
        "seed": (0, LARGEST_SEED, "an integer"),
        "n": (1, limits.max_candidates, "an integer"),
        "deadline_ms": (1, limits.max_deadline_ms, "an integer"),
        "max_tokens": (1, limits.max_tokens, "an integer"),
        "length": (1, limits.max_tokens, "an integer"),
        "keep": (0, 1, "a number"),
        "hole": (0, limits.max_holes - 1, "an integer"),
    }


def _expected(path: str, limits: Limits) -> str:
    """What belongs at a path such as parts[1].hole.length, in words."""
    name = re.sub(r"\[.*?\]", "", path).rsplit(".", 1)[-1]
    if name in (ranges := _ranges(limits)) and path[-5:] != ".hole":
        low, high, kind = ranges[name]
        top = high if isinstance(high, int) else f"{high:g}"
        return f"{kind} from {low:g} to {top}" + (' or "auto"' * (name == "length"))
    return {
        "id": f"a string of 1 to {limits.max_id_chars} printable characters",
        "supersedes": "the id of an earlier request",
        "parts": "a list of texts and holes, each a string or an object with a hole",
        "hole": "an object with max_tokens, length, initial or keep",
        "initial": "a string",
        "mode": "exact, quality or fast",
        "stream": "true or false",
        "by_token": "true or false",
        "priority": "interactive or batch",
        "keep_alive": f"{duration.EXPECTED}, at most {limits.max_keep_alive_s} seconds",
        "model": f"a name of 1 to {limits.max_name_chars} printable characters",
        "adapter": "a name of 1 to 64 of a-z, 0-9 and -, or null for none",
        "text": f"a string of at most {limits.max_pin_chars} characters",
        "by": f"at most {limits.max_id_chars} printable characters",
        "lasting": "true or false",
        "chat": "a list of messages, each with a role and a content",
        "role": "system, user or assistant",
        "content": "a string",
    }.get(name, "another kind of value")


_NUMBERS = (
    "steps",
    "tokens_per_step",
    "temperature",
    "top_p",
    "seed",
    "n",
    "deadline_ms",
)


def complaints(message: ClientMessage, limits: Limits) -> Iterator[ProtocolError]:
    id = _usable_id(message.id, limits)
    if id is None:
        yield ProtocolError(_range_complaint("id", message.id, limits))
    if isinstance(message, Infill):
        yield from _infill_complaints(message, id, limits)
    elif isinstance(message, Pin):
        yield from _out_of_range("hole", "hole", message.hole, id, limits)
        if len(message.text) > limits.max_pin_chars:
            said = _range_complaint("text", message.text, limits)
            yield ProtocolError(said, code="too_large", id=id)
    elif isinstance(message, Sleep):
        if len(message.by) > limits.max_id_chars or not message.by.isprintable():
            yield ProtocolError(_range_complaint("by", message.by, limits), id=id)
    elif isinstance(message, UseAdapter):
        yield from _adapter_complaints(message.adapter, id, limits)
    elif isinstance(message, UseModel) and not MODEL_NAME.fullmatch(message.model):
        said = (
            f"model was {shown(message.model)}, expected the name of a model, not a path; "
            "see `dlmd ls`"
        )
        yield ProtocolError(said, id=id)


def _infill_complaints(
    message: Infill, id: str | None, limits: Limits
) -> Iterator[ProtocolError]:
    for name in _NUMBERS:
        yield from _out_of_range(name, name, getattr(message, name), id, limits)
    if message.steps is not None and message.tokens_per_step is not None:
        yield ProtocolError(
            f"steps was {message.steps} and tokens_per_step {message.tokens_per_step:g}, "
            "expected at most one of them; leave one out",
            id=id,
        )
    if message.supersedes is not None and message.supersedes == message.id:
        yield ProtocolError(
            f"supersedes was {shown(message.id)}, the request's own id; "
            "name an earlier request or leave it out",
            id=id,
        )
    if message.model is not None and not (
        0 < len(message.model) <= limits.max_name_chars and message.model.isprintable()
    ):
        yield ProtocolError(_range_complaint("model", message.model, limits), id=id)
    if message.keep_alive is not None and not _keepable(message.keep_alive, limits):
        said = _range_complaint("keep_alive", message.keep_alive, limits)
        yield ProtocolError(said, id=id)
    yield from _adapter_complaints(message.adapter, id, limits)
    yield from _size_complaints(message, id, limits)
    for index, part in enumerate(message.parts):
        if isinstance(part, HolePart):
            yield from _hole_complaints(f"parts[{index}].hole", part.hole, id, limits)


def _adapter_complaints(
    name: object, id: str | None, limits: Limits
) -> Iterator[ProtocolError]:
    if isinstance(name, str) and not ADAPTER_NAME.fullmatch(name):
        yield ProtocolError(_range_complaint("adapter", name, limits), id=id)


def _keepable(value: str | float, limits: Limits) -> bool:
    try:
        kept = duration.seconds(value)
    except ValueError:
        return False
    return kept == math.inf or kept <= limits.max_keep_alive_s


def _size_complaints(
    message: Infill, id: str | None, limits: Limits
) -> Iterator[ProtocolError]:
    holes = [part.hole for part in message.parts if isinstance(part, HolePart)]
    chars = sum(len(part) for part in message.parts if isinstance(part, str))
    chars += sum(len(hole.initial or "") for hole in holes)
    chat = message.chat or []
    spoken = sum(len(turn.content) for turn in chat)
    counts = (
        ("parts", "pieces", len(message.parts), 1, limits.max_parts),
        ("parts", "holes", len(holes), 1, limits.max_holes),
        ("parts", "characters", chars, 0, limits.max_text_chars),
        (
            "chat",
            "messages",
            len(chat),
            0 if message.chat is None else 1,
            limits.max_parts,
        ),
        ("chat", "characters", spoken, 0, limits.max_text_chars),
    )
    for name, what, seen, low, high in counts:
        if not low <= seen <= high:
            yield ProtocolError(
                f"{name} held {seen} {what}, expected {low} to {high}; "
                + (_TOO_FEW[name] if seen < low else "send less"),
                code="bad_request" if seen < low else "too_large",
                id=id,
            )


_TOO_FEW = {"parts": "mark a hole", "chat": "add a message or leave it out"}


def _hole_complaints(
    path: str, spec: HoleSpec, id: str | None, limits: Limits
) -> Iterator[ProtocolError]:
    yield from _out_of_range(
        "max_tokens", f"{path}.max_tokens", spec.max_tokens, id, limits
    )
    yield from _out_of_range("keep", f"{path}.keep", spec.keep, id, limits)
    if spec.keep is not None and not spec.initial:
        yield ProtocolError(
            f"{path} has keep without initial, expected the text to lay the hole over; "
            "add initial or leave keep out",
            id=id,
        )
    if isinstance(spec.length, str):
        if spec.length != "auto":
            complaint = _range_complaint(f"{path}.length", spec.length, limits)
            yield ProtocolError(complaint, id=id)
    else:
        yield from _out_of_range("length", f"{path}.length", spec.length, id, limits)


def _out_of_range(
    name: str, path: str, value: float | None, id: str | None, limits: Limits
) -> Iterator[ProtocolError]:
    low, high, _ = _ranges(limits)[name]
    if value is not None and not low <= value <= high:
        yield ProtocolError(_range_complaint(path, value, limits), id=id)


def _range_complaint(path: str, value: object, limits: Limits) -> str:
    return f"{path} was {shown(value)}, expected {_expected(path, limits)}; change it"
