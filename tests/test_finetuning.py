"""The trainer: steps, clipping and decay as a plain loop has them, runs that do not see each other, and scores along the way.

subject -> extract -> Seed -> store -> assemble -> [finetune] -> verdict
"""

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seeds.budget import Budget, batches
from seeds.errors import ProtocolError
from seeds.evaluate import evaluate_language_model
from seeds.finetune import CLIP, WEIGHT_DECAY, Curves, Lesson, Plan, finetune
from seeds.library import digits_mlp
from seeds.library.training import rng
from seeds.subject import evaluate, subject
from seeds.task import task
from seeds.trial import Prepared, Setting, Trial, prepare

RUNS, STEPS = 8, 40
MLP = Setting("digits-mlp")
TRIAL = Trial(MLP, "moments", samples=50, rate=3e-3, first_run=0, runs=RUNS, looks=(0, 10, STEPS))
ROUNDING_NATS = 1e-4  # float32 sums in another order, after 40 steps: 1e-5 here; without decay it is 0.1, without clipping 6
BOTH_WAYS = pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])


def trained(ready: Prepared, together: bool) -> Curves:
    return finetune(ready.models, ready.forward, ready.kind, ready.lessons, ready.plan, together)


def same(a: Curves, b: Curves) -> bool:
    """Whether scores have the same bits."""
    assert a.correct is not None
    assert b.correct is not None
    return np.array_equal(a.nats, b.nats) and np.array_equal(a.correct, b.correct)


# -- steps ----------------------------------------------------------------------------------------------------------------


def plain(model: nn.Module, lesson: Lesson, plan: Plan) -> tuple[np.ndarray, int]:
    """The trainer in a dozen lines: nats (examples,) after the last step, and how many gradients were clipped."""
    labels, truth = lesson.labelled.labels, lesson.test.labels
    assert labels is not None
    assert truth is not None
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.01)
    clipped = 0
    for rows in torch.from_numpy(batches(plan.budget, lesson.run)):
        optimizer.zero_grad()
        functional.cross_entropy(model(lesson.labelled.inputs[rows]), labels[rows]).backward()
        clipped += bool(nn.utils.clip_grad_norm_(model.parameters(), 1.0) > 1.0)
        optimizer.step()
    with torch.inference_mode():
        return functional.cross_entropy(model(lesson.test.inputs), truth, reduction="none").numpy(), clipped


@BOTH_WAYS
def test_a_run_is_what_a_plain_loop_makes_of_it(together):
    """AdamW with decay, clipped gradients, the budget's batches; some gradients are clipped and some are not."""
    ready = prepare(TRIAL)
    found = [plain(copy.deepcopy(model), lesson, ready.plan) for model, lesson in zip(ready.models, ready.lessons, strict=True)]
    clipped = sum(count for _, count in found)
    assert 0 < clipped < RUNS * STEPS
    np.testing.assert_allclose(trained(ready, together).nats[:, -1], [nats for nats, _ in found], rtol=0, atol=ROUNDING_NATS)
    assert (CLIP, WEIGHT_DECAY) == (1.0, 0.01)


def test_runs_learn_the_same_together_and_one_by_one():
    alone, stacked = (trained(prepare(TRIAL), together) for together in (False, True))
    np.testing.assert_allclose(stacked.nats, alone.nats, rtol=0, atol=ROUNDING_NATS)
    np.testing.assert_array_equal(stacked.drawn, alone.drawn)
    assert stacked.looks == alone.looks == TRIAL.looks
    gained = stacked.quality()[:, -1] - stacked.quality()[:, 0]
    assert gained.mean() > 0.3, "something was learned, so there was something to differ in"


@BOTH_WAYS
def test_a_long_training_passes_through_every_shorter_one(together):
    """One run serves all budgets of steps, bit by bit: nothing is scheduled, and looking on the way changes nothing."""
    short = replace(TRIAL, runs=2, looks=(0, 10, 30))
    long = trained(prepare(replace(short, looks=(0, 5, 10, 30, 300))), together)
    stopped = trained(prepare(short), together)
    np.testing.assert_array_equal(long.nats[:, [0, 2, 3]], stopped.nats)
    assert not np.array_equal(long.nats[:, 4], stopped.nats[:, 2])


def test_gradients_are_clipped_run_by_run():
    """A neighbour with gradients thousands of times larger changes nothing, bit by bit."""
    calm, beside = prepare(TRIAL), prepare(TRIAL)
    with torch.no_grad():
        for weight in beside.models[3].parameters():
            weight.mul_(30)
    alone, disturbed = trained(calm, together=True), trained(beside, together=True)
    others = [run for run in range(RUNS) if run != 3]
    np.testing.assert_array_equal(disturbed.nats[others], alone.nats[others])
    assert disturbed.nats[3, 0].mean() > 100 * alone.nats[3, 0].mean()


@BOTH_WAYS
def test_a_run_does_not_depend_on_the_models_beside_it(together):
    """Blocks of runs are as good as all at once: each learns the same in other company."""
    whole = trained(prepare(TRIAL), together)
    part = trained(prepare(replace(TRIAL, first_run=4, runs=4)), together)
    np.testing.assert_allclose(part.nats, whole.nats[4:], rtol=0, atol=ROUNDING_NATS if together else 0)


def test_nothing_is_dropped_out():
    """A model that comes in training mode, with dropout, learns as one without."""

    def with_dropout(share: float) -> nn.Module:
        with rng(0):
            return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(share), nn.Linear(32, 10)).train()

    ready = prepare(replace(TRIAL, runs=1))
    found = [trained(replace(ready, models=[with_dropout(share)]), together=False) for share in (0.0, 0.9)]
    assert same(*found)


def test_seconds_of_training_only_grow():
    elapsed_s = trained(prepare(TRIAL), together=True).elapsed_s
    assert elapsed_s.shape == (len(TRIAL.looks),)
    assert elapsed_s[0] == 0
    assert (np.diff(elapsed_s) > 0).all()


# -- scores ---------------------------------------------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e30], ids=str)
def test_a_diverged_run_knows_nothing_and_hurts_nobody(together, poison):
    """Infinite nats and no correct answer, from the first look on and after any number of steps."""
    wild = replace(TRIAL, arm="fresh", rate=0.9, runs=3)
    calm, ready = trained(prepare(wild), together), prepare(wild)
    with torch.no_grad():
        for weight in ready.models[1].parameters():
            weight.fill_(poison)
    found = trained(ready, together)
    assert found.correct is not None
    assert np.isposinf(found.nats[1]).all()
    assert (found.correct[1] == 0).all()
    np.testing.assert_array_equal(found.nats[[0, 2]], calm.nats[[0, 2]])


@BOTH_WAYS
@pytest.mark.parametrize("arm", ["fresh", "original"])
def test_before_training_scores_are_those_of_evaluation(arm, together):
    """Accuracy to the last example; nats are kept in float32 and summed in another order."""
    ready = prepare(replace(TRIAL, arm=arm, runs=2, looks=(0,)))
    one = subject("digits-mlp")
    expected = [evaluate(model, one.forward, one.task) for model in ready.models]
    found = trained(ready, together)
    assert found.correct is not None
    np.testing.assert_array_equal(found.correct[:, 0], [e.correct for e in expected])
    np.testing.assert_allclose(found.nats[:, 0], [e.nats for e in expected], rtol=1e-5, atol=1e-6)


def test_a_language_model_is_scored_on_its_real_tokens():
    """Nats, their weights and the quality before training are evaluation's; two steps lower the nats."""
    ready = prepare(Trial(Setting("docs-gpt"), "fresh", samples=10, rate=3e-3, first_run=0, runs=1, looks=(0, 2)))
    test = task("docs-text").splits()["test"]
    expected = evaluate_language_model(ready.models[0], ready.forward, test, None)
    found = trained(ready, together=False)
    assert found.correct is None
    np.testing.assert_allclose(found.nats[0, 0], expected.nats, rtol=1e-5)  # float32
    np.testing.assert_array_equal(found.weights, expected.weights)
    before, after = found.quality()[0]
    assert before == pytest.approx(-np.average(expected.nats, weights=expected.weights), rel=1e-5)
    assert after > before + 0.01


def test_quality_is_accuracy_or_minus_nats_per_token():
    nats = np.array([[[1.0, 4.0], [0.5, np.inf]]])  # (1 run, 2 looks, 2 examples)
    language = Curves((0, 5), nats, None, np.array([3.0, 1.0]), np.zeros((1, 1)), np.zeros(2))
    np.testing.assert_array_equal(language.quality(), [[-1.75, -np.inf]])
    classified = replace(language, correct=np.array([[[1, 0], [1, 1]]], dtype=np.uint8))
    np.testing.assert_array_equal(classified.quality(), [[0.5, 1.0]])


# -- protocol -------------------------------------------------------------------------------------------------------------


def test_a_labelled_sample_that_is_scored_is_refused():
    """Found by content: the same image under another name is enough."""
    lesson = prepare(replace(TRIAL, runs=1, looks=(0,))).lessons[0]
    leaked = replace(lesson.labelled, split="digits/other")
    with pytest.raises(ProtocolError, match=r"50 of the labelled samples are scored examples of digits/other, too"):
        replace(lesson, test=leaked)
    one = leaked[torch.tensor([7])]
    with pytest.raises(ProtocolError, match=r"^1 of the labelled samples"):
        replace(lesson, test=one)


def test_samples_without_labels_are_refused():
    ready = prepare(replace(TRIAL, runs=1, looks=(0, 1)))
    unlabelled = replace(ready.lessons[0], labelled=replace(ready.lessons[0].labelled, labels=None))
    for together in (False, True):
        with pytest.raises(ProtocolError, match="digits/labelled has no labels"):
            trained(replace(ready, lessons=[unlabelled]), together)


def test_every_lesson_needs_a_model():
    ready = prepare(replace(TRIAL, runs=2, looks=(0,)))
    with pytest.raises(ProtocolError, match="1 models and 2 lessons; as many are needed"):
        trained(replace(ready, models=ready.models[:1]), together=True)
    with pytest.raises(ProtocolError, match=r"0 models and 0 lessons; .* at least one"):
        trained(replace(ready, models=[], lessons=[]), together=True)


@pytest.mark.parametrize("rate", [0.0, -1e-3, 1.0, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ProtocolError, match=f"learning rate {rate} is out of range: between 0 and 1"):
        Plan(Budget(10, 10, 10), rate, (0, 10))


@pytest.mark.parametrize("looks", [(5, 0), (0, 5, 5), (-1, 5), (0, 11)], ids=str)
def test_looks_out_of_range_are_refused(looks):
    says = f"looks {looks} are out of range: ascending, from 0 to 10 steps"
    with pytest.raises(ProtocolError, match=re.escape(says)):
        Plan(Budget(10, 10, 10), 1e-3, looks)


def test_models_that_are_trained_one_by_one_are_trained_in_place():
    ready = prepare(replace(TRIAL, runs=1, looks=(0, 1)))
    before = digits_mlp.architecture()
    before.load_state_dict(ready.models[0].state_dict())
    trained(ready, together=False)
    pairs = zip(before.parameters(), ready.models[0].parameters(), strict=True)
    assert not any(torch.equal(old, new) for old, new in pairs)
