"""Scales: where a figure lies on an axis that all rows of a plot share.

    finding -> [scale] -> forest -> page

Linear, or logarithmic where the figures are positive and span more than a factor of fifty; shares that touch zero stay linear,
because zero is a place on their axis like any other. What lies off the scale is drawn at its end, never left out. This module
knows no SVG.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seeds.report import number

SPAN = 50  # largest over smallest figure from which on a scale of ratios is logarithmic
PAD = 0.04  # of the width, at each end
STEPS = (1, 2, 5, 10)
TICKS = 6  # at most


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, in the figure's unit."""

    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """The place of a figure, 0 at the left end and 1 at the right one; what is off the scale lies at an end."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else 0.0
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of round numbers."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, math.ceil((last - first + 1) / TICKS))
            return [(self.at(10.0**power), number.text(10.0**power)) for power in range(first, last + 1, every)]
        rough = (self.high - self.low) / (TICKS - 1)
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * s for s in STEPS if unit * s >= rough * 0.999)
        places = max(0, -math.floor(math.log10(step)))
        counts = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [(self.at(count * step), number.text(count * step, places)) for count in counts]


def over(values: Sequence[float], limits: Iterable[float], margins: Iterable[float]) -> Scale:
    """The scale that shows these figures, the limits of their intervals and the margins of the rule, where they are finite."""
    values = [v for v in values if math.isfinite(v)]
    margins = [m for m in margins if math.isfinite(m)]
    positive = [v for v in [*values, *margins] if v > 0]
    shown = [v for v in [*values, *limits, *margins] if math.isfinite(v)] or [0.0]
    shares = max(shown) <= 1 and min(shown) <= 0
    ratios = all(v >= 0 for v in values) and all(m > 0 for m in margins) and not shares
    if ratios and len(positive) > 1 and max(positive) / min(positive) >= SPAN:
        low, high = min(positive), max(shown)
        factor = (high / low) ** PAD
        return Scale(low / factor, high * factor, True)
    low, high = min(shown), max(shown)
    pad = (high - low) * PAD or abs(high) * 0.5 or 1.0
    return Scale(low - pad, high + pad, False)
