"""Quantities: intervals that cover what they promise, are never empty, and an algebra that means what it says."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.quantity import Counted, Mean, PairedRatio, Ratio, Smallest, Throughout


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


@pytest.mark.parametrize("correct", [0, 3, 50])
def test_runs_that_answer_alike_are_no_further_examples(correct):
    """Eight models that are right on the same of 50 examples say as much of other examples as one of them does."""
    scores = (np.arange(50) < correct).astype(float)[None]
    one, eight = (Mean(scores.repeat(runs, 0), bounds=(0.0, 1.0)).interval(0.025) for runs in (1, 8))
    assert (eight.low, eight.high) == pytest.approx((one.low, one.high))


def test_a_constant_cross_entropy_still_has_a_width():
    found = Mean(np.full((4, 50), 10.825)).interval(0.025)
    assert found.low < 10.825 < found.high


def test_runs_and_examples_both_widen_the_interval():
    """Each by Student's interval for what it varies, and both together by the root of the sum of squares."""
    from scipy import stats

    rng = np.random.default_rng(0)
    examples, luck = rng.standard_normal((1, 200)), rng.standard_normal((8, 1))
    of_examples, of_runs, of_both = (
        Mean(scores).interval(0.025).half_width for scores in (examples.repeat(8, 0), luck.repeat(200, 1), examples + luck)
    )
    expected = [stats.t.ppf(0.975, values.size - 1) * stats.sem(values.ravel()) for values in (examples, luck)]
    assert (of_examples, of_runs) == pytest.approx(expected, rel=1e-5)
    assert of_both == pytest.approx(np.hypot(of_examples, of_runs), rel=1e-5)


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


# -- few runs, few examples -----------------------------------------------------------------------------------------------


def test_one_run_with_examples_of_its_own_says_nothing():
    """Nothing is known of the spread of runs; two already say something."""
    one, two = (Mean(np.array(runs), nested=True).interval(0.025) for runs in ([[0.5]], [[0.5], [0.6]]))
    assert (one.value, one.low, one.high) == (0.5, -math.inf, math.inf)
    assert math.isfinite(two.low)


def test_arms_that_agree_on_few_examples_may_differ_on_others():
    """Of twelve examples: up to 26 %, the exact limit at 95 %. Cross-entropies have no such limit."""
    alike = np.ones((8, 12))
    bounded, free = (PairedRatio(*[Mean(alike, bounds=bounds)] * 2).interval(0.025) for bounds in ((0.0, 1.0), None))
    assert (bounded.low, bounded.high) == pytest.approx((1 - 0.2646, 1 + 0.2646), abs=1e-4)
    assert free.half_width < 1e-5


def test_paired_arms_are_seldom_called_equal_where_one_loses_more():
    """What all runs lose on 5.56 % of examples is beyond a margin of 5 %: found equal in at most 0.625 %, plus three errors."""
    rng = np.random.default_rng(7)
    for examples in (20, 60, 225):
        equal = 0
        for _ in range(300):
            right = (rng.random((1, examples)) >= 1 / 18).astype(float).repeat(8, 0)
            arms = Mean(right, bounds=(0.0, 1.0)), Mean(np.ones((8, examples)), bounds=(0.0, 1.0))
            found = PairedRatio(*arms).interval(0.00625)
            equal += found.low > 0.95 and found.high < 1.05
        assert equal / 300 <= 0.00625 + 3 * (0.00625 / 300) ** 0.5, examples


def test_scores_of_a_narrow_type_do_not_wrap_around():
    few, many = Mean(np.array([[1, 0, 1, 1]], np.uint8)), Mean(np.array([[0, 1, 1, 1]], np.uint8))
    assert (few - many).interval(0.025).value == pytest.approx(0.0)
    assert (-few).interval(0.025).value == pytest.approx(-0.75)


# -- paired ratios --------------------------------------------------------------------------------------------------------


def paired_sets(truth, sets=400, runs=8, examples=60):
    """Simulated tops and bottoms that share the luck of their runs and the ease of their examples."""
    rng = np.random.default_rng(3)
    for _ in range(sets):
        shared = 0.4 * rng.standard_normal((runs, 1)) + 0.5 * rng.standard_normal((1, examples))
        own = rng.standard_normal((2, runs, examples))
        yield Mean(truth * (2 + shared) + 0.5 * own[0]), Mean(2 + shared + 0.5 * own[1])


@pytest.mark.parametrize("truth", [0.8, 1.25])
def test_a_paired_ratio_covers_the_truth_and_is_narrower_than_an_unpaired_one(truth):
    """95 % intervals over 400 sets cover at least 91.7 %: three standard errors below. What both share cancels."""
    covered, narrower = 0, 0
    for top, bottom in paired_sets(truth):
        found = PairedRatio(top, bottom).interval(0.025)
        covered += found.low <= truth <= found.high
        narrower += found.half_width < 0.5 * Ratio(top, bottom).interval(0.025).half_width
    assert covered / 400 >= 0.917
    assert narrower == 400


@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.floats(0.2, 3.0), st.sampled_from([0.001, 0.01, 0.05]))
def test_a_paired_ratio_of_run_means_has_the_limits_of_fieller(rng_seed, runs, truth, alpha):
    """The textbook's formula, written out: both roots of (top - r bottom)^2 = t^2 var(top - r bottom) / runs."""
    from scipy import stats

    rng = np.random.default_rng(rng_seed)
    luck = rng.standard_normal(runs)
    bottom = 10 + luck
    top = truth * bottom + 0.5 * rng.standard_normal(runs)
    (var_top, covariance), (_, var_bottom) = np.cov(top, bottom) / runs * stats.t.ppf(1 - alpha, runs - 1) ** 2
    a, b, c = bottom.mean() ** 2 - var_bottom, top.mean() * bottom.mean() - covariance, top.mean() ** 2 - var_top
    found = PairedRatio(Mean(top[:, None], nested=True), Mean(bottom[:, None], nested=True)).interval(alpha)
    assert found.value == pytest.approx(top.mean() / bottom.mean())
    if a <= 0:
        assert (found.low, found.high) == (-np.inf, np.inf)
    else:
        low, high = ((b + side * np.sqrt(b**2 - a * c)) / a for side in (-1, 1))
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)  # the floor of float32 rounding


def test_a_paired_ratio_over_nothing_is_unlimited():
    """The bottom's interval reaches zero, or the bottom is nothing at all."""
    top = Mean(np.array([[1.0], [2.0], [1.5]]), nested=True)
    unclear = Mean(np.array([[-1.0], [1.0], [0.5]]), nested=True)
    for bottom in (unclear, Mean(np.zeros((3, 1)), nested=True)):
        found = PairedRatio(top, bottom).interval(0.025)
        assert (found.low, found.high) == (-np.inf, np.inf)


def test_a_paired_ratio_of_the_same_scores_is_one_with_hardly_a_width():
    """Everything is shared; float32 rounding is left."""
    scores = Mean(2 + np.random.default_rng(0).standard_normal((6, 50)))
    found = PairedRatio(scores, scores).interval(0.025)
    assert found.low < found.value == 1.0 < found.high
    assert found.half_width < 1e-5


def test_a_deterministic_bottom_is_paired_by_example():
    """Runs over one row of scores: as many runs as the top has, and tokens count by weight."""
    rng = np.random.default_rng(0)
    ease, tokens = 1 + rng.random((1, 40)), rng.integers(5, 60, 40).astype(float)
    bottom = Mean(ease, tokens, random=False)
    found = PairedRatio(Mean(0.5 * ease + 0.01 * rng.standard_normal((5, 40)), tokens), bottom)
    assert found.runs == 5
    assert PairedRatio(bottom, bottom).runs is None
    interval = found.interval(0.025)
    assert interval.low < 0.5 < interval.high
    assert interval.half_width < 0.01
    longer_is_better = PairedRatio(Mean(ease * tokens, tokens, random=False), bottom).interval(0.025)
    assert longer_is_better.value == pytest.approx(
        np.average((ease * tokens)[0], weights=tokens) / np.average(ease[0], weights=tokens)
    )
    assert longer_is_better.low < longer_is_better.value < longer_is_better.high


# -- the smallest of several ----------------------------------------------------------------------------------------------


def test_the_smallest_has_the_smallest_limits():
    """The lower one at the full level, as intersection-union allows; the upper one shares the level among the parts."""
    rng = np.random.default_rng(0)
    parts = tuple(
        Mean(centre + spread * rng.standard_normal((6, 30))) for centre, spread in ((0.5, 1.0), (0.4, 0.1), (0.9, 0.1))
    )
    found = Smallest(parts).interval(0.03)
    each, shared = ([part.interval(alpha) for part in parts] for alpha in (0.03, 0.01))
    assert found.value == min(i.value for i in each)
    assert found.low == min(i.low for i in each)
    assert found.high == min(i.high for i in shared)


def test_the_smallest_has_as_many_runs_as_its_smallest_part():
    few, many = Mean(np.ones((3, 2))), Mean(np.ones((5, 2)))
    assert Smallest((many, few, Counted(1.0))).runs == 3
    assert Smallest((Counted(1.0),)).runs is None


@pytest.mark.parametrize("of", [Ratio, PairedRatio, lambda *parts: Smallest(parts), lambda *parts: Throughout(parts)])
def test_an_interval_is_over_as_many_examples_as_its_smallest_part_has(of):
    """Where each run has examples of its own, it is over runs alone, and a count is over nothing."""
    few, many = Mean(np.ones((3, 20))), Mean(np.ones((3, 50)))
    assert of(many, few).examples == of(few, many).examples == 20
    assert of(replace(few, nested=True), many).examples == 50
    assert (
        Mean(np.ones((3, 20)), nested=True).examples is Counted(1.0).examples is of(Counted(1.0), Counted(2.0)).examples is None
    )


def test_the_smallest_is_seldom_found_above_or_below_where_it_is_not():
    """Three equal parts at 0: in 1,000 sets the 90 % interval lies above 0, or below it, at most in 5 %, plus three errors."""
    rng = np.random.default_rng(4)
    above, below = 0, 0
    for _ in range(1000):
        found = Smallest(tuple(Mean(rng.standard_normal((10, 1)), nested=True) for _ in range(3))).interval(0.05)
        above += found.low > 0
        below += found.high < 0
    assert max(above, below) / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


# -- means of runs --------------------------------------------------------------------------------------------------------


def test_the_mean_of_each_run_counts_tokens():
    scores = np.array([[1.0, 3.0], [0.0, 4.0]])
    assert Mean(scores).per_run().tolist() == [2.0, 2.0]
    assert Mean(scores, np.array([30.0, 10.0])).per_run().tolist() == [1.5, 1.0]


def test_a_figure_under_several_circumstances_takes_in_all_of_their_intervals():
    here, there = (Mean(np.array([[2.0], [3.0], [4.0]]) * factor, nested=True) for factor in (1.0, 0.25))
    found, one, other = Throughout((here, there)).interval(0.05), here.interval(0.05), there.interval(0.05)
    assert (found.value, found.low, found.high) == (one.value, other.low, one.high)
    assert Throughout((here, Counted(9.0))).runs == 3
    assert Throughout((here, Counted(9.0))).interval(0.05).high == 9.0
