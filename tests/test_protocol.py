"""The codec and the Session: strings in, events out. No sockets, no clocks."""

import json
from typing import Any

import pytest
from dlmd.wire.protocol import (
    Cancel,
    Candidate,
    ClientMessage,
    Event,
    Failure,
    Hello,
    HolePart,
    HoleSpec,
    Infill,
    Limits,
    Pin,
    ProtocolError,
    Result,
    ServerMessage,
    Session,
    Sleep,
    State,
    Status,
    Usage,
    UseAdapter,
    UseModel,
    Wake,
    decode_client,
    decode_server,
    encode,
    hole,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

HELLO = Hello(version="1", limits=Limits(), status=Status(phase="ready"))
SMALL = Limits(max_open=2, max_text_chars=10, max_holes=2, max_id_chars=8)


def greeted(limits: Limits | None = None) -> Session:
    session = Session(limits)
    assert session.send(HELLO)
    return session


def infill(id: str = "a", **fields: Any) -> str:
    request = {"type": "infill", "id": id, "parts": ["x", {"hole": {}}]}
    return json.dumps(request | fields)


def cancel(id: str) -> str:
    return json.dumps({"type": "cancel", "id": id})


def result(id: str = "a") -> Result:
    return Result(
        id=id, candidates=[Candidate(holes=["y"], finish="stop")], usage=Usage()
    )


def state(id: str = "a", step: int = 1) -> State:
    return State(id=id, step=step, of=4, holes=[["de", 3]])


def refused(session: Session, text: str) -> Failure:
    """The one failure that answers a frame; sent, as the server would."""
    (event,) = session.receive(text)
    assert isinstance(event, Failure)
    assert session.send(event) is not None
    return event


# ---- codec


def test_a_document_with_holes_is_read_as_it_is_written() -> None:
    text = '{"type":"infill","id":"a","parts":["x",{"hole":{"length":"auto"}},"y"]}'
    message = decode_client(text)
    assert message == Infill(id="a", parts=["x", hole(length="auto"), "y"])
    assert encode(message) == text


def test_unknown_fields_are_ignored() -> None:
    part = {"hole": {"max_tokens": 4, "colour": "red"}, "at": 3}
    message = decode_client(infill(parts=[part], colour="red"))
    assert message == Infill(id="a", parts=[HolePart(HoleSpec(max_tokens=4))])


@pytest.mark.parametrize(
    "message",
    [
        HELLO,
        Status(phase="loading", bytes_done=5, bytes_total=9, eta_s=1.5),
        State(id="a", step=2, of=4, holes=[["é", 3, ""]], confidence=[[0.5, 0.0, 1.0]]),
        result(),
        Failure(id=None, code="busy", message="later"),
    ],
)
def test_what_the_server_says_comes_back_equal(message: ServerMessage) -> None:
    assert decode_server(encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Infill(id="a", parts=[hole()], keep_alive="10m", model="m", adapter="repo-1"),
        Infill(id="a", parts=[hole()], keep_alive=-1, adapter=None),
        Pin(id="a", hole=0, text="ret"),
        Sleep(id="a"),
        Sleep(id="a", by="dlmd tune", lasting=True),
        Wake(id="a"),
        UseAdapter(id="a", adapter=None),
        UseModel(id="a", model="dream-7b"),
    ],
)
def test_what_a_client_says_comes_back_equal(message: ClientMessage) -> None:
    assert decode_client(encode(message)) == message


def test_an_adapter_that_is_not_named_is_not_the_same_as_none() -> None:
    unset, none = decode_client(infill()), decode_client(infill(adapter=None))
    assert isinstance(unset, Infill) and isinstance(none, Infill)
    assert (unset.adapter, none.adapter) == (UNSET, None)
    assert "adapter" not in encode(unset)


def test_a_file_of_five_megabytes_passes() -> None:
    request = Infill(id="a", parts=["é" * 5_000_000, hole()])
    assert decode_client(encode(request)) == request


def test_half_a_surrogate_pair_is_refused_in_both_directions() -> None:
    failure = refused(greeted(), infill(parts=["\ud800", {"hole": {}}]))
    assert failure.id == "a" and "whole Unicode" in failure.message
    with pytest.raises(ProtocolError, match="half of a surrogate pair"):
        encode(Infill(id="a", parts=["\ud800", hole()]))


# ---- the conversation


def test_hello_is_said_first_and_once() -> None:
    session = Session()
    with pytest.raises(AssertionError):
        session.send(Status(phase="ready"))
    assert session.send(HELLO)
    with pytest.raises(AssertionError):
        session.send(HELLO)


def test_states_then_one_result_and_the_id_has_ended() -> None:
    session = greeted()
    assert session.receive(infill()) == [decode_client(infill())]
    assert session.open_ids == {"a"}
    assert session.send(state()) == encode(state())
    assert session.send(result()) == encode(result())
    assert session.open_ids == set()
    assert session.send(result()) is None
    assert session.send(Failure(id="a", code="internal", message="late")) is None
    assert session.send(state()) is None


def test_what_was_never_asked_for_is_not_sent() -> None:
    session = greeted()
    assert session.send(state("never")) is None
    assert session.send(result("never")) is None


def test_after_cancel_no_state_is_sent_but_the_end_is() -> None:
    session = greeted()
    session.receive(infill())
    assert session.receive(cancel("a")) == [Cancel(id="a")]
    assert session.send(state()) is None
    assert session.receive(cancel("a")) == []
    end = Failure(id="a", code="cancelled", message="as you wished")
    assert session.send(end) == encode(end)
    assert session.open_ids == set()


def test_a_cancel_that_crosses_the_result_is_not_a_mistake() -> None:
    session = greeted()
    session.receive(infill())
    session.send(result())
    assert session.receive(cancel("a")) == []


def test_a_cancel_of_nothing_is_refused_by_name() -> None:
    failure = refused(greeted(), cancel("what"))
    assert (failure.id, failure.code) == (None, "bad_request")
    assert "'what'" in failure.message


def test_an_id_is_used_once_and_the_first_use_goes_on() -> None:
    session = greeted()
    session.receive(infill())
    failure = refused(session, infill())
    assert failure.id is None and "'a'" in failure.message
    assert refused(session, infill(steps=-1)).id is None
    assert session.send(result()) is not None
    assert refused(session, infill()).id is None  # ended is used, too


def test_a_superseded_request_gets_no_more_states() -> None:
    session = greeted()
    session.receive(infill("a"))
    assert session.receive(infill("b", supersedes="a"))
    assert session.send(state("a")) is None
    assert session.send(Failure(id="a", code="superseded", message="by b"))
    assert session.send(state("b"))


def test_superseding_what_has_ended_is_allowed() -> None:
    assert isinstance(greeted().receive(infill("b", supersedes="a"))[0], Infill)


def test_too_many_open_requests_are_refused_one_by_one() -> None:
    session = greeted(SMALL)
    session.receive(infill("a"))
    session.receive(infill("b"))
    failure = refused(session, infill("c"))
    assert (failure.id, failure.code) == ("c", "busy")
    assert session.open_ids == {"a", "b"}
    session.send(result("a"))
    assert isinstance(session.receive(infill("d"))[0], Infill)


def test_a_superseding_request_takes_the_place_of_the_other() -> None:
    session = greeted(SMALL)
    session.receive(infill("a"))
    session.receive(infill("b"))
    assert isinstance(session.receive(infill("c", supersedes="a"))[0], Infill)


def test_a_flood_of_superseding_requests_is_bounded() -> None:
    session, accepted = greeted(SMALL), 0
    for number in range(20):
        events = session.receive(infill(f"r{number}", supersedes=f"r{number - 1}"))
        accepted += isinstance(events[0], Infill)
    assert accepted == 2 * SMALL.max_open


def pin(id: str = "a", hole: int = 0, text: str = "re") -> str:
    return encode(Pin(id=id, hole=hole, text=text))


def test_a_pin_reaches_the_open_request_it_names() -> None:
    session = greeted()
    session.receive(infill())
    assert session.receive(pin()) == [Pin(id="a", hole=0, text="re")]


def test_a_pin_of_a_hole_that_is_not_there_is_refused_and_the_request_goes_on() -> None:
    session = greeted()
    session.receive(infill())
    for wrong in (pin(hole=1), pin("never"), pin(hole=-1)):
        failure = refused(session, wrong)
        assert (failure.id, failure.code) == (None, "bad_request")
    assert session.send(result()) is not None


def test_a_pin_that_crosses_the_end_is_not_a_mistake() -> None:
    session = greeted()
    session.receive(infill("a"))
    session.receive(infill("b"))
    session.receive(cancel("a"))
    session.send(result("b"))
    assert session.receive(pin("a")) == session.receive(pin("b")) == []


@pytest.mark.parametrize("kind", [Sleep, Wake])
def test_a_command_takes_an_id_and_ends_once(kind: Any) -> None:
    session = greeted()
    assert session.receive(encode(kind(id="s"))) == [kind(id="s")]
    assert session.open_ids == {"s"}
    assert refused(session, encode(kind(id="s"))).id is None
    done = Result(id="s", candidates=[], usage=Usage())
    assert session.send(done) and session.send(done) is None
    assert refused(session, infill("s")).id is None
    assert session.receive(pin("s")) == []


def test_ended_ids_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_REMEMBERED", 3)
    session = greeted()
    for number in range(5):
        session.receive(infill(f"r{number}"))
        session.send(result(f"r{number}"))
    assert refused(session, infill("r4")).id is None
    assert isinstance(session.receive(infill("r0"))[0], Infill)


# ---- whatever comes

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["infill", "bad", "cancel", "state", "result", "failure"]),
        st.sampled_from("abc"),
        st.sampled_from([None, "a", "b"]),
    ),
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_each_id_ends_at_most_once_and_nothing_follows_its_end(
    moves: list[tuple[str, str, str | None]],
) -> None:
    session = greeted()
    sent: list[ServerMessage] = []
    for move, id, older in moves:
        events: list[Event | State | Result] = []
        if move in ("infill", "bad"):
            steps = -1 if move == "bad" else 1
            events += session.receive(infill(id, supersedes=older, steps=steps))
        elif move == "cancel":
            events += session.receive(cancel(id))
        elif move == "failure":
            events += [Failure(id=id, code="model", message="no")]
        else:
            events += [state(id) if move == "state" else result(id)]
        for event in events:
            if isinstance(event, State | Result | Failure) and session.send(event):
                sent.append(event)
    for id in "abc":
        ends = [m for m in sent if getattr(m, "id", "") == id]
        assert not any(isinstance(m, Result | Failure) for m in ends[:-1])
