"""Timed parts: durations that were measured a few times, and what they say of the next one.

    delivery -> link -> [timed] -> calibration, race, plan

Durations are positive and skewed, so intervals are made of their logarithms. This module knows nothing of what was timed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seeds.errors import ProtocolError
from seeds.interval import Interval

LEVEL = 0.025  # each side of a 95 % interval
REPEATS = 5  # of what is measured here


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one thing, measured several times.

    Raises:
        ProtocolError: fewer than two durations, or one that is not above 0.
    """

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.seconds) < 2 or not all(0 < s < math.inf for s in self.seconds):
            raise ProtocolError(f"durations {list(self.seconds)} are out of range: two or more, each above 0 and finite")

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    def times(self, count: float) -> Interval:
        """What `count` such things take together the next time: a 95 % prediction interval, the median in it.

        They are taken to be slow or fast together, as they are on a machine that others use too.
        """
        from scipy.stats import t

        logs = np.log(self.seconds)
        half = t.ppf(1 - LEVEL, len(logs) - 1) * logs.std(ddof=1) * math.sqrt(1 + 1 / len(logs))
        return Interval(
            self.median * count, float(np.exp(logs.mean() - half)) * count, float(np.exp(logs.mean() + half)) * count
        )


def total(parts: Sequence[Interval]) -> Interval:
    """The sum of parts that are slow or fast together, as those of one machine are: limits add, too."""
    return Interval(sum(part.value for part in parts), sum(part.low for part in parts), sum(part.high for part in parts))
