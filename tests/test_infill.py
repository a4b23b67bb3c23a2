"""From a document with holes to frames and texts, on a tiny real model."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import (
    Frame,
    Hole,
    InfillSettings,
    Part,
    Tokenizer,
    infill,
    splice,
)
from dlmd.model import Dream, load
from dlmd.profiles import Profile, for_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.tiny import tiny_model_folder

HARD_TEXTS = [
    "",
    "def f(x):\r\n\treturn ",
    "e\u0301 \u1100\u1161 decomposed",
    "\U0001f469\u200d\U0001f4bb",
    "no final newline",
    "<|mask|><|pad|><|eos|>",
]
LONG = "".join(f"line {n}\r\n" for n in range(600))
documents = st.lists(
    st.sampled_from(HARD_TEXTS)
    | st.builds(Hole, length=st.integers(1, 4))
    | st.builds(
        Hole, max_tokens=st.integers(1, 5), initial=st.sampled_from([None, "é"])
    ),
    min_size=1,
    max_size=5,
).filter(lambda parts: any(isinstance(part, Hole) for part in parts))
long_documents = documents.map(lambda parts: [LONG, *parts, LONG])
choices = st.builds(
    InfillSettings,
    mode=st.sampled_from(["exact", "quality", "fast"]),
    steps=st.sampled_from([None, 1, 3, 50]),
    temperature=st.sampled_from([0.0, 1.0]),
    top_p=st.sampled_from([None, 0.9]),
    seed=st.integers(0, 2**63 - 1),
    n=st.integers(1, 3),
)


class Setup:
    """A loaded tiny model; calling it infills."""

    def __init__(self, folder: Path) -> None:
        self.model: Dream = load(folder)
        self.tokenizer = Tokenizer.load(folder)
        self.profile: Profile = for_folder(folder)

    def __call__(self, parts: list[Part], **settings: Any) -> list[Frame]:
        how = InfillSettings(**{"seed": 0} | settings)
        return list(infill(self.model, self.tokenizer, self.profile, parts, how))

    def fixed(self) -> "Setup":
        """The same model, whose holes are as long as asked for."""
        other = object.__new__(Setup)
        other.model, other.tokenizer = self.model, self.tokenizer
        other.profile = replace(self.profile, length_policy="fixed")
        return other


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return Setup(tiny_model_folder(tmp_path_factory.mktemp("a model")))


def texts(frames: list[Frame]) -> list[list[str]]:
    return [frame.texts for frame in frames if frame.texts is not None]


# ---- what always holds ----


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(documents | long_documents, choices)
def test_any_document_any_settings(
    tiny: Setup, parts: list[Part], how: InfillSettings
) -> None:
    def run() -> list[Frame]:
        return list(infill(tiny.model, tiny.tokenizer, tiny.profile, parts, how))

    frames = run()
    assert frames == run()  # a seed gives the same result
    holes = [part for part in parts if isinstance(part, Hole)]
    for candidate in range(how.n):
        own = [frame for frame in frames if frame.candidate == candidate]
        assert [f.texts is not None for f in own] == [False] * (len(own) - 1) + [True]
        last = own[-1]
        assert last.step == last.of and last.finish in ("stop", "length")
        assert last.texts is not None and all(
            t.encode("utf-8") or not t for t in last.texts
        )
        for hole, text in zip(holes, last.texts, strict=True):
            assert text.startswith(hole.initial or "")
        check_frames(own, len(holes))
        document = splice(parts, last.texts)
        for part in parts:
            assert isinstance(part, Hole) or part in document


def check_frames(own: list[Frame], holes: int) -> None:
    """Pieces and numbers belong together; what is shown stays and only grows."""
    for frame in own:
        assert len(frame.holes) == len(frame.confidence) == holes
        for pieces, numbers in zip(frame.holes, frame.confidence, strict=True):
            assert len(pieces) == len(numbers)
            assert all(0.0 <= number <= 1.0 for number in numbers)
            assert all(piece for piece in pieces)
    for before, after in pairwise(own):
        assert after.step == before.step + 1 and after.of <= before.of
        assert masks(after) <= masks(before)
        if after.texts is None:
            assert len(shown(after)) >= len(shown(before))


def masks(frame: Frame) -> int:
    return sum(p for pieces in frame.holes for p in pieces if isinstance(p, int))


def shown(frame: Frame) -> str:
    return "".join(p for pieces in frame.holes for p in pieces if isinstance(p, str))


# ---- steps ----


@pytest.mark.parametrize(
    ("choice", "steps"),
    [
        ({}, 8),
        ({"steps": 3}, 3),
        ({"steps": 100}, 8),
        ({"tokens_per_step": 2}, 4),
        ({"tokens_per_step": 2.5}, 4),
        ({"tokens_per_step": 100}, 1),
        ({"tokens_per_step": 0.5}, 8),
    ],
)
def test_one_frame_after_each_step(
    tiny: Setup, choice: dict[str, Any], steps: int
) -> None:
    frames = tiny(["def f(x):\n", Hole(length=8), "\n"], **choice)
    assert [frame.step for frame in frames] == list(range(1, steps + 1))
    assert {frame.of for frame in frames} == {steps}
    assert [frame.forwards for frame in frames] == list(range(1, steps + 1))
    assert masks(frames[0]) == 8 - 8 // steps


def test_frames_come_while_the_model_works(tiny: Setup) -> None:
    """Nothing runs ahead of its reader: a caller can stop between any two steps."""
    states = infill(
        tiny.model, tiny.tokenizer, tiny.profile, [Hole(length=8)], InfillSettings()
    )
    assert next(states).forwards == 1
    assert next(states).forwards == 2


def test_own_length_only_shrinks_and_every_frame_costs_one_forward(tiny: Setup) -> None:
    frames = tiny(["x = ", Hole(max_tokens=48), "\n"])  # too long to be tried
    assert [frame.forwards for frame in frames] == list(range(1, len(frames) + 1))
    left = [masks(frame) for frame in frames]
    assert left == sorted(set(left), reverse=True) and left[-1] == 0
    assert [frame.texts is not None for frame in frames] == [n == 0 for n in left]
    assert [frame.of - frame.step for frame in frames] == left


def test_nothing_to_fill_is_final_at_once(tiny: Setup) -> None:
    (frame,) = tiny(["a", Hole(length=1, initial="given text"), "b"])
    assert frame.texts == ["given text"] and frame.forwards == 0
    assert frame.holes == [["given text"]]


# ---- candidates ----


def test_candidates_have_seeds_of_their_own(tiny: Setup) -> None:
    parts: list[Part] = ["def f(x):\n    ", Hole(length=6), "\n"]
    together = texts(tiny(parts, n=3, seed=7, temperature=1.0))
    alone = [texts(tiny(parts, seed=7 + c, temperature=1.0))[0] for c in range(3)]
    assert together == alone
    assert len({text for (text,) in together}) > 1


def test_cold_candidates_agree(tiny: Setup) -> None:
    one, two = texts(tiny(["x", Hole(length=4)], n=2))
    assert one == two


# ---- endings ----


class Says:
    """A network that answers with the same token everywhere."""

    def __init__(self, token: int, like: Dream) -> None:
        self.token, self.like = token, like
        self.config = like.config

    def new_cache(self, **room: Any) -> Any:
        return self.like.new_cache(**room)

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        return self.like.parameters()

    def __call__(
        self, tokens_BT: torch.Tensor, *_: Any, rows_N: torch.Tensor, **how: Any
    ) -> torch.Tensor:
        logits_NV = torch.zeros(len(rows_N), self.config.vocab_size)
        logits_NV[:, self.token] = 9.0
        return logits_NV


def answer(tiny: Setup, token: int, parts: list[Part], profile: Profile) -> Frame:
    model: Any = Says(token, tiny.model)
    *_, last = infill(model, tiny.tokenizer, profile, parts, InfillSettings())
    return last


def test_surplus_is_removed_and_ends_the_hole(tiny: Setup) -> None:
    pad = tiny.profile.pad_ids[0]
    for hole in (Hole(length=3), Hole(max_tokens=3)):
        last = answer(tiny, pad, ["a", hole, "b"], tiny.profile)
        assert (last.texts, last.finish, last.holes) == ([""], "stop", [[]])


def test_an_end_of_text_ends_the_hole(tiny: Setup) -> None:
    assert tiny.profile.eos_id is not None
    last = answer(tiny, tiny.profile.eos_id, [Hole(length=2)], tiny.profile)
    assert (last.texts, last.finish) == ([""], "stop")


def test_a_full_hole_ends_by_its_length(tiny: Setup) -> None:
    (x,) = tiny.tokenizer.encode("x")
    last = answer(tiny, x, ["a", Hole(max_tokens=3), "b", Hole(length=1)], tiny.profile)
    assert (last.texts, last.finish) == (["xxx", "x"], "length")


def test_a_character_that_stays_broken_is_left_out(tiny: Setup) -> None:
    first, _ = tiny.tokenizer.encode("é")
    last = answer(tiny, first, [Hole(length=3)], tiny.profile)
    assert last.texts == [""] and last.holes == [[]]


def test_other_policies_fill_all_they_were_given(tiny: Setup) -> None:
    frames = tiny.fixed()(["x = ", Hole(max_tokens=5)])
    assert frames[0].step == 1 and frames[0].of == 5


# ---- refusals ----


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mode": "turbo"}, "mode is 'turbo'; give exact or quality or fast"),
        ({"n": 0}, "n is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2, "tokens_per_step": 2}, "give one of the two"),
        ({"tokens_per_step": 0}, "tokens_per_step is 0"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"top_p": 2.0}, "top_p is 2.0"),
        ({"seed": -3}, "seed is -3"),
    ],
)
def test_settings_out_of_bounds(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        InfillSettings(**wrong)


def test_a_bad_request_shows_at_the_call(tiny: Setup) -> None:
    with pytest.raises(ValueError, match="no hole"):
        infill(tiny.model, tiny.tokenizer, tiny.profile, ["text"], InfillSettings())


def test_quality_looks_again_at_near_ties_or_where_it_draws_by_tokens() -> None:
    sure = InfillSettings(mode="quality").decoding(masks=32)
    drawn = InfillSettings(mode="quality", temperature=0.5).decoding(masks=32)
    assert (sure.doubt, sure.refresh_share) == (0.05, None)
    assert (drawn.doubt, drawn.refresh_share) == (None, 0.25)
    assert sure.reach == drawn.reach == 32
