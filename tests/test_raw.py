"""Raw runs: the plain data that a quantity leaves behind give its figure back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.quantity import Counted, Mean, PairedRatio, Quantity, Ratio, Smallest, Throughout
from seeds.report import raw

RNG = np.random.default_rng(5)
SCORES = RNG.normal(2.0, 1.0, (7, 40))
TOKENS = RNG.integers(1, 9, 40).astype(float)
QUANTITIES: dict[str, Quantity] = {
    "counted": Counted(157.5),
    "mean": Mean(SCORES),
    "weighted": Mean(SCORES, TOKENS),
    "not random": Mean(SCORES[:1], random=False),
    "each run its own examples": Mean(SCORES, nested=True),
    "shifted": Mean(SCORES) - 1.5,
    "turned": -Mean(SCORES, TOKENS),
    "ratio": Ratio(Mean(SCORES), Mean(SCORES[:3] + 1)),
    "paired": PairedRatio(Mean(SCORES), Mean(SCORES + 1)),
    "smallest": Smallest((Mean(SCORES), Mean(SCORES - 3), Mean(SCORES + 3))),
    "smallest of ratios": Smallest((Ratio(Mean(SCORES), Counted(2.0)), Ratio(Mean(SCORES), Counted(0.5)))),
    "throughout": Throughout((Mean(SCORES + 1), Mean(SCORES))),
}


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_the_figure_follows_from_the_runs(quantity):
    assert raw.value(quantity.raw()) == pytest.approx(quantity.interval(0.05).value, rel=1e-12)
    assert raw.follows(quantity.interval(0.05).value, quantity.raw())


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_the_figures_of_the_runs_average_to_the_figure(quantity):
    """Of a ratio, those of its top over one bottom."""
    assert np.mean(raw.per_run(quantity.raw())) == pytest.approx(quantity.interval(0.05).value, rel=1e-12)


@pytest.mark.parametrize(("name", "runs"), [("counted", 1), ("mean", 7), ("not random", 1), ("ratio", 7), ("smallest", 7)])
def test_runs_are_counted(name, runs):
    assert raw.count(QUANTITIES[name].raw()) == runs


def test_nothing_follows_from_nothing():
    assert raw.count(None) == 0
    assert raw.follows(None, None)
    assert not raw.follows(0.5, None)


def test_a_figure_whose_run_is_gone_or_changed_no_longer_follows():
    figure, runs = float(SCORES.mean()), Mean(SCORES).raw()
    assert isinstance(runs, list)
    assert raw.follows(figure, runs)
    assert not raw.follows(figure, runs[1:])
    assert not raw.follows(figure, [runs[0] + 1e-3, *runs[1:]])
    assert not raw.follows(figure * 1.0001, runs)


def test_a_figure_of_which_only_rounding_is_left_follows():
    """A model that always gives one answer scores a guess, up to the last bit of each run."""
    assert raw.follows(-3.02593e-17, {"ratio": [[-2.36847579e-17, -1.18423789e-17], [0.478333333]]})
    assert not raw.follows(1e-9, {"ratio": [[-2.36847579e-17, -1.18423789e-17], [0.478333333]]})


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_a_figure_of_six_digits_follows_from_runs_of_nine(top, bottom):
    """As they are stored: also where the runs cancel, and the figure has fewer digits left than it shows."""
    kept = {"ratio": [[float(f"{one:.9g}") for one in top], float(f"{bottom:.9g}")]}
    assert raw.follows(float(f"{np.mean(top) / bottom:.6g}"), kept)


def test_a_ratio_over_nothing_is_infinite_and_has_no_runs_to_show():
    assert raw.value({"ratio": [[-1.0], [0.0]]}) == -np.inf
    assert raw.per_run({"ratio": [[-1.0], [0.0]]}) == []
