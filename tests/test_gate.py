"""The verdict on a tuned model: known cases, and how often it errs on drawn ones."""

from typing import Any

import numpy as np
import pytest
from dlmd_finetune.evidence import gate
from dlmd_finetune.evidence.gate import Caught, Verdict, decide, verdict
from dlmd_finetune.evidence.statistics import Interval

SAMPLES = 10


def drawn(
    rng: np.random.Generator, rates: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> list[float]:
    shares: list[float] = (rng.binomial(SAMPLES, rates) / SAMPLES).tolist()
    return shares


def repository(
    rng: np.random.Generator, files: int, each: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], list[int]]:
    """True pass rates of tasks: most hard, some easy, alike within a file."""
    centre = np.repeat(rng.beta(0.6, 1.6, size=files), each)
    rates = np.clip(centre + rng.normal(0, 0.15, size=files * each), 0, 1)
    return rates, [n // each for n in range(files * each)]


def test_everything_better_and_nothing_changed() -> None:
    clusters = list(range(40))
    up = verdict([0.2] * 40, [0.5] * 40, clusters, seed=0)
    assert up.word == "better" and up.p < 0.001
    assert up.difference.value == pytest.approx(0.3)
    same = verdict([0.2] * 40, [0.2] * 40, clusters, seed=0)
    assert same.word == "not better" and same.difference.value == 0
    assert verdict([0.5] * 40, [0.2] * 40, clusters, seed=0).word == "not better"


def test_few_tasks_are_not_enough_however_clear() -> None:
    found = verdict([0.0] * 19, [1.0] * 19, list(range(19)), seed=0)
    assert found.word == "not enough evidence"
    assert verdict([], [], [], seed=0).word == "not enough evidence"


def test_forty_tasks_of_one_file_are_one_witness() -> None:
    found = verdict([0.0] * 40, [1.0] * 40, ["one"] * 40, seed=0)
    assert found.word == "not enough evidence" and found.clusters == 1


@pytest.mark.parametrize(("looks", "least"), [(1, 6), (2, 7), (7, 9)])
def test_so_few_files_that_chance_is_never_ruled_out_are_no_evidence(
    looks: int, least: int
) -> None:
    def of(files: int) -> Verdict:
        clusters = [n % files for n in range(40)]
        return verdict([0.0] * 40, [1.0] * 40, clusters, seed=0, looks=looks)

    assert of(least).word == "better"
    few = of(least - 1)
    assert few.word == "not enough evidence" and few.p >= few.level
    said = f"in {least - 1} files, and whatever is gained in fewer than {least} can be"
    (told,) = decide(few).reasons
    assert said in told and "fewer than 20 tasks" not in told


def test_every_look_at_the_same_tasks_costs() -> None:
    rng = np.random.default_rng(4)
    before = rng.uniform(0, 0.5, 40)
    after = before + rng.normal(0.08, 0.22, 40)
    clusters = list(range(40))
    words = [
        verdict(before.tolist(), after.tolist(), clusters, seed=0, looks=n).word
        for n in (1, 50)
    ]
    assert words == ["better", "not better"]


def test_lists_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="2 scores before, 1 after and 2 clusters"):
        verdict([0.1, 0.2], [0.1], [0, 1], seed=0)
    with pytest.raises(ValueError, match="looks is 0"):
        verdict([0.1], [0.1], [0], seed=0, looks=0)


@pytest.mark.slow
def test_how_often_it_errs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "DRAWS", 2_000)
    monkeypatch.setattr("dlmd_finetune.evidence.statistics.DRAWS", 2_000)
    rng = np.random.default_rng(7)
    wrong = right = 0
    for seed in range(300):  # nothing changed
        rates, clusters = repository(rng, files=20, each=2)
        found = verdict(drawn(rng, rates), drawn(rng, rates), clusters, seed=seed)
        wrong += found.word == "better"
    for seed in range(60):  # twenty points better
        rates, clusters = repository(rng, files=20, each=2)
        rates = rates * 0.75
        better = np.clip(rates + 0.2, 0, 1)
        found = verdict(drawn(rng, rates), drawn(rng, better), clusters, seed=seed)
        right += found.word == "better"
    # 2.5 % of 300 is 7.5; more than 16 comes once in three hundred times by chance.
    assert wrong <= 16
    assert right >= 54


# ---- what follows from it


def gained() -> Verdict:
    found = verdict([0.0] * 30, [1.0] * 30, range(30), seed=0)
    assert found.word == "better"
    return found


FLAT = Interval(value=0.0, low=-0.01, high=0.01)


def test_better_here_and_no_worse_elsewhere_is_better() -> None:
    decision = decide(gained(), nats=FLAT, passes=FLAT, caught=Caught(audit=0.01))
    assert decision.word == "better"
    assert "changed by +100.0 points" in decision.reasons[0]


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        (
            {"nats": Interval(value=0.0, low=-0.05, high=0.1)},
            "less likely by 0.050 nats",
        ),
        ({"passes": Interval(value=0.0, low=-0.11, high=0.1)}, "right 11 points less"),
        ({"caught": Caught(audit=0.03)}, "3.0 % of the last rollouts failed"),
        (
            {"caught": Caught(rules=0.05, rules_at_first=0.02)},
            "5.0 % of the last rollouts broke",
        ),
    ],
)
def test_what_is_lost_elsewhere_outweighs_what_is_gained(
    worse: dict[str, Any], said: str
) -> None:
    decision = decide(gained(), **worse)
    assert decision.word == "not better" and said in decision.reasons[0]


def test_rules_that_the_bare_model_broke_as_often_are_no_hack() -> None:
    caught = Caught(rules=0.2, rules_at_first=0.19)
    assert decide(gained(), caught=caught).word == "better"


def test_too_few_tasks_stay_no_evidence_whatever_else_is_seen() -> None:
    few = verdict([0.0] * 5, [1.0] * 5, range(5), seed=0)
    assert decide(few, caught=Caught(audit=0.5)).word == "not enough evidence"
    none = verdict([], [], [], seed=0)
    assert decide(none).reasons == ("there are no held-out tasks to compare on",)
