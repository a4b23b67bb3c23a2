"""Every mistake gets one sentence: the field, the value seen, the bound, what to do."""

import json
from typing import Any

import msgspec
import pytest
from dlmd.wire.protocol import (
    Failure,
    Hello,
    Infill,
    Limits,
    Session,
    Status,
    decode_client,
)
from hypothesis import given, settings
from hypothesis import strategies as st

HELLO = Hello(version="1", limits=Limits(), status=Status(phase="ready"))
SMALL = Limits(max_text_chars=10, max_holes=2, max_id_chars=8)


def greeted(limits: Limits | None = None) -> Session:
    session = Session(limits)
    assert session.send(HELLO)
    return session


def infill(id: str = "a", **fields: Any) -> str:
    request = {"type": "infill", "id": id, "parts": ["x", {"hole": {}}]}
    return json.dumps(request | fields)


def refused(session: Session, text: str) -> Failure:
    """The one failure that answers a frame; sent, as the server would."""
    (event,) = session.receive(text)
    assert isinstance(event, Failure)
    assert session.send(event) is not None
    return event


@pytest.mark.parametrize(
    ("fields", "field", "value", "bound"),
    [
        ({"steps": -1}, "steps", "-1", "from 1 to 1024"),
        ({"steps": 10**30}, "steps", "1" + 30 * "0", "from 1 to 1024"),
        ({"steps": 1.5}, "steps", "1.5", "an integer"),
        ({"steps": "ten"}, "steps", "'ten'", "from 1 to 1024"),
        ({"n": 0}, "n", "0", "from 1 to 8"),
        ({"n": True}, "n", "True", "from 1 to 8"),
        ({"temperature": float("nan")}, "temperature", "NaN", "from 0 to 10"),
        ({"temperature": float("-inf")}, "temperature", "-Infinity", "from 0 to 10"),
        ({"temperature": -0.1}, "temperature", "-0.1", "from 0 to 10"),
        ({"top_p": 1e300}, "top_p", "1e+300", "to 1"),
        ({"top_p": 0}, "top_p", "0", "to 1"),
        ({"tokens_per_step": 0}, "tokens_per_step", "0", "from 0.1 to 1024"),
        ({"seed": -1}, "seed", "-1", "from 0 to 9223372036854775807"),
        ({"deadline_ms": 0}, "deadline_ms", "0", "from 1 to 3600000"),
        ({"chat": []}, "chat", "0 messages", "1 to 1024"),
        (
            {"chat": [{"role": "tool", "content": ""}]},
            "chat[0].role",
            "'tool'",
            "user or",
        ),
        ({"chat": [{"role": "user"}]}, "chat[0].content", "missing", "a string"),
        ({"mode": "slow"}, "mode", "'slow'", "exact, quality or fast"),
        ({"priority": 3}, "priority", "3", "interactive or batch"),
        ({"stream": "yes"}, "stream", "'yes'", "true or false"),
        ({"steps": 4, "tokens_per_step": 2}, "steps", "4", "at most one"),
        ({"supersedes": "a"}, "supersedes", "'a'", "an earlier request"),
        ({"keep_alive": "soon"}, "keep_alive", "'soon'", "10m"),
        ({"keep_alive": "9999999h"}, "keep_alive", "'9999999h'", "at most 31536000"),
        ({"keep_alive": 1e300}, "keep_alive", "1e+300", "at most 31536000"),
        ({"keep_alive": []}, "keep_alive", "[]", "10m"),
        ({"model": ""}, "model", "''", "a name of 1 to 512"),
        ({"model": "a\n"}, "model", "'a\\n'", "printable"),
        ({"model": 7}, "model", "7", "a name"),
        ({"adapter": "../a"}, "adapter", "'../a'", "a-z, 0-9 and -"),
        ({"adapter": ""}, "adapter", "''", "or null"),
        ({"adapter": "a\n"}, "adapter", "'a\\n'", "or null"),
        ({"parts": []}, "parts", "0 pieces", "1 to 1024"),
        ({"parts": ["x"]}, "parts", "0 holes", "1 to 64"),
        ({"parts": "x"}, "parts", "'x'", "a list"),
        ({"parts": [["x"]]}, "parts[0]", "['x']", "a string or an object"),
        ({"parts": [{}]}, "parts[0].hole", "missing", "an object with max_tokens"),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_its_bound(
    fields: dict[str, Any], field: str, value: str, bound: str
) -> None:
    failure = refused(greeted(), infill(**fields))
    assert (failure.id, failure.code) == ("a", "bad_request")
    assert failure.message.startswith(field)
    assert value in failure.message and bound in failure.message
    assert "; " in failure.message and "\n" not in failure.message


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"type": "pin", "hole": 64, "text": ""}, "hole was 64, expected an integer"),
        ({"type": "pin", "hole": -1, "text": ""}, "hole was -1, expected an integer"),
        ({"type": "pin", "hole": "0", "text": ""}, "hole was '0', expected an integer"),
        ({"type": "pin", "hole": 0}, "text is missing, expected a string"),
        ({"type": "pin", "hole": 0, "text": "x" * 16_385}, "text was 'xxx"),
        ({"type": "sleep", "by": "a\nb"}, "by was 'a\\nb', expected at most"),
        ({"type": "sleep", "by": "x" * 129}, "by was 'xxx"),
        ({"type": "sleep", "lasting": 1}, "lasting was 1, expected true or false"),
        ({"type": "use_model", "model": "../m"}, "model was '../m', expected the name"),
        ({"type": "use_model", "model": "/m"}, "model was '/m', expected the name"),
        ({"type": "use_adapter"}, "adapter is missing, expected a name"),
        ({"type": "use_adapter", "adapter": "/etc"}, "adapter was '/etc', expected"),
        ({"type": "use_adapter", "adapter": "a" * 65}, "adapter was 'aaa"),
    ],
)
def test_a_bad_field_of_a_command_is_named(frame: dict[str, Any], said: str) -> None:
    failure = refused(greeted(), json.dumps(frame | {"id": "p"}))
    assert failure.id == "p" and failure.code in ("bad_request", "too_large")
    assert failure.message.startswith(said)
    assert "; " in failure.message and "\n" not in failure.message


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"max_tokens": 0}, "0"),
        ({"max_tokens": 1025}, "1025"),
        ({"max_tokens": "4"}, "'4'"),
        ({"length": -3}, "-3"),
        ({"length": "long"}, "'long'"),
        ({"length": 1e400}, "inf"),
        ({"initial": 7}, "7"),
        ({"keep": 1.5, "initial": "x"}, "1.5"),
    ],
)
def test_a_bad_hole_is_named_by_its_place(spec: dict[str, Any], value: str) -> None:
    text = infill(parts=["x", {"hole": spec}]).replace("Infinity", "1e400")
    failure = refused(greeted(), text)
    assert failure.id == "a"
    assert failure.message.startswith(f"parts[1].hole.{next(iter(spec))} was {value}, ")


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        (["x" * 11, {"hole": {}}], "11 characters"),
        (["x" * 9, {"hole": {"initial": "yy"}}], "11 characters"),
        ([{"hole": {}}] * 3, "3 holes"),
    ],
)
def test_too_much_is_too_large(parts: list[Any], seen: str) -> None:
    failure = refused(greeted(SMALL), infill(parts=parts))
    assert (failure.id, failure.code) == ("a", "too_large")
    assert seen in failure.message


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", "[" * 100_000, "[1]", '"infill"', "null", "7", "\ud800"],
)
def test_what_is_no_json_object_fails_without_an_id(text: str) -> None:
    session = greeted()
    failure = refused(session, text)
    assert (failure.id, failure.code) == (None, "bad_request")
    assert len(failure.message) < 200
    assert session.receive(infill())  # the conversation goes on


@pytest.mark.parametrize("field", ["lasting", "other", "by"])
def test_half_a_character_anywhere_is_refused(field: str) -> None:
    text = json.dumps({"type": "sleep", "id": "s", field: "\ud800"})
    assert "whole Unicode" in refused(greeted(), text).message


@pytest.mark.parametrize("type", ["pour", "Infill", 3, None, []])
def test_an_unknown_type_is_refused_and_the_conversation_goes_on(type: Any) -> None:
    session = greeted()
    failure = refused(session, json.dumps({"type": type, "id": "p"}))
    assert (failure.id, failure.code) == ("p", "bad_request")
    assert failure.message.startswith("unknown message type")
    assert session.receive(infill()) == [decode_client(infill())]


@pytest.mark.parametrize("id", ["", "x" * 9, "a\nb", 7, None, "\ud800"])
def test_an_id_that_cannot_be_answered_to_is_refused_without_one(id: Any) -> None:
    assert refused(greeted(SMALL), infill(id)).id is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = [*Infill.__struct_fields__, "type", "hole"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.booleans(), st.text())
def test_any_frame_is_answered_in_one_sentence(
    fields: dict[str, Any], close_to_legal: bool, garbage: str
) -> None:
    session = greeted()
    text = infill(**fields) if close_to_legal else json.dumps(fields)
    for frame in (text, garbage, text[: len(text) // 2]):
        for event in session.receive(frame):
            if isinstance(event, Failure):
                sent = session.send(event)
                assert sent and msgspec.json.decode(sent)["type"] == "failure"
                assert "\n" not in event.message and len(event.message) < 400
