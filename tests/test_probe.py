"""The linear probe: how many labels it uses, which split chooses its penalty, and that the scored one only ever answers.

subject -> ... -> assemble -> evaluate -> [probe] -> verdict
"""

import numpy as np
import pytest
import torch

from seeds import probe
from seeds.data import Examples
from seeds.probe import PENALTIES, probe_scores

SIZES = {"probe": 60, "calibration": 40, "test": 200}
NOISY = 12  # features that say nothing: a weak penalty learns them by heart


def planted(rng_seed: int) -> tuple[dict[str, np.ndarray], dict[str, Examples]]:
    """Features of which the first one tells two classes apart, with much noise; and the examples, half of each class."""
    rng = np.random.default_rng(rng_seed)
    found, splits = {}, {}
    for split, count in SIZES.items():
        labels = np.arange(count) % 2
        found[split] = np.column_stack([labels + rng.standard_normal(count), rng.standard_normal((count, NOISY))])
        splits[split] = Examples(torch.zeros(count, 1), torch.from_numpy(labels), None, split)
    return found, splits


@pytest.mark.parametrize("per_class", [1, 5, 20])
def test_a_probe_uses_so_many_labels_of_each_class_and_other_ones_in_each_run(per_class):
    """Without repeats; the same ones whatever the features are, so that all arms of a run have the same labels."""
    labels = np.repeat([0, 1, 2], 30)
    rows = [probe._drawn(labels, per_class, run) for run in (0, 1, 0)]
    for drawn in rows:
        assert np.bincount(labels[drawn]).tolist() == [per_class] * 3
        assert len(set(drawn.tolist())) == 3 * per_class
    assert rows[0].tolist() == rows[2].tolist() != rows[1].tolist()


def test_a_probe_sees_no_labelled_example_beyond_those_it_may_use():
    """With the features of all others thrown far away, it gives the same answers."""
    found, splits = planted(0)
    used = probe._drawn(np.asarray(splits["probe"].labels), 10, 3)
    moved = found["probe"].copy()
    moved[np.setdiff1d(np.arange(SIZES["probe"]), used)] = 1e3
    np.testing.assert_array_equal(probe_scores(found | {"probe": moved}, splits, 10, 3), probe_scores(found, splits, 10, 3))


@pytest.mark.parametrize("rng_seed", range(4))
def test_the_penalty_is_chosen_on_the_calibration_split(rng_seed, monkeypatch):
    """With both answers swapped in the scored split, exactly the other examples are right: none of them has a say.

    Other penalties would be right on others, so there is something to choose.
    """
    found, splits = planted(rng_seed)
    test = splits["test"]
    assert test.labels is not None
    swapped = splits | {"test": Examples(test.inputs, 1 - test.labels, None, "test")}
    right, wrong = (probe_scores(found, asked, 20, 0) for asked in (splits, swapped))
    np.testing.assert_array_equal(right, 1 - wrong)

    by_penalty = {}
    for penalty in PENALTIES:
        monkeypatch.setattr(probe, "PENALTIES", (penalty,))
        by_penalty[penalty] = probe_scores(found, splits, 20, 0).mean()
    assert len(set(by_penalty.values())) > 1


def test_an_example_is_answered_alike_in_any_company():
    """The scored features are scaled by those of the probe's own examples."""
    found, splits = planted(0)
    whole = probe_scores(found, splits, 20, 0)
    half = probe_scores(found | {"test": found["test"][:100]}, splits | {"test": splits["test"][:100]}, 20, 0)
    np.testing.assert_array_equal(half, whole[:100])
    assert 0.6 < whole.mean() < 0.9  # one deviation apart, half a deviation from the middle: 0.69 at best
