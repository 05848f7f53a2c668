"""The judge: one rule for all claims.

    subject -> ... -> evaluate -> quantity -> [verdict] -> report

A claim fixes a region before anything is measured. HOLDS: the 1 - 2 * alpha interval lies inside it; REFUTED: wholly
outside; UNDECIDED: it crosses, or there are too few runs; NO ASSAY: the original cannot do the task, so nothing can be lost;
NO SUCH SEED: the row asks for a size that no seed has; RECORDED: the claim has no region, so nothing is judged. Rows that are
judged as the report would, one run at a time and without an interval, can also come to DEPENDS ON THE RUN.
The judge knows figures and rules, and nothing of networks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from seeds.interval import Interval
from seeds.quantity import Mean, Quantity

MIN_RUNS = 3
ON_THE_MARGIN = 0.01  # of the half-width


class Outcome(StrEnum):
    """What a row can come to."""

    HOLDS = "HOLDS"
    REFUTED = "REFUTED"
    UNDECIDED = "UNDECIDED"
    NO_ASSAY = "NO ASSAY"
    NO_SEED = "NO SUCH SEED"  # no seed of the size that the row asks for exists
    RECORDED = "RECORDED"  # of claims without a region: measured, never judged
    BY_RUN = "DEPENDS ON THE RUN"  # of rows judged run by run, as a report of one run would


@dataclass(frozen=True, slots=True)
class Rule:
    """What a claim's quantity must be.

    Args:
        above, below: the region, ends excluded; infinite where one-sided.
        alpha: level of each one-sided test: 0.05 over the rows of the claim.
        assay_gap: what the lower bound of the assay must exceed; None for claims without one.
        needs_calibration: figures wholly below zero do not count as "keeps nothing", because the model may only
            be wrong too loudly.
    """

    above: float
    below: float
    alpha: float
    assay_gap: float | None = None
    needs_calibration: bool = False

    @property
    def region(self) -> str:
        ends = [
            f"> {self.above:g}" if math.isfinite(self.above) else "",
            f"< {self.below:g}" if math.isfinite(self.below) else "",
        ]
        return " and ".join(end for end in ends if end)

    @property
    def judges(self) -> bool:
        """Whether there is a region at all; without one, figures are only recorded."""
        return bool(self.region)

    @property
    def says(self) -> str:
        """What the figure must be, in words."""
        return f"holds if {self.region}" if self.judges else "recorded, not judged"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with what it rests on.

    Args:
        interval: at the rule's level; the mean and the range of the runs where each was judged `singly`.
        runs: None for deterministic rows.
        assay: the control's interval.
        measured, control: what the two intervals are of, with every run.
    """

    outcome: Outcome
    interval: Interval
    rule: Rule
    runs: int | None
    assay: Interval | None
    reason: str
    singly: bool = False
    measured: Quantity | None = field(default=None, repr=False)
    control: Quantity | None = field(default=None, repr=False)

    def explain(self) -> str:
        i = self.interval
        ends = (
            f"({i.low:.4g} to {i.high:.4g})" if self.singly else f"[{i.low:.4g}, {i.high:.4g}] at {1 - 2 * self.rule.alpha:.2%}"
        )
        figure = f"{i.value:.4g} {ends}"
        return f"{self.outcome}: {figure}, region {self.rule.region}, runs {self.runs or 'deterministic'}; {self.reason}"


def judge(quantity: Quantity | None, rule: Rule, assay: Quantity | None = None) -> Verdict:
    """The verdict on one row.

    Args:
        quantity: what was measured; None if no seed of the asked size exists.
        assay: the control that must exceed the rule's `assay_gap`: what the original knows above chance, or its lead over
            fresh weights; None if there is no original.
    """
    nothing = Interval(math.nan, -math.inf, math.inf)
    control = assay.interval(rule.alpha) if assay is not None else None
    if quantity is None:
        return Verdict(Outcome.NO_SEED, nothing, rule, None, control, "no seed of this size exists", control=assay)
    found, runs = quantity.interval(rule.alpha), quantity.runs
    outcome, reason = _decide(found, rule, runs, control, quantity.narrows)
    return Verdict(outcome, found, rule, runs, control, reason, measured=quantity, control=assay)


def judge_singly(figures: Sequence[float], rule: Rule) -> Verdict:
    """The verdict of a report that has one run and no interval, for each of several runs that it might have had.

    HOLDS if every figure lies inside the region, REFUTED if none does. `interval` is none: it is the mean and the range.

    Raises:
        ValueError: there is no figure, or one is not finite.
    """
    if not len(figures) or not all(math.isfinite(f) for f in figures):
        raise ValueError(f"figures {list(figures)} are out of range: finite, at least one")
    inside = sum(rule.above < f < rule.below for f in figures)
    outcome = {0: Outcome.REFUTED, len(figures): Outcome.HOLDS}.get(inside, Outcome.BY_RUN)
    spread = Interval(sum(figures) / len(figures), min(figures), max(figures))
    runs = Mean(np.array(figures)[:, None], nested=True)
    return Verdict(outcome, spread, rule, len(figures), None, f"{inside} of {len(figures)} single runs hold", True, runs)


Measured = Callable[[int], tuple[Quantity, Quantity | None]]  # runs -> the quantity, and the assay if the rule has one


def judge_at_looks(measured: Measured, rule: Rule, looks: Sequence[int], most: int) -> Verdict:
    """The verdict after the first number of runs that decides; the level is split evenly between all looks.

    Args:
        measured: what the first so many runs say.
        looks: numbers of runs at which the row may be decided, fixed beforehand.
        most: runs that the row may use; looks beyond it are not taken, and cost their share of the level all the same.
    """
    share = replace(rule, alpha=rule.alpha / len(looks))
    verdict = None
    for runs in [look for look in looks if look <= most] or [most]:
        quantity, assay = measured(runs)
        verdict = judge(quantity, share, assay)
        if verdict.outcome in (Outcome.HOLDS, Outcome.REFUTED):
            break
    assert verdict is not None
    return verdict


def _decide(found: Interval, rule: Rule, runs: int | None, control: Interval | None, narrows: bool) -> tuple[Outcome, str]:
    if not rule.judges:
        return Outcome.RECORDED, "measured, never judged"
    if rule.assay_gap is not None:
        if control is None:
            return Outcome.NO_ASSAY, "there is no original that can do the task"
        if not control.low > rule.assay_gap:
            return (
                Outcome.NO_ASSAY,
                f"the control's lower bound, {control.low:.3g}, is not over {rule.assay_gap:g}",
            )
    if runs is not None and runs < MIN_RUNS:
        return Outcome.UNDECIDED, f"{runs} runs; at least {MIN_RUNS} are needed"
    if rule.needs_calibration and found.high < 0:
        return Outcome.UNDECIDED, "below chance: the calibrated row says whether it knows nothing"
    if rule.above < found.low and found.high < rule.below:
        return Outcome.HOLDS, "the interval lies inside the region"
    if found.high <= rule.above or found.low >= rule.below:
        return Outcome.REFUTED, "the interval lies outside the region"
    return Outcome.UNDECIDED, _needed(found, rule, runs) if narrows else "other machines lie on either side of the margin"


def _needed(found: Interval, rule: Rule, runs: int | None) -> str:
    """What would decide: the distance from the margin that this design can tell, and a lower bound of the runs for this one."""
    gap = min(abs(found.value - end) for end in (rule.above, rule.below) if math.isfinite(end))
    told = f"the interval crosses the margin; half-width {found.half_width:.3g}"
    if runs and gap < ON_THE_MARGIN * found.half_width:
        return f"{told}; the figure lies on the margin itself, so no number of runs would do"
    if runs and math.isfinite(found.half_width):
        told += (
            f", at least {math.ceil(runs * (found.half_width / gap) ** 2)} runs needed, and more examples where those limit it"
        )
    return told


def summary(outcomes: list[Outcome]) -> tuple[Outcome, str]:
    """The line of a universal claim over its rows, and "k of n hold" among those that could speak."""
    if outcomes and all(o is Outcome.RECORDED for o in outcomes):
        return Outcome.RECORDED, "measured, never judged"
    spoke = [o for o in outcomes if o not in (Outcome.NO_ASSAY, Outcome.NO_SEED)]
    told = f"{sum(o is Outcome.HOLDS for o in spoke)} of {len(spoke)} hold"
    if not spoke:
        return Outcome.NO_SEED if outcomes and all(o is Outcome.NO_SEED for o in outcomes) else Outcome.NO_ASSAY, told
    for one_is_enough in (Outcome.REFUTED, Outcome.BY_RUN):
        if one_is_enough in spoke:
            return one_is_enough, told
    return (Outcome.HOLDS if all(o is Outcome.HOLDS for o in spoke) else Outcome.UNDECIDED), told
