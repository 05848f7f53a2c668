"""Intervals: what a sample says of a mean or a ratio, by the methods of scipy and statsmodels.

    scores -> [interval] -> quantity -> verdict

This module knows arrays of figures, and nothing of runs, claims or subjects.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its limits, in the figure's own unit."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def student(values: np.ndarray, alpha: float) -> Interval:
    """Student's interval for the mean of independent figures; unlimited for a single one."""
    from statsmodels.stats.weightstats import DescrStatsW

    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    low, high = DescrStatsW(values).tconfint_mean(alpha=2 * alpha)
    return Interval(mean, float(low), float(high))


def binomial(columns: np.ndarray, bounds: tuple[float, float], alpha: float, examples: int, answers: int) -> Interval:
    """Exact binomial interval with the effective sample size (Korn and Graubard 1998): never of width zero.

    With one run of zeros and ones this is the Clopper-Pearson interval: 0 of 1,000 is [0, 0.4 %] at 95 %.

    Args:
        columns: one figure for each example, or for each cluster of examples, independent of each other.
        bounds: smallest and largest possible figure of an example.
        examples: how many there are.
        answers: the same, over all runs: the effective size is no larger.
    """
    from scipy.stats import t
    from statsmodels.stats.proportion import proportion_confint

    low, span = bounds[0], bounds[1] - bounds[0]
    unit = (columns - low) / span
    share = float(np.clip(unit.mean(), 0.0, 1.0))
    spread = float(unit.var(ddof=1)) if len(unit) > 1 else 0.0
    size = float(len(unit))
    if 0.0 < share < 1.0:
        clustered = len(unit) < examples
        alike = examples if clustered else answers  # where columns do not differ
        size = min(share * (1 - share) / (spread / size) if spread else alike, answers)
        if not clustered:
            size = max(size, examples)
        elif len(unit) > 1:  # clusters: fewer degrees of freedom than examples
            size *= (t.ppf(1 - alpha, examples - 1) / t.ppf(1 - alpha, len(unit) - 1)) ** 2
        else:
            return Interval(low + span * share, *bounds)
    below, above = proportion_confint(share * size, size, alpha=2 * alpha, method="beta")
    return Interval(
        low + span * share, low + span * float(np.nan_to_num(below)), low + span * float(np.nan_to_num(above, nan=1.0))
    )


def of_clusters(scores: np.ndarray, clusters: np.ndarray, strata: np.ndarray | None) -> np.ndarray:
    """Independent columns with the mean and the standard error of scores that are drawn in clusters: (runs, clusters).

    Of each cluster, the sum of what its examples are off the mean of their class, where every class has two clusters at least
    and no cluster two classes; otherwise off the mean of all (Cochran 1977, sections 9A and 11).

    Args:
        scores: (runs, examples).
        clusters: (examples,) equal for examples that are drawn together.
        strata: (examples,) the class of each, where so many of each class were drawn; None where nothing is fixed.
    """
    names, of = np.unique(clusters, return_inverse=True)
    classes, within = np.unique(np.zeros(len(of)) if strata is None else strata, return_inverse=True)
    each = np.array([len(np.unique(of[within == number])) for number in range(len(classes))])  # clusters of each class
    if each.sum() != len(names) or each.min() < 2:
        each, within = np.array([len(names)]), np.zeros(len(of), int)
    off = scores.copy()
    for number in range(len(each)):
        off[:, within == number] -= scores[:, within == number].mean()
    freedom = each / np.maximum(each - 1, 1) * (len(names) - 1) / len(names)
    sums = (off * np.sqrt(freedom)[within]) @ np.eye(len(names))[of]
    return scores.mean() + sums * (len(names) / len(of))


def fieller(top: float, top_width: float, bottom: float, bottom_width: float, side: int) -> float:
    """Root of (top - r * bottom)**2 = top_width**2 + (r * bottom_width)**2 on one side of top / bottom."""
    square = bottom**2 - bottom_width**2
    if square <= 0:
        return side * math.inf
    root = math.sqrt(max(0.0, (top * bottom) ** 2 - square * (top**2 - top_width**2)))
    return (top * bottom + side * root) / square
