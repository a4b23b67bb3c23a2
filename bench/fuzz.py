"""Random and mutated messages against the codec, the Session and the HTTP forms.

    python bench/fuzz.py --messages 1000000

A tenth of the messages is drawn by hypothesis, the rest are mutations of good ones: values
made hostile, bytes cut, doubled, replaced. A message must be taken or refused in one
sentence; any other exception is a crash, more than a second of work is a hang. Prints what was
sent, how it ended, and the first crashes in full. Must not know how requests are carried out.
"""

import argparse
import copy
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from dlmd.serve import compat
from dlmd.serve.forms import FORMS
from dlmd.wire.complaints import complaints
from dlmd.wire.protocol import (
    Candidate,
    Failure,
    Hello,
    Infill,
    Limits,
    ProtocolError,
    Result,
    Session,
    State,
    Status,
    Usage,
    encode,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

HANG_S = 1.0
LIMITS = Limits()
HOSTILE = [
    0,
    -1,
    1,
    8,
    9,
    2**31,
    2**63,
    -(2**63),
    10**30,
    1e308,
    -0.0,
    1.5,
    "",
    "8",
    None,
]
HOSTILE += [
    True,
    [],
    {},
    [[]],
    {"hole": {}},
    "\x00",
    "\ud800",
    "<|fim_middle|>",
    "x" * 999,
]
HOLE = {"hole": {"max_tokens": 8, "length": "auto", "initial": "x"}}
WIRE: list[dict[str, Any]] = [
    {"type": "infill", "id": "a", "parts": ["x = ", HOLE, "\n"], "n": 2, "seed": 1}
    | {"mode": "exact", "temperature": 0.5, "top_p": 0.9, "keep_alive": "10m"},
    {"type": "infill", "id": "b", "parts": [HOLE], "supersedes": "a", "steps": 4}
    | {"chat": [{"role": "user", "content": "hi"}], "adapter": "repo-0123456789ab"},
    {"type": "cancel", "id": "a"},
    {"type": "pin", "id": "a", "hole": 0, "text": "y"},
    {"type": "sleep", "id": "s", "by": "tune", "lasting": True},
    {"type": "wake", "id": "w"},
    {"type": "use_adapter", "id": "u", "adapter": None},
]
MARKED = "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"
COMPLETION: dict[str, Any] = {
    "prompt": MARKED,
    "suffix": None,
    "max_tokens": 9,
    "temperature": 0.1,
}
COMPLETION |= {
    "top_p": 1,
    "n": 2,
    "stop": ["\n"],
    "stream": True,
    "seed": 3,
    "echo": False,
}
BODIES: dict[str, dict[str, Any]] = {
    "/infill": {"input_prefix": "a", "input_suffix": "b", "prompt": "c", "stop": []}
    | {"input_extra": [{"text": "t", "filename": "f"}], "n_predict": 9, "n_cmpl": 2}
    | {"t_max_predict_ms": 250, "response_fields": ["timings/prompt_n"]},
    "/v1/completions": COMPLETION,
    "/v1/fim/completions": COMPLETION | {"suffix": "b", "diffusing": True},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]}
    | {"max_tokens": 9, "stream": True, "stream_options": {"include_usage": True}},
}
NAMES = sorted({k for d in [*WIRE, *BODIES.values()] for k in d})


def anything() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    leaves |= st.sampled_from(HOSTILE)
    keys = st.sampled_from(NAMES) | st.text(max_size=8)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=8)
        ),
        max_leaves=20,
    )


def mutated(good: dict[str, Any], chance: random.Random) -> bytes:
    """A good message gone wrong: in its values, then maybe in its bytes."""
    message = json.loads(json.dumps(good))
    for _ in range(chance.randrange(4)):
        place: Any = message
        while isinstance(place, dict | list) and place and chance.random() < 0.7:
            key = chance.choice(
                list(place) if isinstance(place, dict) else range(len(place))
            )
            if chance.random() < 0.5 or not isinstance(place[key], dict | list):
                place[key] = copy.deepcopy(chance.choice(HOSTILE))
                break
            place = place[key]
        if chance.random() < 0.3:
            message[chance.choice(NAMES)] = copy.deepcopy(chance.choice(HOSTILE))
    data = bytearray(json.dumps(message).encode("utf-8", "surrogatepass"))
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randrange(9))
        data[at:end] = chance.choice(
            (b"", data[at:end] * 2, chance.randbytes(3), b"[" * 9)
        )
    return bytes(data)


Heard = Callable[[bytes], str]


class Talk:
    """One conversation of the Session, which must keep its rules through all of it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.begin()

    def begin(self) -> None:
        self.session = Session(LIMITS)
        hello = Hello(version="1", limits=LIMITS, status=Status(phase="ready"))
        assert self.session.send(hello)
        self.left = 500
        self.number = 0

    def hear(self, data: bytes) -> str:
        self.left -= 1
        if not self.left:
            self.begin()
        said = data.decode("utf-8", "surrogateescape")
        if self.chance.random() < 0.8:  # else most ids would have been used before
            self.number += 1
            said = re.sub(r'"id": "\w"', f'"id": "{self.number}"', said, count=1)
        events = self.session.receive(said)
        for event in events:
            if isinstance(event, Failure):
                assert "\n" not in event.message
                self.session.send(event)
        self.answer()
        refused = any(isinstance(event, Failure) for event in events)
        return "refused" if refused else "taken"

    def answer(self) -> None:
        for id in sorted(self.session.open_ids):
            if self.chance.random() < 0.3:
                state = State(id=id, step=1, of=2, holes=[["x", 3]])
                self.session.send(state)
                end = Result(
                    id=id,
                    candidates=[Candidate(holes=["x"], finish="stop")],
                    usage=Usage(),
                )
                assert self.session.send(end) is not None
                assert self.session.send(end) is None, "an id ended twice"
        assert len(self.session.open_ids) <= 2 * LIMITS.max_open + 1


def post(path: str, data: bytes) -> str:
    """A body through its form, to a request, and through the reply's shape."""
    form = next(form for form in FORMS if form.path == path)
    try:
        ask = form.read(data, LIMITS)
        infill = compat.to_infill(ask, "a", room=256, states=ask.stream)
        for complaint in complaints(infill, LIMITS):
            raise complaint
        assert isinstance(infill, Infill) and encode(infill)
    except ProtocolError as refusal:
        assert "\n" not in str(refusal), str(refusal)
        return "refused"
    chosen = tuple(compat.choice("a\nb", "length", ask.stop) for _ in range(ask.n))
    about = compat.About(model="m", id="i", created=1)
    json.dumps(form.whole(ask, compat.Answer(choices=chosen), about))
    return "taken"


def targets(
    chance: random.Random,
) -> list[tuple[str, Heard, list[Any]]]:
    talk = Talk(chance)
    forms: list[tuple[str, Heard, list[Any]]] = [
        (path, lambda data, path=path: post(path, data), [good])  # type: ignore[misc]
        for path, good in BODIES.items()
    ]
    return [("session", talk.hear, WIRE), *forms]


def drawn(examples: int, chance: random.Random) -> list[bytes]:
    """What hypothesis draws: any JSON, with our names in it, and now and then bytes."""
    batch: list[bytes] = []

    @seed(chance.randrange(2**32))
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(anything() | st.binary(max_size=64))
    def draw(value: Any) -> None:
        batch.append(value if isinstance(value, bytes) else json.dumps(value).encode())

    draw()
    return batch


def messages(count: int, chance: random.Random) -> Iterator[tuple[str, Heard, bytes]]:
    """A tenth from hypothesis, in batches; it is slow. The rest mutations."""
    doors = targets(chance)
    while count > 0:
        batch = drawn(min(1000, max(1, count // 10)), chance)[:count]
        for data in batch:
            yield *chance.choice(doors)[:2], data
        mutations = min(9 * len(batch), count - len(batch))
        for _ in range(mutations):
            name, hear, goods = chance.choice(doors)
            yield name, hear, mutated(chance.choice(goods), chance)
        count -= len(batch) + mutations


def fuzz(count: int, number: int, show: int = 5) -> tuple[Counter[str], list[str]]:
    """How they ended, and the crashes and hangs, in words."""
    chance = random.Random(number)
    ends: Counter[str] = Counter()
    faults: list[str] = []
    for name, hear, data in messages(count, chance):
        began = time.process_time()  # a pause of the machine is no hang
        try:
            ends[f"{name} {hear(data)}"] += 1
        except Exception as error:
            ends[f"{name} CRASH"] += 1
            if len(faults) < show:
                faults.append(
                    f"{name}: {type(error).__name__}: {error}: {data[:500]!r}"
                )
        if time.process_time() - began > HANG_S:
            ends[f"{name} HANG"] += 1
            faults.append(f"{name}: over {HANG_S:g} s: {data[:500]!r}")
    return ends, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    began = time.perf_counter()
    ends, faults = fuzz(options.messages, options.seed)
    spent = time.perf_counter() - began
    for name, count in sorted(ends.items()):
        print(f"{count:9d}  {name}")
    total = sum(count for name, count in ends.items() if "HANG" not in name)
    print(f"{total:9d}  messages in {spent:.0f} s, seed {options.seed}")
    print(f"{len(faults):9d}  crashes or hangs")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
