"""The judge: its outcomes one by one, and by simulation that it is neither blind nor trigger-happy."""

import math

import numpy as np
import pytest

from seeds.quantity import Interval, Mean, Quantity
from seeds.verdict import Outcome, Rule, judge, summary

MARGIN = 0.05
RULE = Rule(above=-math.inf, below=MARGIN, alpha=0.05)
SETS, RUNS, EXAMPLES = 1000, 16, 400
RUN_SPREAD = 0.02  # of a random network's accuracy, as in the rows on digits
EXAMPLE_SPREAD = 0.05  # of how likely a random network gets an example right: some are easier for all


class Fixed(Quantity):
    """A quantity with a given interval."""

    def __init__(self, low: float, high: float, runs: int | None = 5):
        self.given, self.given_runs = Interval((low + high) / 2, low, high), runs

    @property
    def runs(self):
        return self.given_runs

    def interval(self, alpha):
        return self.given


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.02, 0.04, Outcome.HOLDS),
        (0.05, 0.2, Outcome.REFUTED),
        (0.04, 0.06, Outcome.UNDECIDED),
        (-0.02, 0.05, Outcome.UNDECIDED),  # the margin itself is outside the region
    ],
)
def test_the_interval_decides(low, high, outcome):
    assert judge(Fixed(low, high), RULE).outcome is outcome


@pytest.mark.parametrize(("low", "high", "outcome"), [(0.2, 0.3, "HOLDS"), (-0.3, 0.1, "REFUTED"), (0.0, 0.2, "UNDECIDED")])
def test_a_lower_margin_works_the_same(low, high, outcome):
    assert judge(Fixed(low, high), Rule(above=0.1, below=math.inf, alpha=0.05)).outcome == outcome


@pytest.mark.parametrize("runs", [1, 2])
def test_fewer_than_three_runs_never_decide(runs):
    assert judge(Fixed(-0.01, 0.01, runs), RULE).outcome is Outcome.UNDECIDED


def test_a_deterministic_row_needs_no_runs():
    assert judge(Fixed(-0.01, 0.01, None), RULE).outcome is Outcome.HOLDS


@pytest.mark.parametrize("assay", [None, Fixed(0.29, 0.5), Fixed(-0.1, 0.9)])
def test_an_original_that_cannot_do_the_task_makes_the_row_silent(assay):
    rule = Rule(-math.inf, MARGIN, 0.05, assay_gap=0.3)
    assert judge(Fixed(-0.01, 0.01), rule, assay).outcome is Outcome.NO_ASSAY
    assert judge(Fixed(-0.01, 0.01), rule, Fixed(0.31, 0.5)).outcome is Outcome.HOLDS


def test_below_chance_is_no_evidence_for_keeps_nothing_unless_calibrated():
    raw = Rule(-math.inf, MARGIN, 0.05, needs_calibration=True)
    assert judge(Fixed(-0.3, -0.2), raw).outcome is Outcome.UNDECIDED
    assert judge(Fixed(-0.3, -0.2), RULE).outcome is Outcome.HOLDS


def test_no_seed_of_the_size_is_an_answer():
    assert judge(None, RULE).outcome is Outcome.NO_SEED


def test_an_undecided_row_says_what_would_decide_it():
    told = judge(Fixed(0.0, 0.08, 10), RULE).reason
    assert "half-width 0.04" in told
    assert "at least 160 runs needed" in told  # 10 * (0.04 / 0.01) ** 2


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        ([Outcome.HOLDS, Outcome.HOLDS, Outcome.NO_ASSAY], (Outcome.HOLDS, "2 of 2 hold")),
        ([Outcome.HOLDS, Outcome.REFUTED], (Outcome.REFUTED, "1 of 2 hold")),
        ([Outcome.HOLDS, Outcome.UNDECIDED], (Outcome.UNDECIDED, "1 of 2 hold")),
        ([Outcome.NO_ASSAY, Outcome.NO_SEED], (Outcome.NO_ASSAY, "0 of 0 hold")),
    ],
)
def test_a_universal_claim_holds_if_every_row_that_speaks_does(outcomes, line):
    assert summary(outcomes) == line


# -- simulation -----------------------------------------------------------------------------------------------------------


def retentions(effect, runs=RUNS, seed=0):
    """Simulated sets: binary scores of `runs` models on common examples, some easier than others, for an original at 0.9.

    The true retention is `effect`; chance is 0.1.
    """
    rng = np.random.default_rng([seed, runs, round(effect * 1000)])
    for _ in range(SETS):
        ease = EXAMPLE_SPREAD * rng.standard_normal((1, EXAMPLES))
        luck = RUN_SPREAD * rng.standard_normal((runs, 1))
        probability = np.clip(0.1 + 0.8 * effect + ease + luck, 0.0, 1.0)
        original = Mean((rng.random((1, EXAMPLES)) < 0.9 + ease).astype(float), bounds=(0.0, 1.0), random=False)
        yield (Mean((rng.random((runs, EXAMPLES)) < probability).astype(float), bounds=(0.0, 1.0)) - 0.1) / (original - 0.1)


def share(outcome, effect, runs=RUNS):
    return np.mean([judge(quantity, RULE).outcome is outcome for quantity in retentions(effect, runs)])


def test_the_judge_finds_nothing_where_there_is_nothing(record_property):
    found = share(Outcome.HOLDS, 0.0)
    record_property("null_holds", float(found))
    assert found >= 0.8


def test_the_judge_refutes_an_effect_of_two_margins(record_property):
    found = share(Outcome.REFUTED, 2 * MARGIN)
    record_property("two_margins_refuted", float(found))
    assert found >= 0.8


def test_the_judge_seldom_passes_an_effect_of_exactly_one_margin(record_property):
    """At most 5 %, plus three standard errors of 1,000 sets (0.02): the level that each row is promised."""
    found = share(Outcome.HOLDS, MARGIN)
    record_property("one_margin_holds", float(found))
    assert found <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / SETS)


def test_two_runs_are_always_undecided():
    assert share(Outcome.UNDECIDED, 0.0, runs=2) == 1.0
