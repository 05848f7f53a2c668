"""Quantities: a figure with an interval at any level, and the algebra that claims are written in.

    subject -> ... -> evaluate -> [quantity] -> verdict -> report

`Mean(scores)` holds scores of shape (runs, examples). Subtracting a number or scores shifts it, dividing one quantity by
another gives a ratio, so a claim reads like its definition: `(assembled - chance) / (original - chance)`.

Runs and examples are two crossed sources of spread. Each gives an interval (`seeds.interval`); the two are combined by the
method of variance estimates recovery (Zou and Donner 2008), ratios by its extension (Donner and Zou 2012).
This module knows nothing of claims.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from seeds.interval import Interval, binomial, fieller, of_clusters, student

LARGEST_RATIO = 1e6  # limits beyond it are called infinite
ROUNDING = 1e-6  # smallest relative half-width: float32 scores carry no more

# What a figure is made of, in plain JSON types: a number; one number for each run; or {"ratio": [top, bottom]},
# {"smallest": [...]}, {"first": [...]} of more of them. `seeds.report.raw` reads it.
Raw = float | list[float] | dict[str, list["Raw"]]


class Quantity(ABC):
    """Something measured, by itself or made of parts."""

    narrows: ClassVar[bool] = True  # whether more runs make its interval narrower without end

    @property
    def made_of(self) -> "tuple[Quantity, ...]":
        """Its parts; none if it is measured by itself."""
        return ()

    @property
    def runs(self) -> int | None:
        """The smallest number of runs in it; None where it has no random part."""
        return min((p.runs for p in self.made_of if p.runs is not None), default=None)

    @property
    def examples(self) -> int | None:
        """The smallest number of examples that its interval is over; None where it is over runs alone, or nothing."""
        return min((p.examples for p in self.made_of if p.examples is not None), default=None)

    @abstractmethod
    def interval(self, alpha: float) -> Interval:
        """The figure with its 1 - 2 * alpha interval: both one-sided tests have level alpha."""

    @abstractmethod
    def raw(self) -> Raw:
        """The runs that the figure follows from, each as its mean over its examples."""

    def __truediv__(self, bottom: "Quantity") -> "Ratio":
        return Ratio(self, bottom)


@dataclass(frozen=True, slots=True)
class Counted(Quantity):
    """A figure without sampling error: bytes on disk, for example."""

    value: float

    def interval(self, alpha: float) -> Interval:
        return Interval(self.value, self.value, self.value)

    def raw(self) -> Raw:
        return float(self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Mean(Quantity):
    """The mean of scores over runs and examples.

    Args:
        scores: (runs, examples); one row where nothing is random.
        weights: (examples,) tokens in each example; equal if None.
        bounds: smallest and largest possible score; None for cross-entropies.
        random: whether rows are independent runs, so that their spread counts.
        nested: whether each run has examples of its own: then only the runs' means count.
        clusters: (examples,) equal for examples that are drawn together, paragraphs of one file for example, so that only
            their sums are independent; None where each is drawn by itself.
        strata: (examples,) of clusters, the class of each example: so many of each class were drawn, so that differences
            between classes are no sampling error. None where nothing is fixed.
    """

    scores: np.ndarray
    weights: np.ndarray | None = None
    bounds: tuple[float, float] | None = None
    random: bool = True
    nested: bool = False
    clusters: np.ndarray | None = None
    strata: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float64))  # uint8 would wrap around

    @property
    def runs(self) -> int | None:
        return len(self.scores) if self.random else None

    @property
    def examples(self) -> int | None:
        return None if self.nested else self.scores.shape[1]

    def __sub__(self, other: "float | Mean") -> Self:
        """Shifted by a number, or paired with other scores example by example (and run by run if both have them)."""
        if isinstance(other, Mean):
            bounds = None
            if self.bounds and other.bounds:
                bounds = (self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0])
            return replace(self, scores=self.scores - other.scores, bounds=bounds, random=self.random or other.random)
        bounds = (self.bounds[0] - other, self.bounds[1] - other) if self.bounds else None
        return replace(self, scores=self.scores - other, bounds=bounds)

    def __neg__(self) -> Self:
        bounds = (-self.bounds[1], -self.bounds[0]) if self.bounds else None
        return replace(self, scores=-self.scores, bounds=bounds)

    def per_run(self) -> np.ndarray:
        """The mean of each run over its examples: (runs,)."""
        return np.average(self.scores, axis=1, weights=self.weights)

    def raw(self) -> Raw:
        return self.per_run().tolist()

    def interval(self, alpha: float) -> Interval:
        scores = self._linear()
        value = float(scores.mean())
        parts = [] if self.nested else [self._over_examples(scores, alpha)]
        if self.random and (self.nested or len(scores) > 1):
            parts.append(student(scores.mean(1), alpha))
        floor = ROUNDING * (1.0 + abs(value))
        low = math.hypot(floor, *(value - part.low for part in parts))
        high = math.hypot(floor, *(part.high - value for part in parts))
        return Interval(value, value - low, value + high)

    def _linear(self) -> np.ndarray:
        """Scores whose plain mean is the weighted one, by linearisation of the ratio (Cochran 1977, section 6)."""
        if self.weights is None:
            return self.scores
        share = self.weights / self.weights.mean()
        centre = (self.scores * share).mean()
        return centre + share * (self.scores - centre)

    def _over_examples(self, scores: np.ndarray, alpha: float) -> Interval:
        columns = scores if self.clusters is None else of_clusters(scores, self.clusters, self.strata)
        if self.bounds is None:
            return student(columns.mean(0), alpha)
        return binomial(columns.mean(0), self.bounds, alpha, self.scores.shape[1], self.scores.size)


@dataclass(frozen=True, slots=True)
class Ratio(Quantity):
    """One quantity over another; unlimited where the bottom is not clearly above zero."""

    top: Quantity
    bottom: Quantity

    @property
    def made_of(self) -> tuple[Quantity, ...]:
        return self.top, self.bottom

    def interval(self, alpha: float) -> Interval:
        top, bottom = self.top.interval(alpha), self.bottom.interval(alpha)
        value = top.value / bottom.value if bottom.value else math.copysign(math.inf, top.value)
        if bottom.low <= 0:
            return Interval(value, -math.inf, math.inf)
        below, above = bottom.value - bottom.low, bottom.high - bottom.value
        low = fieller(top.value, top.value - top.low, bottom.value, above if top.low >= 0 else below, -1)
        high = fieller(top.value, top.high - top.value, bottom.value, below if top.high >= 0 else above, +1)
        return Interval(value, low, high)

    def raw(self) -> Raw:
        return {"ratio": [self.top.raw(), self.bottom.raw()]}


@dataclass(frozen=True, slots=True)
class PairedRatio(Quantity):
    """The mean of one set of scores over that of another, paired by run and by example; unlimited as `Ratio` is.

    Fieller's limits (1954), with this module's own interval inside: a ratio r is allowed if zero lies in the interval of
    top - r * bottom, which takes in what runs and examples have in common. Of bounded scores it is no narrower than what the
    examples can tell: where no answer differs on n of them, up to 3.7 / n (at 95 %) may on others.
    """

    top: Mean
    bottom: Mean

    @property
    def made_of(self) -> tuple[Quantity, ...]:
        return self.top, self.bottom

    def interval(self, alpha: float) -> Interval:
        top, bottom = self.top.interval(alpha), self.bottom.interval(alpha)
        value = top.value / bottom.value if bottom.value else math.copysign(math.inf, top.value)
        if bottom.low <= 0:
            return Interval(value, -math.inf, math.inf)
        unseen = self._unseen(alpha) / bottom.value
        low, high = (self._limit(value, alpha, side) for side in (-1, +1))
        return Interval(value, min(low, value - unseen), max(high, value + unseen))

    def raw(self) -> Raw:
        return {"ratio": [self.top.raw(), self.bottom.raw()]}

    def _unseen(self, alpha: float) -> float:
        """The largest share of answers that may differ though none does on these examples."""
        if self.top.bounds is None or self.bottom.bounds is None or self.top.nested:
            return 0.0
        independent = self.top.scores.shape[1] if self.top.clusters is None else len(np.unique(self.top.clusters))
        return binomial(np.zeros(independent), (0.0, 1.0), alpha, independent, independent).high

    def _limit(self, value: float, alpha: float, side: int) -> float:
        """The ratio on one side of the value at which zero leaves the interval of the difference."""
        from scipy.optimize import root_scalar

        def excess(ratio: float) -> float:
            left = self.top.scores - ratio * self.bottom.scores
            found = replace(self.top, scores=left, bounds=None, random=self.runs is not None).interval(alpha)
            return found.low if side < 0 else -found.high

        width = 0.01 * (1.0 + abs(value))
        while excess(value + side * width) < 0:
            width *= 2
            if width > LARGEST_RATIO:
                return side * math.inf
        return root_scalar(excess, bracket=(value, value + side * width), xtol=1e-9).root


@dataclass(frozen=True, slots=True)
class Smallest(Quantity):
    """The smallest of several quantities: it is above a bound if every one of them is (intersection-union, no correction)."""

    parts: tuple[Quantity, ...]

    @property
    def made_of(self) -> tuple[Quantity, ...]:
        return self.parts

    def interval(self, alpha: float) -> Interval:
        """Low and high are the smallest of the parts' limits; high shares the level among them (Bonferroni)."""
        limits = [part.interval(alpha) for part in self.parts]
        shared = [part.interval(alpha / len(self.parts)) for part in self.parts]
        return Interval(min(i.value for i in limits), min(i.low for i in limits), min(i.high for i in shared))

    def raw(self) -> Raw:
        return {"smallest": [part.raw() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Throughout(Quantity):
    """One figure under several circumstances, on machines of other speeds for example: its interval takes in all of theirs.

    Args:
        parts: the first one gives the value.
    """

    narrows = False
    parts: tuple[Quantity, ...]

    @property
    def made_of(self) -> tuple[Quantity, ...]:
        return self.parts

    def interval(self, alpha: float) -> Interval:
        found = [part.interval(alpha) for part in self.parts]
        return Interval(found[0].value, min(i.low for i in found), max(i.high for i in found))

    def raw(self) -> Raw:
        return {"first": [part.raw() for part in self.parts]}


def stack(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Per-run scores as one array (runs, examples)."""
    return np.stack([np.asarray(s, dtype=np.float64) for s in scores])
