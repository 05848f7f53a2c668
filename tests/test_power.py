"""Power: the number of runs that is asked for is the number that is needed, by simulation.

pilot -> [power] -> runs -> verdict
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seeds.errors import ProtocolError
from seeds.power import MOST, POWER, power_of_equivalence, runs_for_equivalence
from seeds.quantity import Mean
from seeds.verdict import Outcome, Rule, judge

SETS = 4000
MARGIN = 0.05
ALPHAS = (0.05, 0.05 / 8 / 3)  # one row; one of eight rows at the first of three looks


def found_equal(spread: float, alpha: float, runs: int) -> float:
    """Share of simulated paired sets of two equal arms that a TOST finds equal: both t tests reject, written out."""
    from scipy import stats

    differences = spread * np.random.default_rng([runs, round(1e6 * alpha)]).standard_normal((SETS, runs))
    half_width = stats.t.ppf(1 - alpha, runs - 1) * differences.std(1, ddof=1) / math.sqrt(runs)
    return float((np.abs(differences.mean(1)) + half_width < MARGIN).mean())


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("spread", [0.02, 0.05, 0.12])
def test_the_stated_runs_find_equality_as_often_as_promised(spread, alpha):
    """Nine times in ten, less three Monte Carlo errors of 4,000 sets; half of them do so less often, and miss the promise."""
    runs = runs_for_equivalence(spread, MARGIN, alpha)
    error = 3 * math.sqrt(POWER * (1 - POWER) / SETS)
    assert found_equal(spread, alpha, runs) >= POWER - error
    assert found_equal(spread, alpha, max(2, runs // 2)) < POWER - error


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_judge_finds_equality_with_the_stated_runs(alpha):
    """The same with the judge's own interval: 400 sets of scores, one figure a run."""
    runs = runs_for_equivalence(0.05, MARGIN, alpha)
    scores = 0.05 * np.random.default_rng(0).standard_normal((400, runs, 1))
    rule = Rule(-MARGIN, MARGIN, alpha)
    held = np.mean([judge(Mean(one, nested=True), rule).outcome is Outcome.HOLDS for one in scores])
    assert held >= POWER - 3 * math.sqrt(POWER * (1 - POWER) / 400)


@pytest.mark.parametrize("runs", [4, 8, 16, 32])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_power_is_a_lower_bound_and_a_close_one_where_it_is_high(runs, alpha):
    """Within Monte Carlo error below what is found; not more than that above it from 0.8 on."""
    error = 3 * math.sqrt(0.25 / SETS)
    for spread in (0.02, 0.05, 0.1):
        stated, found = power_of_equivalence(spread, MARGIN, alpha, runs), found_equal(spread, alpha, runs)
        assert stated <= found + error
        assert stated >= found - error or stated < 0.8


spreads, margins, levels = st.floats(1e-3, 1.0), st.floats(1e-2, 1.0), st.floats(1e-3, 0.1)


@given(spreads, spreads, margins, levels)
def test_a_larger_spread_never_needs_fewer_runs(one, other, margin, alpha):
    low, high = sorted((one, other))
    assume(high / margin < 20)
    assert runs_for_equivalence(low, margin, alpha) <= runs_for_equivalence(high, margin, alpha)


@given(spreads, margins, margins, levels)
def test_a_wider_margin_never_needs_more_runs(spread, one, other, alpha):
    narrow, wide = sorted((one, other))
    assume(spread / narrow < 20)
    assert runs_for_equivalence(spread, narrow, alpha) >= runs_for_equivalence(spread, wide, alpha)


@given(spreads, margins, levels, st.floats(0.5, 0.99))
def test_the_stated_runs_are_the_fewest(spread, margin, alpha, power):
    assume(spread / margin < 20)
    runs = runs_for_equivalence(spread, margin, alpha, power)
    assert power_of_equivalence(spread, margin, alpha, runs) >= power
    assert runs == 2 or power_of_equivalence(spread, margin, alpha, runs - 1) < power


def test_many_runs_come_near_the_normal_formula():
    """(z of the level + z of half the missed power) squared times the variance over the squared margin."""
    from scipy.stats import norm

    spread, alpha = 1.0, 0.05
    expected = ((norm.ppf(1 - alpha) + norm.ppf((1 + POWER) / 2)) * spread / MARGIN) ** 2
    assert runs_for_equivalence(spread, MARGIN, alpha) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("spread", [0.0, 1e-12])
def test_arms_without_a_difference_need_two_runs(spread):
    assert runs_for_equivalence(spread, MARGIN, 0.05) == 2


@pytest.mark.parametrize(
    ("spread", "margin", "alpha", "power"),
    [
        (0.1, 0.0, 0.05, 0.9),
        (0.1, -0.05, 0.05, 0.9),
        (0.1, 0.05, 0.0, 0.9),
        (0.1, 0.05, 0.5, 0.9),
        (0.1, 0.05, 0.05, 1.0),
        (0.1, 0.05, 0.05, 0.0),
        (math.inf, 0.05, 0.05, 0.9),
        (math.nan, 0.05, 0.05, 0.9),
        (-0.1, 0.05, 0.05, 0.9),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_value(spread, margin, alpha, power):
    says = f"margin {margin}, alpha {alpha}, power {power}, spread {spread}: out of range"
    with pytest.raises(ProtocolError, match=says):
        runs_for_equivalence(spread, margin, alpha, power)


def test_more_runs_than_anyone_has_are_refused():
    with pytest.raises(ProtocolError, match=f"spread 10 against margin 0.01 needs more than {MOST:,} runs"):
        runs_for_equivalence(10.0, 0.01, 0.05)
