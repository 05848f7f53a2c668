"""The grid: what its pieces say together, and files that grow piece by piece."""

import json
from dataclasses import replace

import numpy as np
import pytest

from seeds import grid
from seeds.budget import LOOKS, STEPS
from seeds.grid import ARMS, Piece

RUNS = 4
BY_SAMPLES = {"original": [0.9, 0.9, 0.9], "pca:10": [0.5, 0.8, 0.9], "moments": [0.3, 0.6, 0.88], "fresh": [0.3, 0.5, 0.8]}
SIZES = (10, 99, 500)


def made(samples: int) -> Piece:
    """Quality that every run has alike: `BY_SAMPLES` at the last step, chance at the first, half way in between."""
    final = {arm: values[SIZES.index(samples)] for arm, values in BY_SAMPLES.items()}
    budget = {arm: np.tile(np.linspace(0.1, end, len(STEPS)), (RUNS, 1)).tolist() for arm, end in final.items()}
    along = {arm: np.tile(np.linspace(0.1, end, len(LOOKS)), (RUNS, 1)).tolist() for arm, end in final.items()}
    rates = {arm: [1e-3] * len(STEPS) for arm in ARMS}
    return Piece("made-up", samples, list(LOOKS), 0.1, 0.9, budget, along, rates)


PIECES = [made(samples) for samples in SIZES]


def test_enough_is_a_share_of_what_the_original_knows_above_chance():
    assert grid.target(PIECES) == pytest.approx(0.1 + 0.95 * 0.8)


def test_on_another_task_enough_is_a_share_of_the_best_cell():
    pieces = [replace(piece, reference=None) for piece in PIECES[:2]]
    assert grid.target(pieces) == pytest.approx(0.1 + 0.95 * 0.8)  # the original's 0.9 is the best there, too
    without = [replace(p, budget={arm: p.budget[arm] for arm in ("fresh", "moments")}) for p in pieces]
    assert grid.target(without) == pytest.approx(0.1 + 0.95 * 0.5)


def test_the_smallest_cell_that_is_enough():
    assert grid.smallest(PIECES, "original") == (10, 300)
    assert grid.smallest(PIECES, "moments") == (500, 300)
    assert grid.smallest(PIECES, "fresh") is None


def test_catching_up_is_read_off_the_curve_of_fresh_weights():
    """0.6 lies a third of the way from 0.5 (99 samples) to 0.8 (500), in the logarithm of the samples."""
    found, ahead = grid.catch_up(PIECES, "moments", 99), grid.catch_up(PIECES, "original", 10)
    assert found is not None
    assert ahead is not None
    expected = 99 * (500 / 99) ** (1 / 3)
    assert (found.low, found.value, found.high) == pytest.approx((expected, expected, expected))
    assert ahead.value == float("inf")
    assert grid.catch_up(PIECES[:1], "moments", 10) is None


def test_files_grow_piece_by_piece(tmp_path):
    grid.add(PIECES[:1], tmp_path)
    first = (tmp_path / "made-up.json").read_bytes()
    grid.add([made(500)], tmp_path)
    assert [piece.samples for piece in grid.read(tmp_path / "made-up.json")] == [10, 500]
    assert json.loads(first)["pieces"][0] == json.loads((tmp_path / "made-up.json").read_text())["pieces"][0]
    grid.write(tmp_path)
    assert "Not measured yet: 25, 50, 99, 250 samples." in (tmp_path / "README.md").read_text()


def test_a_piece_measured_again_replaces_the_stored_one(tmp_path):
    grid.add(PIECES, tmp_path)
    grid.add([replace(made(99), chance=0.2)], tmp_path)
    assert [piece.chance for piece in grid.read(tmp_path / "made-up.json")] == [0.1, 0.2, 0.1]


def test_the_page_tells_what_was_never_reached_and_never_caught():
    text = grid.page({"made-up": PIECES})
    assert "| fresh | none | <= 10 | 99 | 500 |" in text
    assert "| original | 10 samples, 300 steps | > 500 | > 500 | > 500 |" in text


def test_the_page_shows_both_figures_of_a_setting():
    text = grid.page({"made-up": PIECES})
    for name in ("curves-made-up", "budgets-made-up"):
        assert f"](../figures/{name}.svg)" in text
