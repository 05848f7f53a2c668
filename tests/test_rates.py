"""Learning rates: how a sweep goes on, what it chooses, and whether the stored sweeps are finished, fair and true.

subject -> ... -> [rates: sweep] -> lab -> quantity -> verdict
"""

import json
from pathlib import Path

import numpy as np
import pytest

from seeds.budget import TUNING_RUNS
from seeds.claims import load
from seeds.errors import ProtocolError
from seeds.lab import SWEEP_RUNS, Lab
from seeds.rates import ALONG, FIRST, GRID, SWEEP_LOOKS, WORTH, Rates, Sweep, at, swept, trials_of
from seeds.subject import subject
from seeds.trial import Setting, run_trial
from tests.test_finetune import cells

TESTS = Path(__file__).parent
PATH = TESTS / "rates.json"
MLP = Setting("digits-mlp")
SWEEPS = list(Rates.load(PATH))
FAMILIES = ("finetune-", "budget-")
ROWS = [
    row
    for claim in load(TESTS / "claims.toml", TESTS / "expected.toml").values()
    for row in claim.rows
    if claim.name.startswith(FAMILIES)
]


def sweep_of(*best: float, rates: tuple[float, ...] = FIRST) -> Sweep:
    """A sweep whose best rate at each of SWEEP_LOOKS is the given one, by 0.1 over the others."""
    quality = {rate: np.full((2, len(SWEEP_LOOKS)), 0.5) + [0.1 * (rate == one) for one in best] for rate in rates}
    return Sweep(MLP, "fresh", 10, quality)


# -- how it goes on -------------------------------------------------------------------------------------------------------


def test_a_sweep_begins_with_the_first_rates():
    assert Sweep(MLP, "fresh", 10, {}).missing() == list(FIRST)


@pytest.mark.parametrize(
    ("best", "rates", "missing"),
    [
        ((1e-3,) * 4, FIRST, []),
        ((3e-3,) * 4, FIRST, [1e-2]),
        ((3e-4,) * 4, FIRST, [1e-4]),
        ((3e-3, 1e-3, 1e-3, 1e-3), FIRST, [1e-2]),  # the best for one goal is enough
        ((3e-3, 1e-3, 1e-3, 3e-4), FIRST, [1e-4, 1e-2]),
        ((1e-5,) * 4, GRID[:4], []),  # the grid ends there
        ((1e-1,) * 4, GRID[4:], []),
        ((1e-1,) * 4, GRID, []),
    ],
)
def test_a_sweep_goes_on_to_the_side_where_the_best_is_at_an_end(best, rates, missing):
    assert sweep_of(*best, rates=rates).missing() == missing


def test_a_sweep_ends_where_going_on_is_not_worth_it():
    """The end is best, but by less than a hundredth."""
    sweep = sweep_of(*(3e-3,) * 4)
    sweep.quality[1e-3][:] = sweep.quality[3e-3] - 0.9 * WORTH
    assert sweep.missing() == []
    sweep.quality[1e-3][:, 2] = sweep.quality[3e-3][:, 2] - 1.1 * WORTH
    assert sweep.missing() == [1e-2]


@pytest.mark.parametrize("best", GRID)
def test_a_sweep_comes_to_an_end_with_the_best_inside(best):
    """Wherever it is, one rate further than needed on each side and no more; quality falls off by the distance."""
    rates = Rates()
    for _ in GRID:
        for rate in rates.of(MLP, "fresh", 10).missing():
            rates.add(MLP, "fresh", 10, rate, np.full((2, 4), -float(abs(np.log(rate / best)))))
    assert rates.best(MLP, "fresh", 10, 300) == best
    index = [GRID.index(rate) for rate in sorted(rates.of(MLP, "fresh", 10).quality)]
    assert index == list(range(index[0], index[-1] + 1))
    assert index[0] <= max(0, GRID.index(best) - 1)
    assert index[-1] >= min(len(GRID) - 1, GRID.index(best) + 1)


# -- what it chooses ------------------------------------------------------------------------------------------------------


def test_each_goal_has_its_own_best_rate():
    """And along the way the one that is best on average."""
    sweep = sweep_of(3e-3, 1e-3, 1e-3, 3e-4)
    assert [sweep.best(goal) for goal in SWEEP_LOOKS] == [3e-3, 1e-3, 1e-3, 3e-4]
    assert sweep.best(ALONG) == 1e-3
    assert sweep.pilot(10, 10).tolist() == [0.6, 0.6]
    assert sweep.pilot(10, 300).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("rates", "best"), [(FIRST, 1e-3), (GRID[::-1], 1e-3), (GRID[5:], 3e-3), (GRID[:3], 1e-4)])
def test_of_equally_good_rates_the_middling_one_is_chosen(rates, best):
    """In whichever order they were swept."""
    assert sweep_of(0, 0, 0, 0, rates=rates).best(300) == best


def test_a_rate_at_which_a_run_diverged_is_never_the_best():
    sweep = sweep_of(*(1e-3,) * 4)
    sweep.quality[1e-3][1, 3] = -np.inf
    assert sweep.best(300) != 1e-3
    assert sweep.best(99) == 1e-3


def test_a_goal_that_was_not_looked_at_is_refused():
    with pytest.raises(ProtocolError, match=r"goal 50 is out of range: 0 \(along the way\) or 10, 30, 99, 300 steps"):
        at(np.zeros((2, 4)), 50)


@pytest.mark.parametrize("rates", [Rates(), Rates([sweep_of(*(3e-3,) * 4)])], ids=["not swept", "not finished"])
def test_an_arm_without_a_finished_sweep_has_no_rate(rates):
    with pytest.raises(ProtocolError, match="no finished sweep of rates for fresh of digits-mlp with 10 samples"):
        rates.best(MLP, "fresh", 10, 300)


def test_sweeps_come_back_from_their_file(tmp_path):
    """To five digits, with diverged runs; the same sweeps make the same file in any order."""
    rng = np.random.default_rng(0)
    rates = Rates()
    for setting in (Setting("digits-mlp-04", transfer=True), MLP):
        for rate in (3e-3, 1e-5):
            rates.add(setting, "moments", 99, rate, rng.standard_normal((3, 4)))
    rates.add(MLP, "fresh", 10, 1e-1, np.full((3, 4), -np.inf))
    rates.save(tmp_path / "rates.json")
    back = Rates.load(tmp_path / "rates.json")
    assert len(list(back)) == 3
    for sweep in rates:
        found = back.of(sweep.setting, sweep.arm, sweep.samples)
        assert found.quality.keys() == sweep.quality.keys()
        for rate, quality in sweep.quality.items():
            np.testing.assert_allclose(found.quality[rate], quality, rtol=0, atol=5.001e-6)  # five digits
    Rates(reversed(list(back))).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "rates.json").read_bytes()
    assert not list(Rates.load(tmp_path / "none.json"))


# -- tests/rates.json -----------------------------------------------------------------------------------------------------


def test_the_file_was_swept_on_runs_that_are_never_judged():
    """And on the calibration split."""
    head = json.loads(PATH.read_text())
    assert (head["first_run"], head["scored_on"], head["looks"]) == (TUNING_RUNS, "calibration", list(SWEEP_LOOKS))
    for trial in trials_of(MLP, "fresh", 10, 1e-3, 8, 4):
        assert (trial.first_run >= TUNING_RUNS, trial.scored, trial.looks) == (True, "calibration", SWEEP_LOOKS)


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda s: f"{s.setting}-{s.arm}-{s.samples}")
def test_every_sweep_is_finished(sweep):
    """No best rate is clearly ahead at an end; all rates have one number of runs, from the first three on without a gap."""
    assert sweep.missing() == []
    assert set(FIRST) <= set(sweep.quality)
    index = [GRID.index(rate) for rate in sorted(sweep.quality)]
    assert index == list(range(index[0], index[-1] + 1))
    runs = SWEEP_RUNS[0 if subject(sweep.setting.subject).vectorised else 1]
    assert {quality.shape for quality in sweep.quality.values()} == {(runs, len(SWEEP_LOOKS))}


@pytest.mark.parametrize("subject_name", sorted({row.subject for row in ROWS}))
def test_every_arm_of_every_row_was_swept(subject_name):
    """Fresh and original as well as the seed: nobody is tuned alone. A row that chooses inside its budget needs no sweep."""
    lab = Lab(Rates(SWEEPS))
    wanted = {cell for row in ROWS if row.subject == subject_name and row.view != "inside" for cell in cells(row)}
    unswept = set()
    for cell in wanted:
        try:
            lab.rate(cell)
        except ProtocolError:
            unswept.add(f"{cell.setting}: {cell.arm} with {cell.samples} samples")
    assert wanted
    assert sorted(unswept) == []


def test_a_stored_sweep_is_what_is_measured():
    """One cheap cell, swept again: eight runs on ten samples.

    Five digits are stored. On another CPU sums have another order, and an example at the border may fall otherwise: up to two
    of the 200, in a tenth of the figures.
    """
    (trial,) = trials_of(MLP, "fresh", 10, 1e-3, SWEEP_RUNS[0], SWEEP_RUNS[0])
    off = np.abs(swept([run_trial(trial)]) - Rates.load(PATH).of(MLP, "fresh", 10).quality[1e-3])
    assert off.max() < 0.0101
    assert (off > 1e-4).mean() <= 0.1
