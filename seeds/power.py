"""Power: how many runs a test needs, from a spread that was measured on other runs.

    pilot -> [power] -> runs -> verdict

This module knows figures only.
"""

import math

from seeds.errors import ProtocolError

POWER = 0.9
MOST = 100_000
NO_SPREAD = 1e-6  # of the margin: what rounding leaves of equal differences, and too little for the noncentral t


def power_of_equivalence(spread: float, margin: float, alpha: float, runs: int) -> float:
    """Lower bound of the chance that a paired TOST finds two equal arms equal.

    Both one-sided tests must reject; each does with the power of a noncentral t (Phillips 1990, Bonferroni's bound for both).

    Args:
        spread: standard deviation of the paired difference over runs.
        margin: of equivalence, in the same unit.
        alpha: level of each one-sided test.
        runs: 2 or more.
    """
    from scipy.stats import nct, t

    if spread <= NO_SPREAD * margin:
        return 1.0
    missed = float(nct.cdf(t.ppf(1 - alpha, runs - 1), runs - 1, margin * math.sqrt(runs) / spread))
    return max(0.0, 1 - 2 * missed)


def runs_for_equivalence(spread: float, margin: float, alpha: float, power: float = POWER) -> int:
    """The fewest runs with which a paired TOST finds two equal arms equal with this power.

    Raises:
        ProtocolError: a spread, margin, level or power out of range, or more than 100,000 runs would be needed.
    """
    if not (margin > 0 and 0 < alpha < 0.5 and 0 < power < 1 and 0 <= spread < math.inf):
        raise ProtocolError(f"margin {margin}, alpha {alpha}, power {power}, spread {spread}: out of range")
    low, high = 1, 2
    while power_of_equivalence(spread, margin, alpha, high) < power:
        low, high = high, 2 * high
        if high > MOST:
            raise ProtocolError(f"spread {spread:g} against margin {margin:g} needs more than {MOST:,} runs")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of_equivalence(spread, margin, alpha, middle) >= power else (middle, high)
    return high
