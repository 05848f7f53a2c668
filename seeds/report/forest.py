"""Forest plots: the rows of a claim on one axis, each with its runs, its interval and the region that decides.

    finding -> scale -> [forest] -> page

A `Forest` is geometry: thousandths of the axis from left to right, so that the same drawing is as wide as the screen allows.
The templates draw it twice, with labels and an axis in a claim's detail, and small in the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seeds.report import number, raw, scale
from seeds.report.finding import Finding
from seeds.verdict import Rule

WIDTH = 1000
SMALL_ROW, SMALL_LEAST, SMALL_MOST = 7, 15, 42  # heights in pixels


@dataclass(frozen=True, slots=True)
class Mark:
    """One row: its figure, its interval from `low` to `high`, and the figures of its runs, as places on the axis.

    Args:
        off: "low" or "high" where the interval goes on beyond that end of the axis.
    """

    finding: Finding
    value: float | None
    low: float
    high: float
    off: tuple[str, ...]
    runs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Forest:
    """Marks over an axis with ticks; the region from `inside[0]` to `inside[1]` is where a claim holds.

    Args:
        margins: places of the region's finite ends.
        zero: whether figures of zero lie off a logarithmic axis.
        height: of the small drawing, in pixels.
    """

    marks: tuple[Mark, ...]
    inside: tuple[float, float] | None
    margins: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    log: bool
    zero: bool
    height: float

    @property
    def ranked(self) -> list[Mark]:
        """The marks that have a figure, in its order."""
        return sorted((m for m in self.marks if m.value is not None), key=lambda m: (m.value, m.finding.row))


def forest(rows: Sequence[Finding], rule: Rule) -> Forest:
    """All rows on the axis that shows each of their figures, intervals and runs, and the margins of the rule."""
    runs = [_each(f) for f in rows]
    values = [f.value for f in rows if f.value is not None]
    limits = [end for f in rows for end in (f.low, f.high) if end is not None]
    axis = scale.over(values, [*limits, *(one for each in runs for one in each)], (rule.above, rule.below))

    def place(value: float) -> float:
        return round(WIDTH * axis.at(value), 1)

    marks = []
    for f, each in zip(rows, runs, strict=True):
        low, high = (-math.inf if f.low is None else f.low), (math.inf if f.high is None else f.high)
        off = tuple(side for side, beyond in (("low", low < axis.low), ("high", high > axis.high)) if beyond)
        value = None if f.value is None else place(f.value)
        marks.append(Mark(f, value, place(low), place(high), off, tuple(map(place, each))))
    return Forest(
        marks=tuple(marks),
        inside=(place(rule.above), place(rule.below)) if rule.judges else None,
        margins=tuple(place(m) for m in (rule.above, rule.below) if math.isfinite(m)),
        ticks=tuple((round(WIDTH * at, 1), label) for at, label in axis.ticks()),
        log=axis.log,
        zero=axis.log and any(v <= 0 for v in values),
        height=min(SMALL_MOST, max(SMALL_LEAST, SMALL_ROW * len(values))),
    )


def told(f: Finding) -> str:
    """A row's figure with its interval, or with the range of single runs."""
    if f.value is None:
        return "none"
    places = number.decimals(f)
    value = number.text(f.value, places)
    if f.low is not None and f.low == f.high:
        return value
    low, high = number.end(f.low, "low", places), number.end(f.high, "high", places)
    return f"{value} ({low} to {high})" if f.level is None else f"{value} [{low}, {high}]"


def _each(f: Finding) -> list[float]:
    """The figures of a row's runs, if it has several."""
    each = [] if f.raw is None else raw.per_run(f.raw)
    return [one for one in each if math.isfinite(one)] if len(each) > 1 else []
