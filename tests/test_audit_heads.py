"""Ten samples and ten steps, and 200 untrained heads: what is drawn, and how it is counted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn

from seeds import hub
from seeds.audit import heads as heads_module
from seeds.audit import tiny
from seeds.audit.heads import Heads, extreme
from seeds.audit.protocol import Protocol
from seeds.data import Examples
from seeds.errors import ProtocolError, SubjectUnavailable
from seeds.finetune import Curves
from seeds.library.training import rng
from seeds.measure import FRESH
from seeds.subject import subject

pytestmark = pytest.mark.audit

DIGITS, GPT, BERT = subject("digits-mlp"), subject("docs-gpt"), subject("docs-bert")
LEVEL = 1e-4  # of a statistical test with fixed numbers: how rarely it would fail for others
RAW, DRAWN = Protocol(uncalibrated=True), Protocol(components_ignored=True)


# -- ten samples ----------------------------------------------------------------------------------------------------------


def reviews(split, count=12, rng_seed=0):
    """Random ids of two classes in the order of a sorted file; every other row shows its first two only."""
    ids = torch.randint(1, 1000, (2 * count, 8), generator=torch.Generator().manual_seed(rng_seed))
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[::2, 2:] = False
    return Examples(ids, torch.arange(2).repeat_interleave(count), mask, f"reviews/{split}")


@pytest.fixture
def sorted_file(monkeypatch):
    splits = {"test": reviews("test", rng_seed=1), "calibration": reviews("calibration", rng_seed=2)}
    monkeypatch.setattr(hub, "imdb", lambda: splits)
    return splits


@pytest.mark.parametrize("one_class", [False, True])
def test_ten_samples_are_of_one_class_or_in_balance(one_class):
    """Another ten in each run, the same ten in another call, none of them twice."""
    labels = torch.zeros(50, dtype=torch.long) if one_class else torch.arange(2).repeat_interleave(50)
    found = [rows for _, rows in tiny._drawn(labels, Protocol(one_class=one_class), 6)]
    assert [run for run, _ in tiny._drawn(labels, Protocol(one_class=one_class), 6)] == [*range(6)]
    assert [len(set(rows)) for rows in found] == [10] * 6
    assert [labels[torch.from_numpy(rows)].bincount(minlength=2).tolist() for rows in found] == [
        [10, 0] if one_class else [5, 5]
    ] * 6
    assert len({frozenset(rows) for rows in found}) == 6
    assert len(set().union(*found)) > 25
    again = [rows for _, rows in tiny._drawn(labels, Protocol(one_class=one_class), 2)]
    np.testing.assert_array_equal(again, found[:2])


def lessons_of(protocol, monkeypatch, measure):
    """What the runs are taught and asked, without the training; and the plan."""
    seen = []

    def instead(models, forward, kind, lessons, plan):
        seen.extend([lessons, plan])
        scores = np.zeros((len(models), 1, len(lessons[0].test)))
        return Curves((10,), scores, scores, scores[0, 0], np.zeros((len(models), 10)), np.zeros(1))

    monkeypatch.setattr(tiny, "finetune", instead)
    found = tiny.accuracy_after(subject("bert-tiny"), FRESH, protocol, 2, measure)
    assert len(found.scores) == 2
    return seen


@pytest.mark.parametrize("one_class", [False, True])
def test_runs_are_taught_and_asked_one_class_or_both(one_class, sorted_file, monkeypatch, measure):
    """Samples come from the split that is not scored."""
    lessons, plan = lessons_of(Protocol(one_class=one_class), monkeypatch, measure)
    assert (plan.budget.samples, plan.budget.steps, plan.budget.batch, plan.looks) == (10, 10, 10, (10,))
    pool = {tuple(row) for row in sorted_file["calibration"].inputs.tolist()}
    for run, lesson in enumerate(lessons):
        assert lesson.run == run
        assert {tuple(row) for row in lesson.labelled.inputs.tolist()} <= pool
        assert lesson.labelled.labels.bincount(minlength=2).tolist() == ([10, 0] if one_class else [5, 5])
        assert lesson.test.labels.bincount(minlength=2).tolist() == ([12, 0] if one_class else [12, 12])


@pytest.mark.hub
@pytest.mark.parametrize("one_class", [False, True])
def test_no_review_is_taught_and_asked(one_class, monkeypatch, measure):
    try:
        lessons, _ = lessons_of(Protocol(one_class=one_class), monkeypatch, measure)
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))
    for lesson in lessons:
        taught, asked = ({tuple(row) for row in examples.inputs.tolist()} for examples in (lesson.labelled, lesson.test))
        assert len(taught) == 10
        assert not taught & asked


# -- untrained heads ------------------------------------------------------------------------------------------------------


def small_bert(rng_seed, std):
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=8, hidden_size=64, num_hidden_layers=0, num_attention_heads=1, max_position_embeddings=4,
        initializer_range=std,
    )  # fmt: skip
    with rng(rng_seed):
        return BertForSequenceClassification(config)


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_heads_are_drawn_as_the_architecture_draws_them(std):
    """Normal values of the stated spread and no bias: 12,800 of each, within five standard errors and the same to a KS test."""
    models = [small_bert(rng_seed, std) for rng_seed in range(100)]
    fresh = torch.cat([model.classifier.weight.detach().flatten() for model in models]).numpy()
    drawn = torch.stack([heads_module._untrained(models[0], body, head) for body in range(20) for head in range(5)])
    assert drawn.shape == (100, 2, 64)
    values = drawn.flatten().numpy()
    error = std / np.sqrt(len(values))
    assert values.mean() == pytest.approx(0, abs=5 * error)
    assert values.std() == pytest.approx(std, abs=5 * error / np.sqrt(2))
    same, wider = (ks_2samp(values, scale * fresh) for scale in (1.0, 1.1))
    assert same.pvalue > LEVEL  # pyright: ignore
    assert wider.pvalue < LEVEL, "the control: a tenth more would be seen"  # pyright: ignore
    assert all((model.classifier.bias == 0).all() for model in models)
    assert len(drawn.flatten(1).unique(dim=0)) == 100
    assert torch.equal(drawn[7], heads_module._untrained(models[1], 1, 2)), "of body 1, head 2, whatever the weights"


def test_a_model_without_a_linear_classifier_has_no_such_heads():
    model = nn.Module()
    model.classifier, model.config = nn.Sequential(nn.Linear(2, 2)), SimpleNamespace(initializer_range=0.02)  # pyright: ignore
    with pytest.raises(ProtocolError, match="no linear classifier with a stated init"):
        heads_module._untrained(model, 0, 0)


def test_heads_score_what_their_models_would(sorted_file, monkeypatch, measure):
    """With each head in the model's place and no bias: accuracies of the file's first half, and of all of it."""
    monkeypatch.setattr(heads_module, "BODIES", 2)
    monkeypatch.setattr(heads_module, "PER_BODY", 4)
    one, test = subject("bert-tiny"), sorted_file["test"]
    found = heads_module.heads(one, FRESH, measure)
    assert found.arm == FRESH
    expected = torch.zeros(2, 4, 24, dtype=torch.float64)
    for body in range(2):
        model = measure.model(one, FRESH, body)
        assert not model.classifier.bias.any()
        for head in range(4):
            model.classifier.weight.data = heads_module._untrained(model, body, head)
            with torch.inference_mode():
                named = model(input_ids=test.inputs, attention_mask=test.mask).logits.argmax(1)
            expected[body, head] = named == test.labels
    np.testing.assert_allclose(found.one_class, expected[:, :, :12].mean(2))
    np.testing.assert_allclose(found.balanced, expected.mean(2))
    assert found.one_class.std() > 0.1


def test_extreme_is_within_a_hundredth_of_nothing_or_everything():
    assert extreme(np.array([0.0, 0.01, 0.011, 0.5, 0.989, 0.99, 1.0, 0.2])) == 0.5
    assert extreme(np.array([[0.0, 1.0], [1.0, 0.0]])) == 1.0
    assert extreme(np.full((2, 3), 0.5)) == 0.0


def test_bodies_are_apart_by_their_first_heads():
    """Each pair of bodies once, the gap itself included; further heads of a body do not count."""
    one_class = np.array([[0.0, 0.9], [1.0, 0.9], [0.25, 0.9], [0.75, 0.9]])
    balanced = np.array([[0.5, 0.0], [0.5, 1.0], [0.5, 0.0], [1.0, 1.0]])
    found = Heads(FRESH, one_class, balanced)
    assert tuple(found.apart(0.5)) == (4 / 6, 3 / 6)
    assert tuple(found.apart(0.75)) == (3 / 6, 0.0)
    assert tuple(found.apart(0.76)) == (1 / 6, 0.0)


def test_times_as_spread_is_over_all_heads():
    """Standard deviations 0.5 and 0.05, over bodies and heads alike."""
    found = Heads(FRESH, np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.45, 0.55], [0.45, 0.55]]))
    assert found.times_as_spread == pytest.approx(10)


def test_heads_that_are_all_alike_in_balance_have_no_spread_to_compare_with():
    assert Heads(FRESH, np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])).times_as_spread == np.inf
