"""The HTTP routes over real sockets: forms, bounds, errors, and who leaves early."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from dlmd.serve import http, reply
from dlmd.wire.protocol import Limits

from tests.fakes.inside import Inside, heard, serving
from tests.fakes.model import FakeBackend

pytestmark = pytest.mark.asyncio(loop_scope="module")
STEPS = 400
LONG = " ".join(f"word{n}" for n in range(STEPS))
ROUTES = ("/infill", "/v1/completions", "/v1/fim/completions", "/v1/chat/completions")
TABLE = {"def add(a, b):\n    ": "return a + b", "long ": LONG, "two ": "a\nb\nc"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inside(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Inside]:
    """One for all tests that leave it as it was."""
    own = tmp_path_factory.mktemp("run") / "dlmd"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLMD_RUNTIME_DIR", str(own))
        async with serving(own, FakeBackend(table=TABLE)) as running:
            yield running


def body(route: str, text: str = "def add(a, b):\n    ", **more: Any) -> dict[str, Any]:
    if route == "/infill":
        return {"input_prefix": text, "input_suffix": "\n", **more}
    if route == "/v1/chat/completions":
        return {"messages": [{"role": "user", "content": text}], **more}
    return {"prompt": text, "suffix": "\n", **more}


def text_of(route: str, told: Any) -> str:
    if route == "/infill":
        return str(told["content"])
    choice = told["choices"][0]
    spoken = choice.get("message") or choice.get("delta") or {}
    return str(choice.get("text") or spoken.get("content") or "")


# ---- forms


@pytest.mark.parametrize("route", ROUTES[:3])
async def test_a_hole_is_filled(inside: Inside, route: str) -> None:
    told = await inside.ask("POST", route, body(route))
    assert told.status == 200
    assert text_of(route, told.json) == "return a + b"


@pytest.mark.parametrize("route", ROUTES)
async def test_the_stream_adds_up_to_the_whole(inside: Inside, route: str) -> None:
    whole = await inside.ask("POST", route, body(route))
    told = await inside.ask("POST", route, body(route, stream=True))
    assert told.headers["content-type"].startswith("text/event-stream")
    events = told.events
    if route != "/infill":
        assert events.pop() == "[DONE]"
        assert events[-1]["choices"][0]["finish_reason"] == "stop"
    else:
        assert [event["stop"] for event in events][-1]
    streamed = "".join(text_of(route, event) for event in events)
    assert streamed == text_of(route, whole.json)


async def test_several_candidates_come_by_index(inside: Inside) -> None:
    told = await inside.ask("POST", "/v1/completions", body(ROUTES[1], n=3))
    assert [choice["index"] for choice in told.json["choices"]] == [0, 1, 2]
    streamed = await inside.ask(
        "POST", "/v1/completions", body(ROUTES[1], n=3, stream=True)
    )
    ends = [e["choices"][0] for e in streamed.events[:-1]]
    assert [c["index"] for c in ends if c["finish_reason"]] == [0, 1, 2]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_word_cuts(inside: Inside, stream: bool) -> None:
    asked = body(ROUTES[1], stop=[" +", "zzz"], stream=stream)
    told = await inside.ask("POST", "/v1/completions", asked)
    events = told.events[:-1] if stream else [told.json]
    assert "".join(text_of(ROUTES[1], e) for e in events) == "return a"
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


async def test_whole_canvases_are_streamed_when_asked_for(inside: Inside) -> None:
    asked = body(ROUTES[2], stream=True, diffusing=True)
    told = await inside.ask("POST", "/v1/fim/completions", asked)
    *canvases, last, done = told.events
    assert done == "[DONE]"
    assert last["choices"][0]["text"] == "return a + b"
    assert last["choices"][0]["finish_reason"] == "stop"
    for canvas in canvases:
        choice = canvas["choices"][0]
        masks = sum(p for p in choice["pieces"] if isinstance(p, int))
        assert choice["text"].count("\u2591") == masks


async def test_tokens_are_counted(inside: Inside) -> None:
    told = await inside.ask("POST", "/v1/completions", body(ROUTES[1]))
    counts = told.json["usage"]
    assert counts["completion_tokens"] == 4
    assert counts["prompt_tokens"] > 4
    assert counts["total_tokens"] == counts["prompt_tokens"] + 4


async def test_only_some_fields_and_out_of_their_nest(inside: Inside) -> None:
    fields = ["content", "timings/predicted_n", "truncated", "no/such"]
    told = await inside.ask("POST", "/infill", body("/infill", response_fields=fields))
    assert told.json == {
        "content": "return a + b",
        "timings/predicted_n": 4,
        "truncated": False,
    }


@pytest.mark.parametrize("route", [ROUTES[0], ROUTES[3]])
async def test_a_warm_up_is_answered_at_once(inside: Inside, route: str) -> None:
    before = inside.backend.forwards
    told = await inside.ask("POST", route, body(route, n_predict=0))
    assert (told.status, inside.backend.forwards) == (200, before)


async def test_a_time_box_gives_the_lines_that_stand(folder: Path) -> None:
    gate = threading.Event()

    def before(n: int) -> None:
        if n == 6:
            gate.wait(30)

    backend = FakeBackend(table={"x ": "a\n b\n c"}, before_forward=before)
    async with serving(folder, backend) as inside:
        asked = body("/infill", "x ", t_max_predict_ms=1)
        told = await inside.ask("POST", "/infill", asked)
        gate.set()
    assert told.json["content"] in ("a", "a\n b", "a\n b\n c")


async def test_the_model_is_listed_by_name(inside: Inside) -> None:
    assert [m["id"] for m in (await inside.ask("GET", "/v1/models")).json["data"]] == [
        "fake"
    ]
    assert (await inside.ask("GET", "/v1/models/fake")).json["id"] == "fake"
    assert (await inside.ask("GET", "/v1/models/../etc/passwd")).status == 404


def answered(inside: Inside, route: str, status: int) -> float:
    labels = {"route": route, "status": str(status)}
    found = inside.daemon.desk.metrics.registry.get_sample_value(
        "dlmd_http_requests_total", labels
    )
    return found or 0.0


async def test_metrics_count_requests_and_forwards(inside: Inside) -> None:
    before = answered(inside, "/infill", 200)
    await inside.ask("POST", "/infill", body("/infill"))
    told = (await inside.ask("GET", "/metrics")).body.decode()
    line = 'dlmd_http_requests_total{route="/infill",status="200"} '
    assert f"{line}{before + 1}" in told
    assert "dlmd_serving 1.0" in told
    assert 'dlmd_infills_total{end="result"}' in told
    assert 'dlmd_forwards_total{kind="full"}' in told
    assert "return a" not in told


# ---- errors


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"temperature": -1}, "temperature was -1, expected 0 to 10"),
        ({"temperature": 1e300}, "temperature was 1e+300, expected 0 to 10"),
        ({"top_p": 2}, "top_p was 2, expected 0 to 1"),
        ({"seed": -7}, "seed was -7, expected 0 to"),
        ({"stop": ["x"] * 65}, "stop holds 65 words"),
        ({"stream": "yes"}, "stream: Expected `bool | null`"),
    ],
)
async def test_a_number_out_of_bounds_is_named(
    inside: Inside, route: str, more: dict[str, Any], said: str
) -> None:
    told = await inside.ask("POST", route, body(route, **more))
    assert told.status == 400
    assert said in told.error["message"]
    assert "\n" not in told.error["message"]


@pytest.mark.parametrize(
    ("route", "more", "said"),
    [
        ("/infill", {"n_cmpl": 9}, "Field 'n_cmpl': Value must be between 1 and 8"),
        ("/infill", {"n_predict": -2}, "n_predict was -2"),
        ("/infill", {"n_predict": 10**30}, "n_predict was 1000"),
        ("/v1/completions", {"n": 0}, "n was 0, expected 1 to 8"),
        ("/v1/completions", {"max_tokens": 10**7}, "max_tokens was 10000000"),
        ("/v1/completions", {"echo": True}, "echo was True, which dlmd cannot do"),
        ("/v1/completions", {"best_of": 4}, "best_of was 4"),
        ("/v1/completions", {"logprobs": 3}, "logprobs was 3"),
        ("/v1/completions", {"prompt": [1, 2]}, "prompt was [1, 2], expected one text"),
        ("/v1/chat/completions", {"messages": []}, "messages was empty"),
        ("/v1/chat/completions", {"tools": [{}]}, "tools was [{}]"),
        ("/v1/chat/completions", {"messages": [{"role": "tool"}]}, "messages[0].role"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    inside: Inside, route: str, more: dict[str, Any], said: str
) -> None:
    told = await inside.ask("POST", route, body(route, **more))
    assert told.status == 400
    assert said in told.error["message"]


async def test_a_completion_of_nothing_is_refused(inside: Inside) -> None:
    told = await inside.ask("POST", "/v1/completions", b"{}")
    assert told.status == 400
    assert "prompt was None, expected one text" in told.error["message"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 10**5])
async def test_a_body_that_is_no_object_is_one_sentence(
    inside: Inside, data: bytes
) -> None:
    told = await inside.ask("POST", "/infill", data)
    assert told.status == 400
    assert "\n" not in told.error["message"]


async def test_another_model_is_not_impersonated(inside: Inside) -> None:
    told = await inside.ask("POST", "/infill", body("/infill", model="dreamon-7b"))
    assert told.status == 404
    assert "serves fake" in told.error["message"]
    for name in ("PLACEHOLDER", "", "../../etc/passwd"):
        told = await inside.ask("POST", "/infill", body("/infill", model=name))
        assert told.json["model"] == "fake"


async def test_a_body_too_large_is_refused_before_it_is_read(inside: Inside) -> None:
    headers = {"Content-Length": str(10**12)}
    told = await inside.ask("POST", "/infill", b"{", headers)
    assert told.status == 413


async def test_a_body_without_length_is_bounded(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answered(inside, "/infill", 413)
    reader, writer = await inside.open()
    head = inside.said("POST", "/infill", None, {"Content-Type": "application/json"})
    head = head.replace(b"Connection: close", b"Transfer-Encoding: chunked")
    writer.write(head)
    monkeypatch.setattr(inside.daemon.desk, "limits", SMALL)
    for _ in range(40):
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    with contextlib.suppress(ConnectionResetError):  # it closed on what it had not read
        await heard(reader)
    writer.close()
    assert answered(inside, "/infill", 413) == before + 1


SMALL = Limits(max_message_bytes=16 * 1024)


async def test_a_failure_in_mid_stream_is_an_event(folder: Path) -> None:
    def before(n: int) -> None:
        if n == 3:
            raise RuntimeError("out of memory")

    backend = FakeBackend(default="a b c d e", before_forward=before)
    async with serving(folder, backend) as inside:
        asked = body(ROUTES[2], stream=True, diffusing=True)
        told = await inside.ask("POST", ROUTES[2], asked)
        after = await inside.ask("POST", ROUTES[2], body(ROUTES[2]))
    assert told.status == 200
    assert "RuntimeError" in told.events[-1]["error"]["message"]
    assert after.status == 200


async def test_too_many_requests_are_told_to_come_again(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_OPEN", 0)
    told = await inside.ask("POST", "/infill", body("/infill"))
    assert (told.status, told.headers["retry-after"]) == (429, "1")


async def test_while_the_model_loads_health_says_so_and_requests_wait(
    folder: Path,
) -> None:
    gate = threading.Event()

    class Slow(FakeBackend):
        def load(self, progress: Any) -> None:
            gate.wait(30)
            super().load(progress)

    # Not through serving(), which waits for the model.
    backend = Slow(table=TABLE)
    gate.set()
    async with serving(folder, backend) as inside:
        assert (await inside.ask("GET", "/health", own=False)).json["status"] == "ok"
        for phase, said in (("loading", "Loading model"), ("failed", "dlmd status")):
            inside.daemon.desk.engine._board.enter(phase)  # type: ignore[arg-type]
            told = await inside.ask("GET", "/health", own=False)
            assert told.status == 503
            assert said in told.error["message"]
            assert told.error["code"] == 503
        inside.daemon.desk.engine._board.enter("ready")


# ---- leaving early


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", ROUTES[:3])
async def test_a_client_that_leaves_stops_the_model_within_one_step(
    folder: Path, route: str, stream: bool
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def before(n: int) -> None:
        if n == 3:
            reached.set()
            assert go_on.wait(30)

    backend = FakeBackend(table=TABLE, before_forward=before)
    async with serving(folder, backend) as inside:
        _, writer = await inside.open()
        writer.write(inside.said("POST", route, body(route, "long ", stream=stream)))
        await asyncio.to_thread(reached.wait, 30)
        writer.close()
        await writer.wait_closed()
        await no_request_open(inside)
        go_on.set()
        # Another request goes through the same engine, after what was dropped.
        other = await inside.ask("POST", "/infill", body("/infill", "two "))
        assert other.json["content"] == "a\nb\nc"
        assert backend.forwards <= 3 + 5


async def no_request_open(inside: Inside) -> None:
    async with asyncio.timeout(30):
        while inside.daemon.desk.open:
            await asyncio.sleep(0)


async def test_a_reader_that_does_not_read_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "WRITE_S", 0.05)
    backend = FakeBackend(default="x" * 1000 + " y" * 200)
    async with serving(folder, backend) as inside:
        reader, writer = await inside.open()
        asked = body(ROUTES[2], stream=True, diffusing=True, n=8)
        writer.write(inside.said("POST", ROUTES[2], asked))
        await reader.readline()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        other = await inside.ask("POST", "/infill", body("/infill"))
        assert other.status == 200
        writer.close()
        await no_request_open(inside)


async def test_prompts_do_not_reach_the_log(
    inside: Inside, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hunter2-"
    for route in ROUTES:
        await inside.ask("POST", route, body(route, secret))
        await inside.ask("POST", route, body(route, secret, temperature=-1))
        await inside.ask("POST", route, (secret * 3).encode())
    assert secret not in "".join(
        record.getMessage() for record in caplog.records if record.levelno > 10
    )
