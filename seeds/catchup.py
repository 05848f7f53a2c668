"""Catching up: how many steps, or how many samples, one arm needs to be where another is.

    subject -> ... -> finetune -> [catchup] -> quantity -> verdict

Both are cut off where the measuring ends: a run that never gets there counts with the last step (restricted mean), an arm
that is never caught with "more than the largest budget". This module knows figures only.
"""

import math
from collections.abc import Sequence

import numpy as np

from seeds.interval import Interval

RESAMPLES = 2000
BOOTSTRAP_SEED = 0  # of the resampling alone
ROUNDING = 1e-9  # of a mean: arms that are equally good must count as such


def steps_to(quality: np.ndarray, looks: Sequence[int], target: float) -> np.ndarray:
    """The first look at which each run is at the target or above: (runs,), at least 1, the last look where it never is.

    Rounded up to a look, every 5 steps up to 100: ratios of such figures lie nearer to 1 than those of the exact steps.

    Args:
        quality: (runs, looks).
    """
    reached = quality >= target
    first = np.where(reached.any(1), reached.argmax(1), len(looks) - 1)
    return np.maximum(np.asarray(looks, dtype=np.float64)[first], 1.0)


def staying(quality: np.ndarray, looks: Sequence[int], target: float) -> np.ndarray:
    """The first look from which on each run stays at the target or above: (runs,), infinite where the last one is below.

    A run that touches the target by chance and falls below it again is not there yet.

    Args:
        quality: (runs, looks).
    """
    there = np.logical_and.accumulate((quality >= target)[:, ::-1], axis=1)[:, ::-1]
    return np.where(there.any(1), np.asarray(looks, dtype=np.float64)[there.argmax(1)], np.inf)


def share_censored(quality: np.ndarray, target: float) -> float:
    """Share of the runs that never reach the target."""
    return float(1 - (quality >= target).any(1).mean())


def effective_samples(quality: np.ndarray, fresh: np.ndarray, samples: Sequence[int], alpha: float = 0.025) -> Interval:
    """How many samples a fresh start needs to be as good: effective data, as in Hernandez et al. 2021, over the same steps.

    Linear in the logarithm of the samples between the sizes that were measured; infinite where fresh with the most samples is
    still behind, and the smallest size where fresh with the fewest is already ahead. Paired bootstrap over runs.

    Args:
        quality: (runs,) of the arm with some number of samples.
        fresh: (runs, sizes) of fresh starts with each number of `samples`, ascending, run by run paired.
    """

    def needed(rows: np.ndarray) -> float:
        means = np.maximum.accumulate(fresh[rows].mean(0))  # more data never hurts a learner that may ignore it
        wanted = quality[rows].mean() - ROUNDING
        enough = int(np.searchsorted(means, wanted))  # on a plateau the fewest samples, not the most
        if enough == len(means):
            return math.inf
        here = slice(max(0, enough - 1), enough + 1)
        return float(np.exp(np.interp(wanted, means[here], np.log(samples[here]))))

    runs = len(quality)
    resampled = np.random.default_rng(BOOTSTRAP_SEED).integers(runs, size=(RESAMPLES, runs))
    low, high = np.quantile([needed(rows) for rows in resampled], [alpha, 1 - alpha], method="inverted_cdf")
    return Interval(needed(np.arange(runs)), float(low), float(high))
