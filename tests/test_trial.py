"""Trials: paired runs, blocks that do not depend on each other, readable names, and the same figures each time.

subject -> extract -> Seed -> store -> assemble -> [trial: finetune] -> verdict
"""

import re
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from seeds.budget import LOOKS, TUNING_RUNS
from seeds.errors import SubjectUnavailable
from seeds.finetune import Curves, Lesson
from seeds.trial import IMAGE_BATCH, Setting, Trial, prepare, run_trial, starts

MLP, TRANSFER = Setting("digits-mlp"), Setting("digits-mlp-04", transfer=True)
TRIAL = Trial(MLP, "moments", samples=25, rate=3e-3, first_run=0, runs=8, looks=(0, 1, 5))


def same(a: Curves, b: Curves) -> bool:
    return np.array_equal(a.nats, b.nats) and np.array_equal(a.drawn, b.drawn)


def taught(lesson: Lesson) -> tuple:
    """What a run sees, in its order, and what it is asked."""
    return lesson.run, lesson.drawn.tolist(), lesson.labelled.inputs.tolist(), lesson.test.inputs.tolist()


@pytest.mark.parametrize("setting", [MLP, TRANSFER], ids=str)
@pytest.mark.parametrize("arm", ["fresh", "original", "pca:10"])
def test_two_arms_of_a_run_see_the_same_samples_in_the_same_order(setting, arm):
    mine, other = (prepare(replace(TRIAL, setting=setting, arm=name, runs=3)) for name in (arm, "moments"))
    assert [taught(lesson) for lesson in mine.lessons] == [taught(lesson) for lesson in other.lessons]
    assert len({tuple(lesson.drawn) for lesson in mine.lessons}) == 3


def test_labelled_samples_are_what_was_drawn():
    """Rows of the pool, class-balanced, in steps of 32 images."""
    ready = prepare(TRIAL)
    pool = MLP.task.split("labelled")
    for lesson in ready.lessons:
        rows = torch.from_numpy(lesson.drawn)
        assert torch.equal(lesson.labelled.inputs, pool.inputs[rows])
        assert max(Counter(lesson.labelled.labels.tolist()).values()) == 3  # pyright: ignore[reportOptionalMemberAccess]
    assert (ready.plan.budget.samples, ready.plan.budget.steps, ready.plan.budget.batch) == (25, 5, IMAGE_BATCH)
    assert ready.plan.rate == TRIAL.rate


@pytest.mark.parametrize(("scored", "split"), [("test", "digits/test"), ("calibration", "digits/calibration")])
def test_a_trial_is_scored_on_the_split_that_it_names(scored, split):
    assert {lesson.test.split for lesson in prepare(replace(TRIAL, scored=scored)).lessons} == {split}


@pytest.mark.parametrize("samples", [10, 25, 99])
def test_a_rate_chosen_inside_holds_back_a_fifth_that_is_not_trained_on(samples):
    """Trained and held back samples are the run's own samples, each once."""
    whole = prepare(replace(TRIAL, samples=samples, runs=2))
    inside = prepare(replace(TRIAL, samples=samples, runs=2, scored="inside"))
    assert inside.plan.budget.samples == samples - samples // 5
    for all_of_them, lesson in zip(whole.lessons, inside.lessons, strict=True):
        asked, learned = (Counter(row.numpy().tobytes() for row in part.inputs) for part in (lesson.test, lesson.labelled))
        assert asked.total() == samples // 5
        assert asked + learned == Counter(row.numpy().tobytes() for row in all_of_them.labelled.inputs)
        assert lesson.test.split == "digits/labelled"


@pytest.mark.parametrize("subject_name", ["digits-mlp", "digits-cnn"])
def test_every_run_has_fresh_weights_of_its_own(subject_name):
    """Runs that are judged and runs of sweeps: the first layers are alike by no more than chance, five deviations."""
    runs = (*range(4), TUNING_RUNS, TUNING_RUNS + 1)
    models = [starts(Setting(subject_name), "fresh", range(run, run + 1))[0][0] for run in runs]
    rows = np.stack([next(model.parameters()).detach().flatten().numpy() for model in models])
    assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 5 / np.sqrt(rows.shape[1])


def test_fresh_weights_know_nothing_and_trained_ones_do():
    """Of ten classes, before any fine-tuning; each run of the original is the same network."""
    fresh, original = (run_trial(replace(TRIAL, arm=arm, looks=(0,))).quality()[:, 0] for arm in ("fresh", "original"))
    assert fresh.max() < 0.3
    assert original.min() == original.max() > 0.9


def test_a_trial_gives_the_same_bits_twice():
    assert same(run_trial(TRIAL), run_trial(TRIAL))


def test_a_block_of_runs_does_not_depend_on_the_blocks_before():
    """Runs 8 to 15 have the same bits in a process that computed 0 to 7 and in one that did not."""
    later = replace(TRIAL, first_run=8)
    alone = run_trial(later)
    first = run_trial(TRIAL)
    assert same(run_trial(later), alone)
    assert not np.array_equal(first.drawn, alone.drawn)


def trials() -> list[Trial]:
    """Trials that differ in one field or more."""
    rates = (1e-5, 3e-4, 1e-3, 3e-2)
    blocks = ((0, 8), (8, 8), (0, 1), (1, 1), (TUNING_RUNS, 8))
    arms = ("fresh", "moments", "moments:global", "pca:10+noise", "moments+vectors")
    others = product((MLP, Setting("digits-mlp-04"), TRANSFER), arms, (10, 99), rates, blocks)
    found = [Trial(setting, arm, n, rate, first, runs) for setting, arm, n, rate, (first, runs) in others]
    scored = [replace(TRIAL, scored=one) for one in ("test", "calibration", "inside")]
    return found + scored + [replace(TRIAL, looks=looks) for looks in ((0,), (0, 10), (10,), (0, 1, 10), LOOKS)]


def test_names_of_trials_are_unique_and_fit_for_files():
    """Letters, digits and a few marks that no file system minds; short enough for all of them."""
    names = [trial.name for trial in trials()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w,.+=-]{1,200}", name) for name in names)
    assert not any(name.startswith((".", "-")) for name in names)


def test_a_name_tells_what_is_computed():
    trial = Trial(TRANSFER, "moments:global", 99, 3e-4, 8, 8, (10, 30), "calibration")
    assert trial.name == "digits-mlp-04-to-digits-5-9,moments=global,n99,rate-0.0003,runs-8-15,calibration,10-30"


def test_a_setting_is_about_the_task_that_is_learned():
    assert MLP.task.name == "digits"
    assert Setting("digits-mlp-04").task.name == "digits-0-4"
    assert TRANSFER.task.name == "digits-5-9"
    with pytest.raises(SubjectUnavailable, match="digits-mlp has no task to transfer to"):
        _ = Setting("digits-mlp", transfer=True).task
