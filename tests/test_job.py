"""What a client is told about one request: states, the result, a failure's sentence."""

import logging

import pytest
from dlmd.serve.job import Job, explained, result, shown
from dlmd.wire.protocol import Infill, State, hole

from tests.fakes.model import FakeFrame


def frame(candidate: int = 0, **changes: object) -> FakeFrame:
    fields: dict[str, object] = {
        "candidate": candidate,
        "step": 2,
        "of": 2,
        "holes": [["a"], ["b", "c"]],
        "confidence": [[0.9], [0.6, 0.3]],
        "texts": ["a", "bc"],
        "finish": "stop",
        "forwards_full": 3,
        "forwards_cached": 1,
    }
    return FakeFrame(**(fields | changes))  # type: ignore[arg-type]


def job(n: int = 1) -> Job:
    request = Infill(id="a", parts=["x", hole(), hole()], n=n)
    return Job(client="c", request=request, emit=lambda m: None, arrived=1.0)


def test_a_frame_is_shown_as_it_is() -> None:
    assert shown("a", frame(candidate=1)) == State(
        id="a",
        candidate=1,
        step=2,
        of=2,
        holes=[["a"], ["b", "c"]],
        confidence=[[0.9], [0.6, 0.3]],
    )


def test_a_job_is_done_when_every_candidate_is_final() -> None:
    work = job(n=2)
    work.newest = {0: frame(), 1: frame(1, texts=None, finish="")}
    assert not work.done()
    work.newest[1] = frame(1)
    assert work.done()


def test_the_result_holds_candidates_in_order_and_what_they_cost() -> None:
    work = job(n=2)
    work.newest = {
        1: frame(1, texts=["z", "z"], forwards_full=4, forwards_cached=2),
        0: frame(),
    }
    work.first_state = 1.25
    told = result(work, now=3.0)
    assert [candidate.holes for candidate in told.candidates] == [
        ["a", "bc"],
        ["z", "z"],
    ]
    assert told.candidates[0].confidence == pytest.approx(0.6)
    used = told.usage
    assert (used.forwards_full, used.forwards_cached, used.steps) == (4, 2, 2)
    assert (told.usage.ms_first_state, told.usage.ms_total) == (250, 2000)


def test_an_empty_fill_has_no_confidence() -> None:
    work = job()
    work.first_state = 1.0
    work.newest = {0: frame(holes=[[]], confidence=[[]], texts=[""])}
    assert result(work, now=1.0).candidates[0].confidence is None


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("too long; cut it"), "bad_request", "too long; cut it"),
        (RuntimeError("CUDA out of memory\nmore"), "model", "RuntimeError: CUDA out"),
        (AssertionError("never"), "internal", "AssertionError: never"),
        (MemoryError(), "model", "MemoryError"),
    ],
)
def test_an_exception_becomes_one_sentence(
    error: Exception, code: str, said: str
) -> None:
    failure = explained("a", error)
    assert failure.code == code
    assert said in failure.message
    assert "\n" not in failure.message


def test_the_log_names_the_place_but_not_the_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    try:
        raise KeyError("the user's text")
    except KeyError as error:
        explained("a", error)
    assert "KeyError at " in caplog.text
    assert "test_job.py" in caplog.text
    assert "the user's text" not in caplog.text
