"""The judge: its outcomes one by one, and by simulation that it is neither blind nor trigger-happy."""

import math

import numpy as np
import pytest

from seeds.interval import Interval
from seeds.quantity import Mean, Quantity, Throughout
from seeds.verdict import Outcome, Rule, judge, judge_at_looks, judge_singly, summary

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

    def raw(self):
        return self.given.value


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


def test_a_figure_on_the_margin_is_not_sent_for_more_runs():
    assert judge(Fixed(0.0, 0.1, 10), RULE).reason.endswith("no number of runs would do")


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        ([Outcome.HOLDS, Outcome.HOLDS, Outcome.NO_ASSAY], (Outcome.HOLDS, "2 of 2 hold")),
        ([Outcome.HOLDS, Outcome.REFUTED], (Outcome.REFUTED, "1 of 2 hold")),
        ([Outcome.HOLDS, Outcome.UNDECIDED], (Outcome.UNDECIDED, "1 of 2 hold")),
        ([Outcome.NO_ASSAY, Outcome.NO_SEED], (Outcome.NO_ASSAY, "0 of 0 hold")),
        ([Outcome.NO_SEED, Outcome.NO_SEED], (Outcome.NO_SEED, "0 of 0 hold")),
        ([], (Outcome.NO_ASSAY, "0 of 0 hold")),
    ],
)
def test_a_universal_claim_holds_if_every_row_that_speaks_does(outcomes, line):
    assert summary(outcomes) == line


# -- several looks --------------------------------------------------------------------------------------------------------

LOOKS = (8, 16, 32)


class Asked:
    """Hands out one quantity per number of runs, and remembers what it was asked for."""

    def __init__(self, **given: Quantity):
        self.given, self.runs = {int(name[1:]): quantity for name, quantity in given.items()}, []

    def __call__(self, runs: int):
        self.runs.append(runs)
        return self.given[runs], Fixed(0.5, 0.6, runs)


CLEAR, UNCLEAR, BEYOND = Fixed(-0.01, 0.01), Fixed(0.0, 0.1), Fixed(0.1, 0.2)


@pytest.mark.parametrize(
    ("measured", "outcome", "asked"),
    [
        (Asked(_8=CLEAR), Outcome.HOLDS, [8]),
        (Asked(_8=BEYOND), Outcome.REFUTED, [8]),
        (Asked(_8=UNCLEAR, _16=CLEAR), Outcome.HOLDS, [8, 16]),
        (Asked(_8=UNCLEAR, _16=UNCLEAR, _32=BEYOND), Outcome.REFUTED, [8, 16, 32]),
        (Asked(_8=UNCLEAR, _16=UNCLEAR, _32=UNCLEAR), Outcome.UNDECIDED, [8, 16, 32]),
    ],
)
def test_the_first_look_that_decides_is_the_last(measured, outcome, asked):
    assert judge_at_looks(measured, RULE, LOOKS, most=32).outcome is outcome
    assert measured.runs == asked


@pytest.mark.parametrize(("most", "asked"), [(8, [8]), (15, [8]), (16, [8, 16]), (31, [8, 16]), (100, [8, 16, 32]), (3, [3])])
def test_no_look_is_taken_beyond_the_runs_of_the_row(most, asked):
    """With fewer runs than the first look asks for, those are what there is."""
    measured = Asked(_3=UNCLEAR, _8=UNCLEAR, _16=UNCLEAR, _32=UNCLEAR)
    assert judge_at_looks(measured, RULE, LOOKS, most).outcome is Outcome.UNDECIDED
    assert measured.runs == asked


@pytest.mark.parametrize("most", [3, 8, 16, 32])
def test_the_level_is_split_between_all_looks_taken_or_not(most):
    """So is that of the assay; all else of the rule stays."""
    verdict = judge_at_looks(Asked(_3=CLEAR, _8=CLEAR), RULE, LOOKS, most)
    assert verdict.rule.alpha == pytest.approx(RULE.alpha / 3)
    assert (verdict.rule.above, verdict.rule.below) == (RULE.above, RULE.below)
    levels = []

    class Told(Fixed):
        def interval(self, alpha):
            levels.append(alpha)
            return super().interval(alpha)

    judge_at_looks(lambda runs: (Told(-0.01, 0.01), Told(0.5, 0.6)), RULE, LOOKS, most)
    assert levels == [pytest.approx(RULE.alpha / 3)] * 2


def test_an_original_without_the_task_is_looked_at_again_and_stays_silent():
    rule = Rule(-math.inf, MARGIN, 0.05, assay_gap=0.9)
    measured = Asked(_8=CLEAR, _16=CLEAR, _32=CLEAR)
    assert judge_at_looks(measured, rule, LOOKS, most=32).outcome is Outcome.NO_ASSAY
    assert measured.runs == [8, 16, 32]


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


def shares_at_looks(effect: float, rule: Rule) -> dict[Outcome, float]:
    """Outcomes over simulated sets of paired differences with a spread of one margin, looked at after 8, 16 and 32 runs."""
    rng = np.random.default_rng(round(effect * 1000))
    found = []
    for _ in range(SETS):
        scores = effect + MARGIN * rng.standard_normal((LOOKS[-1], 1))
        found.append(judge_at_looks(lambda runs, s=scores: (Mean(s[:runs], nested=True), None), rule, LOOKS, 32).outcome)
    return {outcome: found.count(outcome) / SETS for outcome in Outcome}


@pytest.mark.parametrize("above", [-math.inf, -MARGIN], ids=["one-sided", "equivalence"])
def test_three_looks_seldom_pass_an_effect_of_exactly_one_margin(above, record_property):
    """At most 5 % in all, plus three standard errors: three looks at the full level would pass some 10 %."""
    found = shares_at_looks(MARGIN, Rule(above, MARGIN, 0.05))
    record_property("one_margin_holds_at_looks", found[Outcome.HOLDS])
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / SETS)
    assert found[Outcome.HOLDS] <= allowed
    assert found[Outcome.REFUTED] <= allowed


def test_three_looks_find_equality_and_differences():
    """With a spread of one margin, 32 runs are plenty for both."""
    rule = Rule(-MARGIN, MARGIN, 0.05)
    assert shares_at_looks(0.0, rule)[Outcome.HOLDS] >= 0.8
    assert shares_at_looks(2 * MARGIN, rule)[Outcome.REFUTED] >= 0.8


# -- single runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "outcome", "told"),
    [
        ([0.0, 0.04, -1.0], Outcome.HOLDS, "3 of 3 single runs hold"),
        ([0.04], Outcome.HOLDS, "1 of 1 single runs hold"),
        ([0.06, 0.05, 2.0], Outcome.REFUTED, "0 of 3 single runs hold"),  # the margin itself is outside the region
        ([0.06], Outcome.REFUTED, "0 of 1 single runs hold"),
        ([0.0, 0.06, 0.0], Outcome.BY_RUN, "2 of 3 single runs hold"),
        ([0.06, 0.0], Outcome.BY_RUN, "1 of 2 single runs hold"),
    ],
)
def test_single_runs_that_disagree_make_the_verdict_depend_on_the_run(figures, outcome, told):
    verdict = judge_singly(figures, RULE)
    assert (verdict.outcome, verdict.reason, verdict.runs) == (outcome, told, len(figures))


def test_single_runs_have_both_ends_of_their_region():
    rule = Rule(above=-MARGIN, below=MARGIN, alpha=0.05)
    assert judge_singly([-0.06, 0.0, 0.06], rule).reason == "1 of 3 single runs hold"
    assert judge_singly([-MARGIN, -0.06], rule).outcome is Outcome.REFUTED


def test_the_interval_of_single_runs_is_their_range():
    """Nothing is inferred: no level, no control, and no fewest number of runs."""
    verdict = judge_singly([0.25, 0.0, 0.05], RULE)
    assert (verdict.interval.low, verdict.interval.high) == (0.0, 0.25)
    assert verdict.interval.value == pytest.approx(0.1)
    assert verdict.assay is None
    assert judge_singly([0.01], Rule(-math.inf, MARGIN, 0.05, assay_gap=0.3, needs_calibration=True)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("figures", [[], [0.0, math.nan], [math.inf], [-math.inf, 0.0]], ids=str)
def test_no_figure_and_one_that_is_not_finite_are_refused(figures):
    with pytest.raises(ValueError, match="out of range: finite, at least one") as raised:
        judge_singly(figures, RULE)
    assert str(figures) in str(raised.value)


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        ([Outcome.HOLDS, Outcome.BY_RUN], (Outcome.BY_RUN, "1 of 2 hold")),
        ([Outcome.BY_RUN, Outcome.NO_ASSAY], (Outcome.BY_RUN, "0 of 1 hold")),
        ([Outcome.UNDECIDED, Outcome.BY_RUN], (Outcome.BY_RUN, "0 of 2 hold")),
        ([Outcome.BY_RUN, Outcome.HOLDS, Outcome.REFUTED], (Outcome.REFUTED, "1 of 3 hold")),
    ],
)
def test_one_row_that_depends_on_the_run_is_enough_for_the_line_unless_one_is_refuted(outcomes, line):
    assert summary(outcomes) == line
    assert summary(outcomes[::-1]) == line


def test_no_number_of_runs_is_asked_for_where_other_machines_make_the_width():
    """A ratio of 2 is above the margin here, and below it on another machine."""
    rule = Rule(above=1.0, below=math.inf, alpha=0.05)
    here = Mean(np.array([[2.0], [2.01], [1.99]]), nested=True)
    assert judge(here, rule).outcome is Outcome.HOLDS
    there = Mean(here.scores / 4, nested=True)
    verdict = judge(Throughout((here, there)), rule)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "other machines lie on either side of the margin")
    assert "at least 3 are needed" in judge(Throughout((Mean(np.ones((2, 1)), nested=True), there)), rule).reason


# -- claims without a region ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [1, 5, None])
def test_a_claim_without_a_region_is_recorded_and_never_judged(runs):
    nowhere = Rule(-math.inf, math.inf, 0.05)
    verdict = judge(Fixed(-1.0, 9.0, runs), nowhere)
    assert verdict.outcome is Outcome.RECORDED
    assert nowhere.says == "recorded, not judged"
    assert RULE.says == "holds if < 0.05"


def test_a_line_of_recorded_rows_is_recorded():
    assert summary([Outcome.RECORDED, Outcome.RECORDED]) == (Outcome.RECORDED, "measured, never judged")
