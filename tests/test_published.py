"""The decoder against runs recorded from the published loop, and what ours adds to it."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings, choose, denoise, score, step
from dlmd.decode.published import at_quantile
from dlmd.model import Dream, load
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = Path(__file__).parent / "golden"
RECORDS = json.loads((GOLDEN / "traces.json").read_text())
TRACES = {record["name"]: record for record in RECORDS["traces"]}
MASK, PAD = 511, 509

few = settings(max_examples=25, deadline=None)


@cache
def model() -> Dream:
    return load(GOLDEN / "tiny_dream")


def start(record: dict[str, Any]) -> Canvas:
    tokens_BT = torch.tensor(record["initial_state"])
    valid_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
    if record["attention_mask"]:
        given_BT = torch.tensor(record["attention_mask"]).bool()
        valid_BT[:, : given_BT.shape[1]] = given_BT
    padded = None if valid_BT.all() else valid_BT
    return Canvas(tokens_BT, mask_id=MASK, valid_BT=padded)


def how(record: dict[str, Any]) -> DecodeSettings:
    names = ("steps", "temperature", "top_p", "top_k", "alg_temp", "seed")
    return DecodeSettings(
        algorithm=record["alg"],
        eps=record["eps_effective"],
        **{name: record[name] for name in names},
    )


def shifted(canvas: Canvas) -> torch.Tensor:
    with torch.no_grad():
        logits_BTV = model()(canvas.tokens_BT, canvas.valid_BT)
    return torch.cat([logits_BTV[:, :1], logits_BTV[:, :-1]], dim=1)


def masked_row(masks: int, seed: int = 0, prompt: int = 6) -> list[int]:
    """A prompt, `masks` masks with two tokens among them, and an end."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.randint(0, 500, (prompt + 4,), generator=generator).tolist()
    half = masks // 2
    hole = [MASK] * half + known[:2] + [MASK] * (masks - half)
    return known[2 : 2 + prompt] + hole + known[-2:]


def canvas_of(*rows: list[int]) -> Canvas:
    longest = max(map(len, rows))
    tokens_BT = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])
    valid_BT = torch.tensor(
        [[False] * (longest - len(row)) + [True] * len(row) for row in rows]
    )
    padded = None if valid_BT.all() else valid_BT
    return Canvas(tokens_BT, mask_id=MASK, valid_BT=padded)


def ends(canvas: Canvas, how: DecodeSettings) -> list[Canvas]:
    return list(denoise(model(), canvas, how))


def final(canvas: Canvas, how: DecodeSettings) -> torch.Tensor:
    return [canvas, *ends(canvas, how)][-1].tokens_BT


# ---- the published runs ----


@pytest.mark.parametrize("name", TRACES)
def test_step_by_step(name: str) -> None:
    record = TRACES[name]
    canvas = start(record)
    for i, detail in enumerate(record["steps_detail"]):
        given = {}
        if "uniform_draws" in detail:
            given["draws_N"] = torch.tensor(detail["uniform_draws"])
        if "x0_drawn" in detail:
            given["x0_N"] = torch.tensor(detail["x0_drawn"])
        assert canvas.masked_BT.nonzero().tolist() == detail["masked_positions"]
        canvas = step(canvas, shifted(canvas), how(record), i, **given)
        assert canvas.tokens_BT.tolist() == record["history"][i]
        if "confidence" in detail:
            rows, columns = torch.tensor(detail["masked_positions"]).T
            assert canvas.confidence_BT is not None
            difference_N = canvas.confidence_BT[rows, columns]
            difference_N = difference_N - torch.tensor(detail["confidence"])
            assert difference_N.abs().max() < 1e-4


@pytest.mark.parametrize("name", TRACES)
def test_whole_run_with_our_own_draws(name: str) -> None:
    """Sampled runs too: the seed alone gives the recorded tokens."""
    record = TRACES[name]
    history = [c.tokens_BT.tolist() for c in ends(start(record), how(record))]
    assert history == record["history"]


def test_empty_steps_cost_no_forward() -> None:
    record = TRACES["infill/maskgit_plus/steps24"]
    counted = [len(detail["transferred"][0]) for detail in record["steps_detail"]]
    last = ends(start(record), how(record))[-1]
    assert last.forwards == sum(count > 0 for count in counted) < 24


def test_uneven_rows_do_not_lose_their_prompts() -> None:
    """Where the published loop overwrites prompt tokens and leaves masks."""
    record = next(q for q in RECORDS["quirks"] if "uneven" in q["name"])
    canvas = start(record)
    last = ends(canvas, how(record))[-1]
    kept_BT = ~canvas.masked_BT
    assert not last.masked_BT.any()
    assert torch.equal(last.tokens_BT[kept_BT], canvas.tokens_BT[kept_BT])


# ---- rows of a batch ----


@pytest.mark.slow
@few
@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any),
    st.sampled_from(["maskgit_plus", "topk_margin", "entropy"]),
    st.sampled_from(["published", "even"]),
    st.sampled_from([None, 1, 3, 12]),
    st.integers(0, 1000),
)
def test_rows_equal_their_single_runs(
    masks: list[int], algorithm: str, kind: str, steps: int | None, seed: int
) -> None:
    how = DecodeSettings(algorithm=algorithm, schedule=kind, steps=steps)
    rows = [masked_row(n, seed + k, prompt=4 + k) for k, n in enumerate(masks)]
    batch_BT = final(canvas_of(*rows), how)
    for row, tokens in enumerate(rows):
        alone = final(canvas_of(tokens), how)[0].tolist()
        assert batch_BT[row, -len(tokens) :].tolist() == alone


def test_padding_inside_a_row_changes_nothing() -> None:
    row = masked_row(6)
    at = row.index(MASK)
    tokens_BT = torch.tensor([[*row[:at], PAD, PAD, *row[at:]]])
    valid_BT = torch.ones_like(tokens_BT)
    valid_BT[0, at : at + 2] = 0
    padded = Canvas(tokens_BT, mask_id=MASK, valid_BT=valid_BT)
    got = final(padded, DecodeSettings())[0].tolist()
    wanted = final(canvas_of(row), DecodeSettings())[0].tolist()
    assert got[:at] + got[at + 2 :] == wanted


def test_each_row_draws_from_its_own_generator() -> None:
    row = masked_row(8)
    how = DecodeSettings(temperature=1.0, alg_temp=0.5)
    seeds = [5, 9]

    def run(rows: int, drawing: list[int]) -> list[list[int]]:
        generators = [torch.Generator().manual_seed(seed) for seed in drawing]
        canvas = Canvas(torch.tensor([row] * rows), mask_id=MASK)
        return list(denoise(model(), canvas, how, generator=generators))[
            -1
        ].tokens_BT.tolist()

    batch = run(2, seeds)
    assert batch == run(1, seeds[:1]) + run(1, seeds[1:])
    assert batch[0] != batch[1]


# ---- what always holds ----

any_settings = st.builds(
    DecodeSettings,
    algorithm=st.sampled_from(["origin", "maskgit_plus", "topk_margin", "entropy"]),
    steps=st.sampled_from([None, 1, 4, 7, 20]),
    eps=st.sampled_from([1e-3, 1e-12]),
    temperature=st.sampled_from([0.0, 0.01, 0.8, 3.0]),
    top_p=st.sampled_from([None, 0.5, 0.95, 1.0]),
    top_k=st.sampled_from([None, 1, 5, 1000]),
    alg_temp=st.sampled_from([None, 0.0, 1e-4, 1.0]),
    schedule=st.sampled_from(["published", "even"]),
    seed=st.integers(0, 2**63 - 1),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(any_settings, st.lists(st.integers(0, 8), min_size=1, max_size=3))
def test_committed_tokens_stay_and_every_mask_goes(
    how: DecodeSettings, masks: list[int]
) -> None:
    before = canvas_of(*(masked_row(n, k) for k, n in enumerate(masks)))
    states = ends(before, how)
    steps = max(masks) if how.steps is None else how.steps
    even = how.schedule == "even"
    assert len(states) == (min(steps, max(masks)) if even else steps)
    for after in states:
        kept_BT = ~before.masked_BT
        assert torch.equal(after.tokens_BT[kept_BT], before.tokens_BT[kept_BT])
        if even and len(masks) == 1:
            assert after.masked_BT.sum() < before.masked_BT.sum()
        before = after
    assert not before.masked_BT.any()
    again = ends(canvas_of(*(masked_row(n, k) for k, n in enumerate(masks))), how)
    assert [c.tokens_BT.tolist() for c in again] == [
        c.tokens_BT.tolist() for c in states
    ]


def test_without_a_seed_runs_differ() -> None:
    how = DecodeSettings(temperature=3.0)
    canvas = canvas_of(masked_row(8))
    runs = {tuple(ends(canvas, how)[-1].tokens_BT[0].tolist()) for _ in range(4)}
    assert len(runs) > 1


def test_gradient_mode_of_the_caller_is_left_alone() -> None:
    states = denoise(model(), canvas_of(masked_row(4)), DecodeSettings())
    canvas = next(states)
    assert torch.is_grad_enabled() and canvas.confidence_BT is not None
    assert not canvas.confidence_BT.requires_grad


def test_states_do_not_share_memory() -> None:
    canvas = canvas_of(masked_row(4))
    before = canvas.tokens_BT.clone()
    first, *_ = ends(canvas, DecodeSettings())
    assert torch.equal(canvas.tokens_BT, before)
    assert first.masked_BT.sum() == 4  # eps 1e-3 leaves the first step empty


@pytest.mark.parametrize("name", TRACES)
def test_a_state_rebuilt_from_its_tokens_goes_on_alike(name: str) -> None:
    """Nothing but tokens is needed: the published count comes from the masks left."""
    record = TRACES[name]
    states = [record["initial_state"], *record["history"]]
    for i, detail in enumerate(record["steps_detail"]):
        canvas = start(record | {"initial_state": states[i]})
        given = {}
        if "uniform_draws" in detail:
            given["draws_N"] = torch.tensor(detail["uniform_draws"])
        if "x0_drawn" in detail:
            given["x0_N"] = torch.tensor(detail["x0_drawn"], dtype=torch.int32)
        after = step(canvas, shifted(canvas), how(record), i, **given)
        assert after.tokens_BT.tolist() == states[i + 1]


def test_a_run_from_a_state_counts_the_masks_left() -> None:
    every = DecodeSettings(schedule="even")
    third = ends(canvas_of(masked_row(8)), every)[2]
    assert [int(c.masked_BT.sum()) for c in ends(third, every)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("run", ["step", "denoise"])
def test_a_canvas_without_masks_has_confidences_too(run: str) -> None:
    canvas = canvas_of([1, 2, 3])
    if run == "step":
        after = step(canvas, shifted(canvas), DecodeSettings(steps=1), 0)
    else:
        (after,) = ends(canvas, DecodeSettings(steps=1))
    assert torch.equal(after.tokens_BT, canvas.tokens_BT)
    assert after.confidence_BT is not None and after.confidence_BT.sum() == 0


@pytest.mark.parametrize("algorithm", ["origin", "maskgit_plus", "entropy"])
def test_ids_of_any_whole_number_type(algorithm: str) -> None:
    how = DecodeSettings(algorithm=algorithm, steps=3, seed=1)
    wide = canvas_of(masked_row(6))
    narrow = replace(wide, tokens_BT=wide.tokens_BT.int())
    assert torch.equal(final(narrow, how), final(wide, how).int())


# ---- score and choose ----

LOGITS_NV = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 3.0, 9.0]])


def test_confidences_by_hand() -> None:
    probs_NV = LOGITS_NV.softmax(dim=-1)
    entropy_N = (probs_NV * probs_NV.log()).sum(dim=-1)
    assert torch.allclose(
        score(LOGITS_NV, DecodeSettings(), 3)[0], entropy_N, atol=1e-5
    )
    margin = DecodeSettings(algorithm="topk_margin")
    margin_N = torch.stack(
        [probs_NV[0, 0] - probs_NV[0, 1], probs_NV[1, 3] - probs_NV[1, 2]]
    )
    assert torch.allclose(score(LOGITS_NV, margin, 3)[0], margin_N)
    # The mask (3) counts in the distribution, but the chosen token is another.
    best_N = torch.stack([probs_NV[0, 0], probs_NV[1, 2]])
    best = DecodeSettings(algorithm="maskgit_plus")
    assert torch.allclose(score(LOGITS_NV, best, 3)[0], best_N)
    assert torch.allclose(score(LOGITS_NV, best, 3)[1], probs_NV)


def test_temperature_then_top_p_then_top_k() -> None:
    logits_NV = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    settings_ = DecodeSettings(temperature=2.0, top_p=0.7, top_k=None)
    kept = score(logits_NV, settings_, 3)[1][0].nonzero()[:, 0].tolist()
    assert kept == [0, 1]  # 0.455 + 0.276 crosses 0.7; cold, 0.644 + 0.237 does too
    assert score(logits_NV, replace(settings_, top_p=0.4), 3)[1][0, 0] == 1.0
    kept = score(logits_NV, replace(settings_, top_k=1), 3)[1][0].nonzero()[:, 0]
    assert kept.tolist() == [0]


def test_half_precision_is_scored_in_float32() -> None:
    confidence_N, probs_NV = score(LOGITS_NV.bfloat16(), DecodeSettings(), 3)
    assert confidence_N.dtype == probs_NV.dtype == torch.float32


@few
@given(st.integers(0, 3), st.integers(0, 2**32))
def test_the_mask_is_never_chosen(mask_id: int, seed: int) -> None:
    probs_NV = torch.zeros(50, 4)
    probs_NV[:, mask_id] = 1.0
    generator = torch.Generator().manual_seed(seed)
    assert (choose(probs_NV, mask_id, generator) != mask_id).all()
    assert (choose(probs_NV, mask_id) != mask_id).all()


@pytest.mark.parametrize("how", [DecodeSettings(), DecodeSettings(top_k=1)])
def test_a_mask_that_wins_gives_way_to_the_next(how: DecodeSettings) -> None:
    canvas = Canvas(torch.tensor([[0, 3, 3]]), mask_id=3)
    logits_BTV = torch.tensor(
        [[[0.0] * 4, [1.0, 5.0, 2.0, 90.0], [7.0, 1.0, 0.0, 90.0]]]
    )
    done = step(canvas, logits_BTV, replace(how, steps=1), 0)
    assert done.tokens_BT.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("mask_id", [-1, 4, 511])
def test_a_mask_without_a_logit_bars_nothing(mask_id: int) -> None:
    how = DecodeSettings(algorithm="maskgit_plus")
    confidence_N, probs_NV = score(LOGITS_NV, how, mask_id)
    assert torch.equal(confidence_N, probs_NV.amax(dim=-1))
    assert choose(probs_NV, mask_id).tolist() == [0, 3]
    canvas = Canvas(torch.full((1, 3), mask_id), mask_id=mask_id)
    after = step(canvas, LOGITS_NV[[0, 0, 1]][None], DecodeSettings(steps=1), 0)
    assert after.tokens_BT.tolist() == [[0, 0, 3]]
    draws = torch.Generator().manual_seed(0)
    often_NV = probs_NV[1:].expand(200, -1)
    assert choose(often_NV, mask_id, draws).mode().values == 3


def test_draws_follow_the_distribution() -> None:
    probs_NV = torch.tensor([[0.5, 0.3, 0.0, 0.2]]).expand(20000, 4)
    generator = torch.Generator().manual_seed(0)
    drawn_N = choose(probs_NV, 3, generator)
    shares = drawn_N.bincount(minlength=4) / len(drawn_N)
    assert torch.allclose(shares, torch.tensor([0.625, 0.375, 0, 0]), atol=0.02)


def test_quantiles_of_a_distribution() -> None:
    """How one uniform number becomes a token where the CPU's own draw is out of reach."""
    probs_NV = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).expand(4, 5)
    uniform_N = torch.tensor([0.0, 0.49, 0.51, 1 - 2**-24])
    assert at_quantile(probs_NV, uniform_N).tolist() == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"algorithm": "random"}, "algorithm is 'random'; give origin or maskgit_plus"),
        ({"schedule": "odd"}, "schedule is 'odd'; give published or even"),
        ({"steps": 0}, "steps is 0; give at least 1"),
        ({"eps": 0.0}, "eps is 0.0; give between 0 and 1"),
        ({"temperature": -1.0}, "temperature is -1.0; give at least 0"),
        ({"temperature": float("nan")}, "temperature is nan; give at least 0"),
        ({"top_p": 0.0}, "top_p is 0.0; give above 0, up to 1"),
        ({"top_k": 0}, "top_k is 0; give at least 1"),
        ({"alg_temp": -0.1}, "alg_temp is -0.1; give at least 0"),
        ({"seed": -1}, "seed is -1; give 0 to"),
    ],
)
def test_settings_out_of_bounds(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        DecodeSettings(**wrong)
    assert str(caught.value).startswith(said)
