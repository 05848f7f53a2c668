"""What is expected of deliveries: the file says what is measured, and its figures are read as they are meant."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seeds.cost import expectation
from seeds.cost.delivery import DELIVERIES
from seeds.cost.expectation import Expectation, expected, measured, read, sizes, subjects, write
from seeds.errors import SubjectUnavailable
from seeds.lab import Lab
from seeds.rates import Rates
from seeds.trial import Setting

RATES = Path(__file__).parent / "rates.json"
ROUNDS_OTHERWISE = 0.03  # other processors sum in another order, and answers on the edge change
ONE = Expectation(
    "digits-mlp", "moments", 99, 0.01, [0, 10, 30],
    [[0.0, 0.5, 0.9], [0.1, 0.9, 0.95], [0.0, 0.4, 0.6]],
    [[0.033, -0.1, 0.2], [0.6, 0.3, 0.9], [0.817, 0.5, 1.1]],
)  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(Rates.load(RATES))


@pytest.mark.parametrize(
    ("name", "samples"), [("moments", 99), ("signs+vectors", 0), ("recipe", 10), ("int4", 0)], ids="{}".format
)
def test_the_file_says_what_is_measured(name, samples, lab):
    """Four cheap cells; a change of codec, fine-tuning or data moves them."""
    sent = DELIVERIES[name]
    stored = next(e for e in read() if (e.subject, e.delivery, e.samples) == ("digits-mlp", name, samples))
    found = measured(lab, Setting("digits-mlp"), sent, samples)
    assert (found.rate, found.steps, found.runs) == (stored.rate, stored.steps, stored.runs)
    assert np.array(found.shares) == pytest.approx(np.array(stored.shares), abs=ROUNDS_OTHERWISE)
    assert np.array(found.means) == pytest.approx(np.array(stored.means), abs=ROUNDS_OTHERWISE)


def test_every_delivery_of_every_subject_is_in_the_file():
    assert subjects() == ["digits-cnn", "digits-mlp", "docs-bert", "docs-gpt"]
    for name in subjects():
        for sent in DELIVERIES.values():
            for samples in (0, *sizes(name)):
                assert expected(name, sent, samples).samples == (samples if sent.tuned else 0)


def test_the_original_knows_all_and_a_recipe_nothing_on_arrival():
    for name in subjects():
        assert expected(name, DELIVERIES["original"], 500).at(0).value == 1.0
        assert expected(name, DELIVERIES["recipe"], 500).at(0).value < 0.1


def test_no_interval_of_a_lossy_delivery_has_width_zero():
    """An accuracy that is the same on all examples may differ on others."""
    lossy = [e for e in read() if e.delivery not in ("original", "zstd")]
    assert min(high - low for e in lossy for _, low, high in e.means) > 0
    assert min((found := e.one_run(n)).high - found.low for e in lossy for n in e.steps) > 0


def test_answers_that_no_example_tells_apart_may_differ_on_others(lab):
    """int8 answers all 450 digits as the original does: up to 3.7 / 450 of others may change, over what the original knows."""
    found = measured(lab, Setting("digits-mlp"), DELIVERIES["int8"], 0).at(0)
    assert found.value == 1.0
    assert 0.5 * 3.7 / 450 < found.high - found.value < 2 * 3.7 / 450


def test_samples_that_were_not_measured_count_as_the_next_fewer():
    moments = DELIVERIES["moments"]
    assert [expected("digits-mlp", moments, n).samples for n in (0, 9, 10, 98, 99, 499, 10**6)] == [0, 0, 10, 10, 99, 99, 500]


def test_a_subject_that_was_not_measured_is_named():
    with pytest.raises(SubjectUnavailable, match="no expectations for subject 'gpt2'; allowed: digits-cnn"):
        expected("gpt2", DELIVERIES["moments"], 99)


def test_steps_are_enough_when_three_quarters_of_the_runs_are_there_to_stay():
    assert ONE.reaching(0.9).tolist() == [30, 10, math.inf]
    assert ONE.reaching(0.4).tolist() == [10, 10, 10]
    assert [ONE.steps_to(target) for target in (0.0, 0.4, 0.6, 0.9)] == [0, 10, 30, None]  # two of three are too few


def test_the_prediction_for_one_run_is_wider_than_the_mean_of_several():
    shares = np.random.default_rng(3).normal(0.5, 0.1, size=(400, 9))
    inside = 0
    for *known, following in shares:
        one = replace(ONE, steps=[0], shares=[[share] for share in known], means=[[0.5, 0.5, 0.5]])
        found = one.one_run(0)
        inside += found.low <= following <= found.high
    assert abs(inside / 400 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_a_delivery_without_a_random_part_has_the_interval_of_its_examples():
    one = replace(ONE, steps=[0], shares=[[0.9]], means=[[0.9, 0.85, 0.95]])
    assert one.one_run(0) == one.at(0)


def test_writing_replaces_the_same_and_keeps_the_rest(tmp_path):
    path = tmp_path / "expectation.json"
    other = replace(ONE, samples=10)
    write([ONE, other], path)
    write([replace(ONE, rate=0.5)], path)
    assert read(path) == [other, replace(ONE, rate=0.5)]
    assert expectation.read(tmp_path / "none.json") == []
