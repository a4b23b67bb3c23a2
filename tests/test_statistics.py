"""Scores and their intervals: against enumeration, known data and its true coverage."""

import itertools

import numpy as np
import pytest
from dlmd_finetune.evidence.statistics import (
    mean_interval,
    paired_difference,
    pass_at_k,
    rate_interval,
)


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_draws_with_a_correct_answer(n: int) -> None:
    for correct, k in itertools.product(range(n + 1), range(1, n + 1)):
        answers = [True] * correct + [False] * (n - correct)
        draws = list(itertools.combinations(answers, k))
        share = sum(any(draw) for draw in draws) / len(draws)
        assert pass_at_k(n, correct, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_of_many_samples_is_finite() -> None:
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    assert pass_at_k(10_000, 0, 100) == 0
    assert pass_at_k(10_000, 9_950, 100) == 1


@pytest.mark.parametrize("n, correct, k", [(5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6)])
def test_pass_at_k_of_impossible_counts_is_refused(
    n: int, correct: int, k: int
) -> None:
    with pytest.raises(ValueError, match=f"n={n}, correct={correct}, k={k}"):
        pass_at_k(n, correct, k)


def test_the_mean_is_over_tasks_not_over_clusters() -> None:
    values, clusters = [1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"]
    assert mean_interval(values, clusters, seed=0).value == 0.25


def test_the_order_of_tasks_and_names_of_clusters_do_not_matter() -> None:
    values, clusters = [1.0, 0.0, 1.0, 0.0, 0.0], [1, 1, 2, 3, 3]
    once = mean_interval(values, clusters, seed=1)
    assert mean_interval(values, list("xxyzz"), seed=1) == once
    assert mean_interval(values, clusters, seed=2).value == once.value


def test_two_clusters_give_the_interval_that_can_be_counted() -> None:
    # Draws are aa, ab, ba, bb: means 0, 1/2, 1/2, 1, so the outer quarters are reached.
    found = mean_interval([0.0, 0.0, 1.0, 1.0], list("aabb"), seed=0)
    assert (found.low, found.value, found.high) == (0.0, 0.5, 1.0)


def test_copies_within_a_cluster_do_not_narrow_the_interval() -> None:
    hits = [i % 2 == 0 for i in range(30)]
    single = rate_interval(hits, range(30), seed=0)
    tenfold = rate_interval(hits * 10, list(range(30)) * 10, seed=0)
    assert tenfold == single
    as_if_independent = rate_interval(hits * 10, range(300), seed=0)
    wide, narrow = (i.high - i.low for i in (tenfold, as_if_independent))
    assert wide > 2.5 * narrow


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    generator = np.random.default_rng(7)
    trials, problems, size = 100, 40, 6
    truth, covered = 0.3, 0
    for trial in range(trials):
        # Each problem is easy or hard as a whole: strong dependence inside clusters.
        ease = generator.choice([0.05, 0.55], size=problems)
        hits = (generator.random((problems, size)) < ease[:, None]).ravel().tolist()
        clusters = np.repeat(np.arange(problems), size).tolist()
        found = rate_interval(hits, clusters, seed=trial)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / trials <= 0.99


@pytest.mark.parametrize("answer", [True, False])
def test_agreement_of_all_tasks_is_not_certainty(answer: bool) -> None:
    # 1 - 0.025 ** (1 / 100), the exact binomial bound.
    found = rate_interval([answer] * 500, [i // 5 for i in range(500)], seed=0)
    distance = found.high if not answer else 1 - found.low
    assert found.value == float(answer)
    assert distance == pytest.approx(0.03622, abs=1e-5)


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    clusters = range(100)
    theirs = [i < 50 for i in range(100)]
    ours = [i < 58 for i in range(100)]
    apart = [rate_interval(hits, clusters, seed=0) for hits in (theirs, ours)]
    assert apart[0].high > apart[1].low
    paired = paired_difference(ours, theirs, clusters, seed=0)
    assert paired.value == pytest.approx(0.08) and paired.low > 0


def test_equal_answers_differ_by_nothing() -> None:
    hits = [True, False, True]
    found = paired_difference(hits, hits, range(3), seed=0)
    assert (found.low, found.value, found.high) == (0, 0, 0)
