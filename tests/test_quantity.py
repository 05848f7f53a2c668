"""Quantities: intervals that cover what they promise, are never empty, and an algebra that means what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.quantity import Counted, Mean, Ratio


def test_none_of_a_thousand_is_not_exactly_zero():
    """0 of 1,000 at 95 % is [0, 0.368 %], the exact binomial limit."""
    from scipy import stats

    found = Mean(np.zeros((1, 1000)), bounds=(0.0, 1.0), random=False).interval(0.025)
    assert found.low == pytest.approx(0.0, abs=2e-6)  # the floor of float32 rounding
    assert found.high == pytest.approx(stats.binomtest(0, 1000).proportion_ci(method="exact").high, abs=2e-6)


@pytest.mark.parametrize("correct", [1, 37, 500, 999, 1000])
def test_one_run_of_zeros_and_ones_has_the_exact_binomial_interval(correct):
    from scipy import stats

    scores = np.zeros((1, 1000))
    scores[0, :correct] = 1
    found = Mean(scores, bounds=(0.0, 1.0), random=False).interval(0.025)
    exact = stats.binomtest(correct, 1000).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=2e-3)  # n/(n-1) in the sample variance


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4), min_size=1, max_size=6), st.booleans())
def test_no_interval_has_width_zero_and_each_holds_its_value(rows, bounded):
    found = Mean(np.array(rows), bounds=(0.0, 1.0) if bounded else None).interval(0.025)
    assert found.low < found.value < found.high


def test_a_constant_cross_entropy_still_has_a_width():
    found = Mean(np.full((4, 50), 10.825)).interval(0.025)
    assert found.low < 10.825 < found.high


def test_runs_and_examples_both_widen_the_interval():
    rng = np.random.default_rng(0)
    examples, luck = rng.standard_normal((1, 200)), rng.standard_normal((8, 1))
    of_examples, of_runs, of_both = (
        Mean(scores).interval(0.025).half_width for scores in (examples.repeat(8, 0), luck.repeat(200, 1), examples + luck)
    )
    assert of_both == pytest.approx(np.hypot(of_examples, of_runs), rel=1e-5)
    assert min(of_examples, of_runs) > 0


def test_nested_examples_count_through_the_means_of_runs():
    from scipy import stats

    scores = np.arange(12.0).reshape(4, 3)
    low, high = stats.t.interval(0.95, 3, scores.mean(), stats.sem(scores.mean(1)))
    found = Mean(scores, nested=True).interval(0.025)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-5)


def test_weights_count_tokens_not_examples():
    scores, tokens = np.array([[1.0, 3.0]]), np.array([30.0, 10.0])
    assert Mean(scores, tokens, random=False).interval(0.025).value == pytest.approx(1.5)


def test_paired_scores_cancel_what_examples_share():
    rng = np.random.default_rng(0)
    hard = 5 * rng.standard_normal((1, 300))
    a, b = Mean(hard + rng.standard_normal((6, 300))), Mean(hard + rng.standard_normal((6, 300)))
    assert (a - b).interval(0.025).half_width < 0.2 * a.interval(0.025).half_width


def test_a_negated_mean_mirrors_its_interval():
    mean = Mean(np.array([[0.0, 1.0, 1.0]]), bounds=(0.0, 1.0))
    found, mirrored = mean.interval(0.01), (-mean).interval(0.01)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_a_ratio_over_nothing_is_unlimited():
    bottom = Mean(np.array([[-1.0, 1.0, 0.5]]), random=False)
    found = (Counted(1.0) / bottom).interval(0.025)
    assert (found.low, found.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("truth", [-0.5, 0.0, 0.05, 0.9])
def test_a_ratio_covers_the_truth_as_often_as_promised(truth):
    """95 % intervals of top / bottom over 2,000 simulated sets cover at least 93.5 %: three standard errors below."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        top = Mean(truth * 2.0 + rng.standard_normal((1, 60)), random=False)
        bottom = Mean(2.0 + rng.standard_normal((1, 60)), random=False)
        found = Ratio(top, bottom).interval(0.025)
        covered += found.low <= truth <= found.high
    assert covered / 2000 >= 0.935


@pytest.mark.parametrize("shares", [(0.0, 0.02), (0.03, 0.0), (0.02, 0.1)])
def test_a_mean_over_runs_and_examples_covers_the_truth(shares):
    """Two crossed sources of spread: 90 % intervals cover at least 88 % of 2,000 sets."""
    of_runs, of_examples = shares
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(2000):
        scores = 0.5 + of_runs * rng.standard_normal((8, 1)) + of_examples * rng.standard_normal((1, 80))
        found = Mean(scores + 0.1 * rng.standard_normal((8, 80))).interval(0.05)
        covered += found.low <= 0.5 <= found.high
    assert covered / 2000 >= 0.88
