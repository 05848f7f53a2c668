"""Catching up: first looks at a target, runs that never get there, and what a head start is worth in samples.

subject -> ... -> finetune -> [catchup] -> quantity -> verdict
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seeds.catchup import effective_samples, share_censored, staying, steps_to

LOOKS = (0, 1, 5, 10, 30)
SIZES = (10, 25, 50, 99)


@pytest.mark.parametrize(
    ("quality", "steps"),
    [
        ([0.1, 0.2, 0.5, 0.6, 0.7], 5),  # exactly at the target is there
        ([0.1, 0.2, 0.4, 0.6, 0.7], 10),
        ([0.1, 0.6, 0.4, 0.4, 0.4], 1),  # once there, always counted
        ([0.5, 0.6, 0.7, 0.8, 0.9], 1),  # there at step 0: one step, so that ratios stay finite
        ([0.1, 0.2, 0.3, 0.3, 0.4], 30),  # never: the last look
        ([0.1, 0.2, 0.3, 0.3, 0.5], 30),
        ([-np.inf] * 5, 30),
    ],
)
def test_steps_are_counted_to_the_first_look_at_the_target(quality, steps):
    assert steps_to(np.array([quality]), LOOKS, 0.5).tolist() == [steps]


def test_a_run_is_there_when_it_stays():
    """From the start; after falling back once; only at the end; touched and lost; never."""
    quality = np.array(
        [
            [0.5, 0.6, 0.7, 0.8, 0.9],
            [0.1, 0.6, 0.4, 0.5, 0.7],
            [0.1, 0.2, 0.3, 0.3, 0.5],
            [0.1, 0.6, 0.7, 0.8, 0.4],
            [-np.inf] * 5,
        ]
    )
    assert staying(quality, LOOKS, 0.5).tolist() == [0, 10, 30, np.inf, np.inf]


curves = arrays(float, (4, len(LOOKS)), elements=st.floats(0, 1))


@given(curves, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_target_never_takes_fewer_steps(quality, one, other):
    low, high = sorted((one, other))
    assert (steps_to(quality, LOOKS, low) <= steps_to(quality, LOOKS, high)).all()
    assert share_censored(quality, low) <= share_censored(quality, high)


@given(curves, st.floats(0, 1))
def test_runs_are_counted_one_by_one(quality, target):
    together = steps_to(quality, LOOKS, target)
    assert together.tolist() == [steps_to(run[None], LOOKS, target).item() for run in quality]


def test_the_share_of_runs_that_never_get_there():
    quality = np.array([[0.1, 0.2], [0.1, 0.5], [0.9, 0.2], [0.4, 0.4]])
    assert share_censored(quality, 0.5) == 0.5
    assert share_censored(quality, 0.0) == 0.0
    assert share_censored(quality, 1.0) == 1.0


def as_good_as(quality: float, fresh: tuple[float, ...]):
    """Eight runs without any spread."""
    return effective_samples(np.full(8, quality), np.tile(fresh, (8, 1)), SIZES)


RISING = (0.4, 0.6, 0.7, 0.8)


@pytest.mark.parametrize(
    ("quality", "fresh", "samples"),
    [
        (0.4, RISING, 10),
        (0.6, RISING, 25),
        (0.8, RISING, 99),
        (0.5, RISING, math.sqrt(10 * 25)),  # half way between two sizes: half way in the logarithm
        (0.775, RISING, math.exp(0.25 * math.log(50) + 0.75 * math.log(99))),
        (0.3, RISING, 10),  # fresh with the fewest is ahead already
        (0.81, RISING, math.inf),  # fresh with the most is still behind
        (0.65, (0.4, 0.6, 0.5, 0.8), math.exp(0.75 * math.log(50) + 0.25 * math.log(99))),  # a dip counts as a plateau
        (0.6, (0.4, 0.6, 0.6, 0.8), 25),  # the fewest samples that are enough
        (1.0, (0.9, 1.0, 1.0, 1.0), 25),  # at the ceiling, too
    ],
)
def test_effective_samples_are_exact_on_curves_without_spread(quality, fresh, samples):
    found = as_good_as(quality, fresh)
    assert (found.low, found.value, found.high) == pytest.approx((samples,) * 3)


@settings(max_examples=20)  # each resamples 4,000 times
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_better_arm_is_worth_no_fewer_samples(one, other):
    low, high = sorted((one, other))
    assert as_good_as(low, RISING).value <= as_good_as(high, RISING).value * (1 + 1e-12)


def test_effective_samples_have_an_interval_that_covers_the_truth():
    """95 % over 100 simulated sets of 16 paired runs: at least 86 %, three deviations and the bootstrap's haste below."""
    rng = np.random.default_rng(0)
    truth = math.exp(0.5 * math.log(25) + 0.5 * math.log(50))
    covered = 0
    for _ in range(100):
        luck = 0.03 * rng.standard_normal((16, 1))
        fresh = np.array(RISING) + luck + 0.02 * rng.standard_normal((16, 4))
        found = effective_samples((0.65 + luck[:, 0]) + 0.02 * rng.standard_normal(16), fresh, SIZES)
        assert found.low <= found.value <= found.high
        covered += found.low <= truth <= found.high
    assert covered / 100 >= 0.86


def test_pairs_are_resampled_together():
    """What a run's samples do to both arms alike leaves the interval empty."""
    luck = 0.1 * np.random.default_rng(0).standard_normal(12)
    found = effective_samples(0.65 + luck, np.array(RISING) + luck[:, None], SIZES)
    assert found.high - found.low < 1e-9 * found.value


def test_an_interval_may_reach_infinity():
    """Some resampled sets are caught and some are not: the upper limit is none, the lower one a number."""
    rng = np.random.default_rng(0)
    quality = 0.8 + 0.05 * rng.standard_normal(10)
    found = effective_samples(quality - quality.mean() + 0.795, np.tile(RISING, (10, 1)), SIZES)
    assert found.value < 99
    assert math.isfinite(found.low)
    assert found.high == math.inf
