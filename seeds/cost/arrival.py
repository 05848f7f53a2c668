"""Arrival: when a delivery has the wanted quality on a link, and at which speed two of them break even.

    calibration (seconds), expectation (steps), link (bits) -> [arrival] -> verdict, plan, race

A run that never reaches the quality takes infinitely long. Everything here is arithmetic on measured parts.
"""

import math

import numpy as np

from seeds.cost.calibration import Parts
from seeds.interval import Interval
from seeds.wire.download import HEADER_BYTES
from seeds.wire.link import Link

SPEEDS = {"56kbps": 56e3, "1Mbps": 1e6, "5Mbps": 5e6, "25Mbps": 25e6, "100Mbps": 100e6, "1Gbps": 1e9}  # the report's six
LATENCY_S = 0.02  # of a round trip, on every link
TARGETS = (0.95, 0.99)  # shares of what the original knows
LEVEL = 0.95


def link_of(speed: str) -> Link:
    """The link of one of the report's speeds."""
    return Link(SPEEDS[speed], LATENCY_S)


def work_s(parts: Parts, steps: np.ndarray) -> np.ndarray:
    """Seconds of everything but the bits on the wire, for each run: (runs,), infinite where it needs infinitely many steps."""
    return parts.fetch_s.median + parts.open_s.median + trained(parts, steps)


def trained(parts: Parts, steps: np.ndarray) -> np.ndarray:
    """Seconds of fine-tuning: (runs,); a delivery that is used as it comes has all its quality at once or never."""
    return steps * parts.step_s.median if parts.step_s else np.where(steps > 0, math.inf, 0.0)


def arrival_s(parts: Parts, steps: np.ndarray, link: Link, slower: float = 1.0) -> np.ndarray:
    """Seconds from the request until the model has the wanted quality, for each run: (runs,).

    Args:
        steps: (runs,) that each run needs; 0 where it has the quality as it comes, infinite where it never gets there.
        slower: how many times slower the machine is than the one that was measured; the link stays as it is.
    """
    return link.seconds(parts.size_bytes, HEADER_BYTES) + slower * work_s(parts, steps)


def break_even_bps(weights_bytes: int, weights_s: float, parts: Parts, steps: np.ndarray) -> np.ndarray:
    """The bandwidth below which a delivery is there sooner than the weights, for each run: (runs,).

    0 where it never is: it does not reach the quality, or its file is larger (then it may be sooner above a speed, which this
    does not tell). Infinite where it always is.

    Args:
        weights_s: seconds of the weights that are not on the wire.
    """
    saved_bits = 8.0 * (weights_bytes - parts.size_bytes)
    longer_s = work_s(parts, steps) - weights_s
    with np.errstate(divide="ignore"):
        return np.where(longer_s > 0, max(saved_bits, 0.0) / longer_s, math.inf if saved_bits >= 0 else 0.0)


def median(values: np.ndarray) -> Interval:
    """The median of runs with its distribution-free 95 % interval; infinite values count like any others.

    Source: order statistics and the binomial, Conover 1999, section 3.2. With fewer than six runs the interval is their whole
    range, at a lower level.
    """
    ordered = np.sort(values)
    if len(ordered) == 1:
        return Interval(float(ordered[0]), float(ordered[0]), float(ordered[0]))
    from scipy.stats import quantile_test

    low, high = quantile_test(ordered, p=0.5).confidence_interval(LEVEL)
    ends = (ordered[0], ordered[-1]) if math.isnan(low) or math.isnan(high) else (low, high)
    return Interval(_middle(ordered), float(ends[0]), float(ends[1]))


def _middle(ordered: np.ndarray) -> float:
    """The median; of two middle values that are not both finite, the larger."""
    lower, upper = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(upper if math.isinf(upper) else (lower + upper) / 2)
