"""Metamorphic rows of the metrics: what may be done to examples, labels and head without moving any figure.

Nobody knows what a model should score, but padding, batches, order, threads, the names of classes and words, and the level
and loudness of its logits are no part of what it knows. Each relation has a control: a change that the same test must see.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seeds import evaluate as module
from seeds.data import Examples
from seeds.errors import SubjectUnavailable
from seeds.evaluate import Evaluation, Forward, evaluate_classifier, evaluate_language_model
from seeds.subject import one_thread, subject
from seeds.task import Kind

pytestmark = pytest.mark.audit

TEXT = ["docs-bert", "docs-gpt", pytest.param("bert-tiny", marks=pytest.mark.hub)]
ALL = ["digits-mlp", "digits-cnn", *TEXT]

ROUNDING_NATS = 5e-5
FITTED_NATS = 5e-5
FITTED = 1e-3
VISIBLE_NATS = 1e-2

TEXTS = 72  # scored texts of each subject: more than a batch, and as many per class
SHORTEST, LONGEST = 12, 44  # real tokens per text, so that batches mix lengths; docs-bert has 64 positions
OTHER_BATCH = 33  # examples per pass of the figures that all others are compared with; asked for by no row


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model with the examples that score it and those that calibrate it."""

    kind: Kind
    model: nn.Module
    forward: Forward
    test: Examples
    calibration: Examples

    def scored(self) -> Evaluation:
        how = evaluate_language_model if self.kind == "language" else evaluate_classifier
        return how(self.model, self.forward, self.test, self.calibration)

    def asked(self, change: Callable[[Examples], Examples]) -> "Case":
        """The same model on changed examples, scored and calibrating ones alike."""
        return replace(self, test=change(self.test), calibration=change(self.calibration))

    def with_head(self, change: Callable[[nn.Linear], object]) -> "Case":
        """A copy with another head on the same body: untied from any embedding, with a bias, then changed in place."""
        model = deepcopy(self.model)
        *_, (name, old) = model.named_children()
        assert isinstance(old, nn.Linear)
        head = nn.Linear(old.in_features, old.out_features)
        with torch.no_grad():
            head.weight.copy_(old.weight)
            head.bias.copy_(torch.zeros(old.out_features) if old.bias is None else old.bias)
            change(head)
        setattr(model, name, head)
        return replace(self, model=model)

    def with_words(self, order: Tensor) -> "Case":
        """A copy whose embedding, and what is tied to it, holds word i in row order[i]."""
        model = deepcopy(self.model)
        embedding = model.get_input_embeddings().weight  # pyright: ignore
        with torch.no_grad():
            embedding[order] = embedding.clone()
        return replace(self, model=model)


@cache
def case_of(subject_name: str) -> Case:
    one = subject(subject_name)
    one_thread()
    splits = one.task.splits()
    model = one.assembled(one.published_seed(), RNG_SEED) if one.body else one.original()
    test, calibration = (few(splits[s]) for s in ("test", "calibration"))
    return Case(one.task.kind, model, one.forward, test, calibration)


RNG_SEED = 0


def few(examples: Examples) -> Examples:
    """As they are without a mask; else up to `TEXTS` texts, as many of each class, cut to lengths all over the allowed ones."""
    if examples.mask is None:
        return examples
    assert examples.labels is not None
    classes = examples.labels.unique()
    found = examples[torch.cat([(examples.labels == c).nonzero().flatten()[: TEXTS // len(classes)] for c in classes])]
    assert found.mask is not None
    lengths = SHORTEST + 7 * torch.arange(len(found)) % (LONGEST - SHORTEST + 1)
    mask = found.mask & (torch.arange(found.mask.shape[1]) < lengths[:, None])
    return replace(found, inputs=found.inputs * mask, mask=mask)  # the pad is 0 in every subject


@cache
def plain(subject_name: str) -> Evaluation:
    """The figures that no relation may move."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH", OTHER_BATCH)
        return case_of(subject_name).scored()


@pytest.fixture
def case(subject_name):
    try:
        return case_of(subject_name)
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture
def threads():
    """Sets the number of torch's threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def assert_same(found: Evaluation, expected: Evaluation, order: Tensor | slice = slice(None), loudness: float = 1.0) -> None:
    """Every figure is as expected; examples are in that order of the expected ones, logits so many times as large."""
    rows = order.numpy() if isinstance(order, Tensor) else order
    close(found.inverse_temperature * loudness, expected.inverse_temperature, rtol=FITTED)
    if loudness == 1.0:
        close(found.nats, expected.nats[rows], atol=ROUNDING_NATS)
    close(found.calibrated_nats, expected.calibrated_nats[rows], atol=FITTED_NATS)
    assert np.array_equal(found.weights, expected.weights[rows])
    assert found.is_constant == expected.is_constant
    if expected.correct is None or expected.calibrated_correct is None or expected.auc is None:
        assert found.correct is found.calibrated_correct is found.auc is None
        return
    assert np.array_equal(found.correct, expected.correct[rows])
    assert np.array_equal(found.calibrated_correct, expected.calibrated_correct[rows])
    close(found.auc, expected.auc, atol=1e-4)


def assert_moved(found: Evaluation, expected: Evaluation) -> None:
    """The control: raw figures of some example differ by far more than rounding."""
    assert np.abs(found.nats - expected.nats).max() > VISIBLE_NATS


def close(found, expected, rtol: float = 0.0, atol: float = 0.0) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


# -- padding ----------------------------------------------------------------------------------------------------------------


def random_pads(examples: Examples) -> Examples:
    assert examples.mask is not None
    words = np.random.default_rng(1).integers(1, 2048, size=examples.inputs.shape)
    return replace(examples, inputs=torch.where(examples.mask, examples.inputs, torch.from_numpy(words)))


def other_pads(examples: Examples) -> Examples:
    assert examples.mask is not None
    return replace(examples, inputs=examples.inputs.masked_fill(~examples.mask, 5))


def wider(examples: Examples) -> Examples:
    assert examples.mask is not None
    return replace(examples, inputs=functional.pad(examples.inputs, (0, 20)), mask=functional.pad(examples.mask, (0, 20)))


def unmasked(examples: Examples) -> Examples:
    assert examples.mask is not None
    return replace(examples, mask=torch.ones_like(examples.mask))


@pytest.mark.parametrize("change", [Examples.trimmed, wider], ids=["none", "wider"])
@pytest.mark.parametrize("subject_name", TEXT)
def test_columns_that_are_all_padding_are_no_input(subject_name, change, case):
    """More than docs-bert has positions for, too: they are cut off before it sees them."""
    assert_same(case.asked(change).scored(), plain(subject_name))


@pytest.mark.parametrize("change", [Examples.__getitem__, other_pads, random_pads], ids=["own", "other", "random"])
@pytest.mark.parametrize("subject_name", TEXT)
def test_what_stands_under_the_mask_is_no_input(subject_name, change, case, monkeypatch):
    monkeypatch.setattr(Examples, "trimmed", lambda examples: examples)  # all the padding goes through the model
    monkeypatch.setattr(module, "BATCH", TEXTS)
    padded = case if change is Examples.__getitem__ else case.asked(change)
    assert_same(padded.scored(), plain(subject_name))


@pytest.mark.parametrize("subject_name", TEXT)
def test_padding_without_a_mask_is_seen(subject_name, case):
    assert_moved(case.asked(unmasked).scored(), plain(subject_name))


# -- batches, order, threads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 64, 10**6], ids=["1", "7", "64", "all"])
@pytest.mark.parametrize("subject_name", ALL)
def test_the_batch_size_changes_nothing(subject_name, batch, case, monkeypatch):
    monkeypatch.setattr(module, "BATCH", batch)
    assert_same(case.scored(), plain(subject_name))


@pytest.mark.parametrize("subject_name", ALL)
def test_a_model_that_looks_at_its_batch_is_seen(subject_name, case, monkeypatch):
    def forward(model, inputs, mask):
        states, head = case.forward(model, inputs, mask)
        return states - states.mean(0), head

    centred = replace(case, forward=forward)
    found = []
    for batch in (7, 64):
        monkeypatch.setattr(module, "BATCH", batch)
        found.append(centred.scored())
    assert_moved(*found)


@pytest.mark.parametrize("subject_name", ALL)
def test_the_order_of_examples_changes_nothing(subject_name, case):
    rng = np.random.default_rng(2)
    order, other = (torch.from_numpy(rng.permutation(len(e))) for e in (case.test, case.calibration))
    found = replace(case, test=case.test[order], calibration=case.calibration[other]).scored()
    assert_same(found, plain(subject_name), order)
    assert_moved(found, plain(subject_name))  # example by example they are others


@pytest.mark.parametrize("subject_name", ALL)
def test_the_number_of_threads_changes_nothing(subject_name, case, threads):
    found = []
    for count in (1, 2):
        threads(count)
        assert torch.get_num_threads() == count
        found.append(case.scored())
    assert_same(found[1], found[0])
    assert_same(found[0], plain(subject_name))


# -- names of classes and words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject_name", ALL)
def test_the_names_of_classes_change_nothing(subject_name, case):
    """Labels and the head's units move together; for a language model the tokens, and the rows of its tied embedding."""
    if case.kind == "language":
        pytest.skip("")
    classes = subject(subject_name).task.classes
    order = torch.arange(classes).roll(1)

    def renamed(examples: Examples) -> Examples:
        assert examples.labels is not None
        return replace(examples, labels=order[examples.labels])

    def moved(head: nn.Linear) -> None:
        head.weight[order], head.bias[order] = head.weight.clone(), head.bias.clone()

    assert_same(case.asked(renamed).with_head(moved).scored(), plain(subject_name))
    assert_moved(case.asked(renamed).scored(), plain(subject_name))


@pytest.mark.parametrize("subject_name", TEXT)
def test_the_numbers_of_tokens_change_nothing(subject_name, case):
    order = torch.from_numpy(np.random.default_rng(3).permutation(case.model.get_input_embeddings().num_embeddings))

    def renamed(examples: Examples) -> Examples:
        return replace(examples, inputs=order[examples.inputs])

    assert_same(case.asked(renamed).with_words(order).scored(), plain(subject_name))
    assert_moved(case.asked(renamed).scored(), plain(subject_name))


# -- level and loudness of logits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-3.0, 30.0])
@pytest.mark.parametrize("subject_name", ALL)
def test_a_constant_on_all_logits_changes_nothing(subject_name, shift, case):
    assert_same(case.with_head(lambda head: head.bias.add_(shift)).scored(), plain(subject_name))


@pytest.mark.parametrize("subject_name", ALL)
def test_a_constant_on_one_logit_is_seen(subject_name, case):
    assert_moved(case.with_head(lambda head: head.bias[0].add_(3.0)).scored(), plain(subject_name))


@pytest.mark.parametrize("factor", [0.1, 30.0])
@pytest.mark.parametrize("subject_name", ALL)
def test_the_temperature_absorbs_the_loudness_of_logits(subject_name, factor, case):
    louder = case.with_head(lambda head: (head.weight.mul_(factor), head.bias.mul_(factor)))
    assert_same(louder.scored(), plain(subject_name), loudness=factor)
    assert_moved(louder.scored(), plain(subject_name))


# -- repetition -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject_name", ALL)
def test_examples_that_are_there_twice_leave_the_means(subject_name, case):
    order = torch.arange(len(case.test)).repeat(2)
    found = case.asked(lambda examples: examples[torch.arange(len(examples)).repeat(2)]).scored()
    assert_same(found, plain(subject_name), order)


@pytest.mark.parametrize("subject_name", ALL)
def test_a_second_evaluation_is_bit_equal(subject_name, case):
    first, second = case.scored(), replace(case, model=deepcopy(case.model)).scored()
    for name in Evaluation.__slots__:
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
