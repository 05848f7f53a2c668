"""Forest plots: the rows of a claim on one axis, each with its runs, its interval and the region that decides.

    finding -> scale -> [forest] -> page

A `Forest` is geometry: thousandths of the axis from left to right, so that the same drawing is as wide as the screen allows.
The templates draw it twice, with labels and an axis in a claim's detail, and small in the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seeds.report import raw, scale
from seeds.report.finding import Finding
from seeds.verdict import Rule

WIDTH = 1000
SMALL_ROW, SMALL_LEAST, SMALL_MOST = 7, 15, 42  # heights in pixels


@dataclass(frozen=True, slots=True)
class Mark:
    """One row: its figure, its interval from `low` to `high`, and the figures of its runs, as places on the axis.

    Args:
        off: "low" or "high" where the interval goes on beyond that end of the axis, without end or further than it shows.
        zero: whether its figure, interval or a run is zero or less, which a logarithmic axis cannot show.
    """

    finding: Finding
    value: float | None
    low: float
    high: float
    off: tuple[str, ...]
    zero: bool
    runs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Forest:
    """Marks over an axis with ticks; the region from `inside[0]` to `inside[1]` is where a claim holds.

    Args:
        margins: places of the region's finite ends.
        height: of the small drawing, in pixels.
    """

    marks: tuple[Mark, ...]
    inside: tuple[float, float] | None
    margins: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    log: bool
    height: float

    @property
    def ranked(self) -> list[Mark]:
        """The marks that have a figure, in its order."""
        return sorted((m for m in self.marks if m.value is not None), key=lambda m: (m.value, m.finding.row))

    @property
    def legend(self) -> str:
        """What is drawn besides marks and intervals, in words: only what is there."""
        told = (
            ("Shaded: where the claim holds.", self.inside is not None),
            ("Small dots: single runs.", any(m.runs for m in self.marks)),
            ("Bar at the left end: it reaches zero or less, which this axis cannot show.", any(m.zero for m in self.marks)),
            ("Arrow: the interval goes on beyond the axis.", any(m.off for m in self.marks)),
        )
        return " ".join(words for words, there in told if there)


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
        value = None if f.value is None else place(f.value)
        zero = axis.log and f.value is not None and any(v <= 0 and math.isfinite(v) for v in (f.value, low, *each))
        beyond = {"low": low < axis.low and not zero, "high": high > axis.high} if f.value is not None else {}
        off = tuple(side for side, there in beyond.items() if there)
        marks.append(Mark(f, value, place(low), place(high), off, zero, tuple(map(place, each))))
    return Forest(
        marks=tuple(marks),
        inside=(place(rule.above), place(rule.below)) if rule.judges else None,
        margins=tuple(place(m) for m in (rule.above, rule.below) if math.isfinite(m)),
        ticks=tuple((round(WIDTH * at, 1), label) for at, label in axis.ticks()),
        log=axis.log,
        height=min(SMALL_MOST, max(SMALL_LEAST, SMALL_ROW * len(values))),
    )


def _each(f: Finding) -> list[float]:
    """The figures of a row's runs, if it has several."""
    each = [] if f.raw is None else raw.per_run(f.raw)
    return [one for one in each if math.isfinite(one)] if len(each) > 1 else []
