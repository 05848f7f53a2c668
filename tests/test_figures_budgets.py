"""Curves and maps of budgets: intervals of what their titles name, and none of one run."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from seeds.budget import STEPS
from seeds.figures.budgets import leads
from tests.drawn import drawn, every_row_is_drawn_once, root
from tests.figured import ARMS, changed, made, pieces

RUNS = 3


def names(name: str, data: list) -> list[str]:
    return [group.get("id", "") for group in root(changed(name, data)).iter() if group.get("id", "").startswith("band-")]


# -- leads ----------------------------------------------------------------------------------------------------------------


def test_every_lead_is_paired_by_run_and_all_intervals_hold_at_once():
    """By hand for one of 42: two seeds, three numbers of samples, seven looks."""
    draw = np.random.default_rng(1)
    data = [replace(one, along={arm: draw.uniform(0, 1, (RUNS, 7)).tolist() for arm in one.along}) for one in pieces()]
    found = leads(data)
    assert len(found) == 42
    (one,) = (lead for lead in found if (lead.arm, lead.samples, lead.steps) == ("pca:10", 99, 30))
    ahead = np.array(data[1].along["pca:10"])[:, 4] - np.array(data[1].along["fresh"])[:, 4]
    half = t.ppf(1 - 0.05 / 2 / 42, RUNS - 1) * ahead.std(ddof=1) / RUNS**0.5
    assert (one.mean, one.low, one.high) == pytest.approx((ahead.mean(), ahead.mean() - half, ahead.mean() + half))


def test_intervals_of_leads_hold_all_at_once_where_nothing_leads():
    """500 times the same quality in every arm but for chance: in at most 5 % of them any interval leaves out zero.

    The 5 % and three standard errors of 500 draws.
    """
    draw, missed = np.random.default_rng(0), 0
    for _ in range(500):
        data = [replace(one, along={arm: draw.normal(0, 1, (RUNS, 7)) for arm in one.along}) for one in pieces()]
        ends = np.array([(lead.low, lead.high) for lead in leads(data)], float)
        missed += bool((ends[:, 0] > 0).any() or (ends[:, 1] < 0).any())
    assert 0 < missed / 500 < 0.05 + 3 * (0.05 * 0.95 / 500) ** 0.5


def test_the_title_names_the_largest_lead_of_each_seed_with_its_interval():
    """In one cell a seed is ahead by 0.25, 0.5 and 0.75 of the runs, and by 0.1 of all where most was spent."""
    level = {arm: [[0.5] * 7] * RUNS for arm in ("original", "moments", "fresh")}
    data = [replace(one, along=level) for one in pieces()]
    ahead = [[*[0.5] * 2, 0.5 + lead, *[0.5] * 4] for lead in (0.25, 0.5, 0.75)]
    data[1] = replace(data[1], along=level | {"moments": ahead})
    data[2] = replace(data[2], along=level | {"moments": [[0.5] * 6 + [0.6]] * RUNS})
    half = t.ppf(1 - 0.05 / 2 / 21, RUNS - 1) * 0.25 / RUNS**0.5
    interval = f"[{0.5 - half:.2f}, {0.5 + half:.2f}]".replace("-", "\N{MINUS SIGN}")
    one = changed("curves", data)
    assert f"largest mean lead over fresh weights 0.50 {interval} for moments (5 steps on 99 samples);" in one.title
    assert one.title.endswith("; 0.10 [0.10, 0.10] after 300 steps on 500")
    assert "chosen among 21: their intervals hold for all of these at once" in one.caption


def test_without_fresh_weights_nothing_leads():
    one = changed("curves", [replace(p, along={"moments": p.along["moments"]}) for p in pieces()])
    assert one.title == "made-up: quality over steps, with 500 samples and fewer"
    assert "chosen among" not in one.caption


# -- budgets --------------------------------------------------------------------------------------------------------------


def test_the_map_names_the_first_budget_whose_mean_is_enough_with_its_interval():
    """Two seeds that are enough from one cell on, whose runs lie further apart from cell to cell; and one that never is."""
    data = []
    for one, starts in zip(pieces(), ({}, {"moments": 3}, {"moments": 0, "fresh": 4}), strict=True):
        apart = np.linspace(0.01, 0.06, len(STEPS))
        budget = {
            arm: [(np.arange(len(STEPS)) >= starts.get(arm, 99)) * 0.92 + run * apart for run in (-1, 0, 1)] for arm in ARMS
        }
        data.append(replace(one, budget=budget))
    one = changed("budgets", data)
    assert one.title.startswith("made-up, fewest samples × steps whose mean reaches 0.91: ")  # 0.1 + 0.95 * (0.95 - 0.1)
    half = [t.ppf(0.975, RUNS - 1) * apart / RUNS**0.5 for apart in (0.04, 0.05)]
    assert f"99 × {STEPS[3]} from moments [{0.92 - half[0]:.2f}, {0.92 + half[0]:.2f}]" in one.title
    assert f"500 × {STEPS[4]} from fresh [{0.92 - half[1]:.2f}, {0.92 + half[1]:.2f}]" in one.title
    assert "none from original, none from pca:10" in one.title
    assert "Whether a budget is enough, claims judge." in one.caption


# -- one run --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["curves", "budgets"])
def test_one_run_has_no_interval_anywhere(name):
    """Neither in the CSV nor drawn nor told: its width would be zero."""
    one = changed(name, pieces(runs=1))
    assert {row[5:8] for row in one.rows} == {(None, None, 1)}
    assert names(name, pieces(runs=1)) == []
    every_row_is_drawn_once(one)
    assert "One run on held-out examples, no interval" in one.caption
    assert "[no interval]" in one.title
    assert not any(word in one.caption + one.title for word in ("95 %", "bands", "Mean of", "chosen among", "[0."))


@pytest.mark.parametrize("name", ["curves", "budgets"])
def test_of_pieces_of_different_runs_those_of_one_have_no_interval(name):
    data = [*pieces(runs=1)[:1], *pieces()[1:]]
    one = changed(name, data)
    assert {row[2] for row in one.rows if row[5] is None and row[6] is None} == {10}
    assert "Mean of 1 to 3 paired runs on held-out examples" in one.caption
    assert "none of one run" in one.caption
    if name == "curves":
        with_band = {tuple(map(int, band.split("-")[1:])) for band in names(name, data)}
        assert with_band == {(line.first, line.last) for line in drawn(one) if one.rows[line.first][2] != 10}


def test_bands_are_there_where_there_are_runs():
    """What the tests above do not find is found here."""
    assert len(names("curves", pieces())) == 3 * 4
    assert len({row[3] for row in made("budgets").rows}) == len(STEPS)
