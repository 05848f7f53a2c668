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


# -- examples that are drawn together -------------------------------------------------------------------------------------


def clustered_sets(bounded: bool, sets=2000, files=40):
    """Simulated scores of two runs around 0.7 on 1 to 12 examples of each file, with the luck of the file in all of them."""
    rng = np.random.default_rng(4)
    for _ in range(sets):
        of = np.repeat(np.arange(files), rng.integers(1, 13, files))
        luck = rng.choice([-0.3, 0.3], files)[of]
        if bounded:
            yield (rng.random((2, len(of))) < 0.7 + luck).astype(float), of
        else:
            yield 0.7 + luck + 0.2 * rng.standard_normal((2, len(of))), of


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)], ids=["cross-entropy", "accuracy"])
def test_a_mean_over_clusters_covers_the_truth(bounds):
    """90 % intervals of 2,000 sets cover at least 88 %, three standard errors below; of examples one by one at most 70 %."""
    covered = np.zeros(2)
    for scores, of in clustered_sets(bounds is not None):
        means = [Mean(scores, bounds=bounds, random=False, clusters=clusters) for clusters in (of, None)]
        found = [mean.interval(0.05) for mean in means]
        covered += [i.low <= 0.7 <= i.high for i in found]
        assert found[0].value == pytest.approx(found[1].value, abs=1e-12)
    assert covered[0] / 2000 >= 0.88
    assert covered[1] / 2000 <= 0.70


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)], ids=["cross-entropy", "accuracy"])
def test_differences_between_classes_are_no_sampling_error(bounds):
    """Of three classes, 20 in each: 90 % intervals of 1,000 sets cover at least 87.2 %, three standard errors below, and are
    much narrower than those of clusters alone.
    """
    rng = np.random.default_rng(8)
    covered, width = 0, np.zeros(2)
    for _ in range(1000):
        files = np.arange(60).repeat(rng.multinomial(40, np.ones(20) / 20, 3).ravel() + 1)
        label = files // 20
        chance = np.array([0.2, 0.8, 0.9])[label] + rng.choice([-0.1, 0.1], 60)[files]
        scores = (rng.random((1, 180)) < chance).astype(float) if bounds else (chance + 0.1 * rng.standard_normal((1, 180)))
        mean = Mean(scores, bounds=bounds, random=False, clusters=files, strata=label)
        found, loose = mean.interval(0.05), replace(mean, strata=None).interval(0.05)
        covered += found.low <= 1.9 / 3 <= found.high
        width += [found.half_width, loose.half_width]
    assert covered / 1000 >= 0.872
    assert width[0] < 0.7 * width[1]


def test_a_constant_answer_is_right_for_one_class_of_three_whatever_the_files():
    """Its interval is that of as many answers as examples, but for the degrees of freedom; of several runs nothing is left."""
    label = np.arange(3).repeat(50)
    scores = np.stack([(label == run % 3).astype(float) for run in range(6)])
    mean = Mean(scores[:1], bounds=(0.0, 1.0), random=False, clusters=np.arange(150) // 5, strata=label)
    of_examples = replace(mean, clusters=None, strata=None).interval(0.025)
    assert mean.interval(0.025).half_width == pytest.approx(of_examples.half_width, rel=0.05)
    free = replace(mean, scores=scores, bounds=None, random=True).interval(0.025)
    assert (free.low, free.high) == pytest.approx((1 / 3, 1 / 3), abs=2e-6)


def test_a_class_of_one_cluster_or_a_cluster_of_two_classes_makes_no_strata():
    """Then differences between classes widen the interval, as those between clusters do."""
    rng = np.random.default_rng(9)
    scores, of = rng.standard_normal((2, 60)), np.arange(60) // 5
    plain = Mean(scores, clusters=of)
    for strata in (np.arange(60) < 5, np.arange(60) % 2, np.zeros(60)):
        assert replace(plain, strata=strata).interval(0.025) == plain.interval(0.025)
    assert replace(plain, strata=np.arange(60) < 30).interval(0.025) != plain.interval(0.025)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_clusters_of_one_are_examples(bounds, weighted):
    rng = np.random.default_rng(5)
    scores = (rng.random((3, 50)) < 0.8).astype(float)
    plain = Mean(scores, rng.integers(5, 60, 50).astype(float) if weighted else None, bounds)
    found, same = (replace(plain, clusters=of).interval(0.01) for of in (rng.permutation(50), None))
    assert (found.low, found.high) == pytest.approx((same.low, same.high), abs=1e-9)


@pytest.mark.parametrize("correct", [0, 3, 50])
def test_copies_of_examples_are_no_further_examples(correct):
    """Five of each, in clusters of five."""
    scores = (np.arange(50) < correct).astype(float)[None]
    few = Mean(scores, random=False).interval(0.025)
    many = Mean(scores.repeat(5, 1), random=False, clusters=np.arange(50).repeat(5)).interval(0.025)
    assert (many.low, many.high) == pytest.approx((few.low, few.high))


def test_one_cluster_says_nothing_of_others():
    for bounds, ends in ((None, (-math.inf, math.inf)), ((0.0, 1.0), (0.0, 1.0))):
        found = Mean(np.array([[0.0, 1.0, 1.0]]), bounds=bounds, random=False, clusters=np.zeros(3)).interval(0.025)
        assert (found.low, found.high) == pytest.approx(ends, abs=2e-6)


def test_a_difference_and_a_paired_ratio_keep_the_clusters():
    """The luck of a file that both arms have cancels; that of one arm does not."""
    of = np.repeat(np.arange(30), 8)
    rng = np.random.default_rng(6)
    shared, own = (rng.standard_normal((1, 30))[:, of] for _ in range(2))
    top, bottom = Mean(3 + shared + 0.5 * own, random=False, clusters=of), Mean(3 + shared, random=False, clusters=of)
    by_file = Mean((3 + shared + 0.5 * own)[:, ::8] - (3 + shared)[:, ::8], random=False)
    assert (top - bottom).interval(0.025).half_width == pytest.approx(by_file.interval(0.025).half_width)
    assert (-top).clusters is (top - 1.0).clusters is of
    assert PairedRatio(top, bottom).interval(0.025).half_width == pytest.approx(
        PairedRatio(replace(top, clusters=None, scores=top.scores[:, ::8]),
                    replace(bottom, clusters=None, scores=bottom.scores[:, ::8])).interval(0.025).half_width, rel=1e-6
    )  # fmt: skip


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
