"""Budgets: which samples a run sees, in which order; runs differ from each other, arms and budgets do not.

subject -> ... -> assemble -> [budget] -> finetune -> verdict
"""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.budget import LOOKS, SAMPLES, STEPS, TUNING_RUNS, Budget, batches, drawn
from seeds.data import digits
from seeds.errors import ProtocolError

runs = st.integers(0, 2 * TUNING_RUNS)


@st.composite
def pools(draw) -> np.ndarray:
    """Labels (pool,) of 2 to 5 classes with 1 to 9 samples each, shuffled."""
    counts = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    return np.array(draw(st.permutations([label for label, count in enumerate(counts) for _ in range(count)])))


def most(labels: np.ndarray) -> int:
    """The largest balanced draw."""
    counts = np.bincount(labels)
    return len(counts) * int(counts.min())


@given(pools(), runs, st.data())
def test_classes_of_a_draw_differ_by_one_at_most(labels, run, data):
    rows = drawn(labels, data.draw(st.integers(1, most(labels))), run)
    counts = np.bincount(labels[rows], minlength=labels.max() + 1)
    assert counts.max() - counts.min() <= 1


@given(pools(), runs, st.data())
def test_no_sample_is_drawn_twice(labels, run, data):
    samples = data.draw(st.integers(1, most(labels)))
    rows = drawn(labels, samples, run)
    assert rows.shape == (samples,)
    assert len(set(rows.tolist())) == samples
    assert set(rows.tolist()) <= set(range(len(labels)))


@given(pools(), runs, st.data())
def test_a_smaller_draw_begins_any_larger_one(labels, run, data):
    samples = data.draw(st.integers(1, most(labels)))
    assert drawn(labels, samples, run).tolist() == drawn(labels, most(labels), run)[:samples].tolist()


def pool() -> np.ndarray:
    labels = digits()["labelled"].labels
    assert labels is not None
    return labels.numpy()


def test_other_runs_see_other_samples():
    """Not only in another order; judged runs and runs of sweeps alike."""
    sets = {frozenset(drawn(pool(), 10, first + run).tolist()) for first in (0, TUNING_RUNS) for run in range(40)}
    assert len(sets) == 80


def test_every_sample_of_a_pool_is_drawn_equally_often():
    """Half of 20 samples over 2,000 runs: each within five binomial deviations, 112, of 1,000; the first class as well."""
    labels = np.arange(20) % 4
    rows = np.array([drawn(labels, 10, run) for run in range(2000)])
    assert np.abs(np.bincount(rows.flatten(), minlength=20) - 1000).max() < 112
    first = np.bincount(labels[rows[:, 0]], minlength=4)
    assert np.abs(first - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


@pytest.mark.parametrize("samples", [-1, 0, 7])
def test_a_draw_out_of_range_names_what_is_allowed(samples):
    """Two of the smaller of three classes: six in balance."""
    says = f"{samples} labelled samples are out of range: 1 to 6, 3 classes in balance"
    with pytest.raises(ProtocolError, match=re.escape(says)):
        drawn(np.array([0, 0, 1, 1, 1, 2, 2]), samples, 0)


def test_every_subject_has_samples_for_the_largest_budget():
    """The pool of the digits; that of the documentation has 504 (seeds.data)."""
    assert len(drawn(pool(), SAMPLES[-1], 0)) == SAMPLES[-1]


budgets = st.builds(Budget, samples=st.integers(1, 40), steps=st.integers(1, 60), batch=st.integers(1, 40))


@given(budgets, runs)
def test_each_step_has_a_batch_of_samples(budget, run):
    """All of them where there are fewer than a batch; positions among the run's samples."""
    order = batches(budget, run)
    assert order.shape == (budget.steps, min(budget.batch, budget.samples))
    assert order.min() >= 0
    assert order.max() < budget.samples


@given(budgets, runs)
def test_an_epoch_uses_every_sample_once_before_any_repeats(budget, run):
    flat = batches(budget, run).flatten().tolist()
    for start in range(0, len(flat), budget.samples):
        epoch = flat[start : start + budget.samples]
        assert len(set(epoch)) == len(epoch)
        assert len(epoch) == budget.samples or start + len(epoch) == len(flat)


@given(budgets, runs, st.integers(1, 60))
def test_fewer_steps_begin_any_longer_training(budget, run, steps):
    longer = Budget(budget.samples, budget.steps + steps, budget.batch)
    assert batches(longer, run)[: budget.steps].tolist() == batches(budget, run).tolist()


def test_the_order_depends_on_the_run_alone():
    """The same for whoever asks, another for each of 40 runs, and another in each epoch."""
    budget = Budget(50, 20, 10)
    orders = [tuple(batches(budget, run).flatten()) for run in (*range(40), *range(40))]
    assert orders[:40] == orders[40:]
    assert len(set(orders)) == 40
    assert len({orders[0][start : start + 50] for start in (0, 50, 100, 150)}) == 4


@pytest.mark.parametrize("name", ["samples", "steps", "batch"])
def test_an_empty_budget_is_refused(name):
    with pytest.raises(ProtocolError, match=f"{name} 0 is out of range: 1 or more"):
        Budget(**{"samples": 1, "steps": 1, "batch": 1, name: 0})


def test_looks_take_in_every_step_that_is_judged():
    assert set(STEPS) <= set(LOOKS)
    assert list(LOOKS) == sorted(set(LOOKS))
    assert LOOKS[0] == 0
    assert LOOKS[-1] == STEPS[-1]
