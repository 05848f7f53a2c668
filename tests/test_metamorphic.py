"""Metamorphic rows of the metrics: what may be done to examples, labels and head without moving any figure.

Nobody knows what a model should score, but padding, batches, order, threads, the names of classes and words, and the level
and loudness of its logits are no part of what it knows. Each relation has a control: a change that must be seen.
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

pytestmark = pytest.mark.audit

TEXT = ["docs-bert", "docs-gpt", pytest.param("bert-tiny", marks=pytest.mark.hub)]
ALL = ["digits-mlp", "digits-cnn", *TEXT]
CLASSIFIERS = [name for name in ALL if name != "docs-gpt"]

# Largest deviations of all rows, and of the controls the smallest, were measured on one x86 core with torch 2.13.

# Sums of some hundred float32 products in another order end a few units in the last place apart; one unit is 3.8e-6 at the
# largest logits, 48, and 7.6e-6 with a constant of 30 on top. Measured: 4.2e-6 (digits-mlp, batches of one).
ROUNDING_NATS = 2e-5
# The classifiers' fit stops where no slope exceeds 1e-5, the language model's where the root of a slope is known to 1e-3 of
# about 3. Against fits a million times finer, one stop may move the mean by 2.2e-5 nats (docs-gpt), an example by 4.6e-3
# (digits-cnn, whose least curvature is 8e-5) and the inverse temperature by 3.2e-4 of itself (docs-gpt); two stops, twice.
# Measured: 5.1e-6, 8.6e-4 and 8.8e-5 where examples are there twice (digits-cnn); else 2.0e-7, 6.3e-6 and 2.4e-5.
MEAN_NATS = 5e-5
EXAMPLE_NATS = 1e-2
TEMPERATURE = 1e-3
PAIR = 1e-3  # in AUC, one pair of two classes that changes places: at most 1 of 36 * 36. Measured: 2.2e-16
VISIBLE_NATS = 100 * ROUNDING_NATS  # what a control must move some example by. Measured: at least 0.046 (bert-tiny)

TEXTS = 72  # scored texts of a subject: more than a batch, and as many of each class
SHORTEST, LONGEST = 12, 44  # real tokens of a text, so that batches mix lengths; docs-bert has 64 positions
OTHER_BATCH = 33  # examples per pass where nothing else is asked; no row of its own
RANDOM_WORDS = torch.from_numpy(np.random.default_rng(1).integers(1, 2048, size=64))
RNG_SEED = 2  # of bert-tiny: with 0 and 1 its fitted inverse temperature is 0, and all calibrated figures are a guess's


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model with the examples that score it and those that calibrate it."""

    how: Callable[..., Evaluation]
    model: nn.Module
    forward: Forward
    test: Examples
    calibration: Examples

    def scored(self) -> Evaluation:
        return self.how(self.model, self.forward, self.test, self.calibration)

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
    how = evaluate_language_model if one.task.kind == "language" else evaluate_classifier
    return Case(how, model, one.forward, test, calibration)


def few(examples: Examples) -> Examples:
    """As they are without a mask; else up to `TEXTS` texts, as many of each class, cut to lengths all over the allowed ones."""
    if examples.mask is None:
        return examples
    found = examples[first_per_class(examples, TEXTS)]
    assert found.mask is not None
    lengths = SHORTEST + 7 * torch.arange(len(found)) % (LONGEST - SHORTEST + 1)
    mask = found.mask & (torch.arange(found.mask.shape[1]) < lengths[:, None])
    return replace(found, inputs=found.inputs * mask, mask=mask)  # the pad is 0 in every subject


def first_per_class(examples: Examples, count: int) -> Tensor:
    """The rows of up to so many examples, as many of each class."""
    assert examples.labels is not None
    classes = examples.labels.unique()
    return torch.cat([(examples.labels == c).nonzero().flatten()[: count // len(classes)] for c in classes])


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
    if loudness == 1.0:
        close(found.nats, expected.nats[rows], atol=ROUNDING_NATS)
    close(found.inverse_temperature * loudness, expected.inverse_temperature, rtol=TEMPERATURE)
    close(found.calibrated_nats, expected.calibrated_nats[rows], atol=EXAMPLE_NATS)
    close(found.calibrated_nats.mean(), expected.calibrated_nats.mean(), atol=MEAN_NATS)
    assert np.array_equal(found.weights, expected.weights[rows])
    assert found.is_constant == expected.is_constant
    if expected.auc is None:
        assert found.correct is found.calibrated_correct is found.auc is None
        return
    for name in ("correct", "calibrated_correct"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)[rows]), name
    close(found.auc, expected.auc, atol=PAIR)


def assert_moved(found: Evaluation, expected: Evaluation) -> None:
    """The control: raw figures of some example differ by far more than rounding."""
    assert np.abs(found.nats - expected.nats).max() > VISIBLE_NATS


def close(found, expected, rtol: float = 0.0, atol: float = 0.0) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


# -- padding ----------------------------------------------------------------------------------------------------------------


def pads(words: Tensor) -> Callable[[Examples], Examples]:
    """Puts words (tokens,), or the same one everywhere, under the mask."""

    def change(examples: Examples) -> Examples:
        assert examples.mask is not None
        return replace(examples, inputs=torch.where(examples.mask, examples.inputs, words))

    return change


def wider(examples: Examples) -> Examples:
    assert examples.mask is not None
    return replace(examples, inputs=functional.pad(examples.inputs, (0, 20)), mask=functional.pad(examples.mask, (0, 20)))


def unmasked(examples: Examples) -> Examples:
    assert examples.mask is not None
    return replace(examples, mask=torch.ones_like(examples.mask))


@pytest.mark.parametrize("padded", [Examples.trimmed, wider], ids=["narrow", "wide"])
@pytest.mark.parametrize("subject_name", TEXT)
def test_columns_that_are_all_padding_are_no_input(subject_name, padded, case):
    """Also where they are more than docs-bert has positions: they are cut off before it sees them."""
    assert_same(case.asked(padded).scored(), plain(subject_name))


@pytest.mark.parametrize(
    "padded", [pads(torch.tensor(0)), pads(torch.tensor(5)), pads(RANDOM_WORDS)], ids=["own", "other", "random"]
)
@pytest.mark.parametrize("subject_name", TEXT)
def test_what_stands_under_the_mask_is_no_input(subject_name, padded, case, monkeypatch):
    """All 64 columns go through the model, in one batch."""
    expected = plain(subject_name)
    monkeypatch.setattr(Examples, "trimmed", lambda examples: examples)
    monkeypatch.setattr(module, "BATCH", TEXTS)
    assert_same(case.asked(padded).scored(), expected)


@pytest.mark.parametrize("subject_name", TEXT)
def test_padding_without_a_mask_is_seen(subject_name, case):
    assert_moved(case.asked(unmasked).scored(), plain(subject_name))


# -- batches, order, threads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 64, 10**6], ids=["1", "7", "64", "all"])
@pytest.mark.parametrize("subject_name", ALL)
def test_the_batch_size_changes_nothing(subject_name, batch, case, monkeypatch):
    expected = plain(subject_name)
    monkeypatch.setattr(module, "BATCH", batch)
    assert_same(case.scored(), expected)


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
    order, fitting = (torch.from_numpy(rng.permutation(len(e))) for e in (case.test, case.calibration))
    found = replace(case, test=case.test[order], calibration=case.calibration[fitting]).scored()
    assert_same(found, plain(subject_name), order)
    assert_moved(found, plain(subject_name))  # without the order, example by example


@pytest.mark.parametrize("subject_name", ALL)
def test_the_number_of_threads_changes_nothing(subject_name, case, threads):
    """A model that looks at it is seen."""

    def forward(model, inputs, mask):
        states, head = case.forward(model, inputs, mask)
        return states * torch.get_num_threads(), head

    expected = plain(subject_name)
    threads(2)
    assert_same(case.scored(), expected)
    assert_moved(replace(case, forward=forward).scored(), expected)


# -- names of classes and words ---------------------------------------------------------------------------------------------


def rolled(examples: Examples) -> Examples:
    """Every class is called by the next one's number, and the last by 0."""
    assert examples.labels is not None
    return replace(examples, labels=(examples.labels + 1) % len(examples.labels.unique()))


def roll(head: nn.Linear) -> None:
    head.weight.copy_(head.weight.roll(1, 0))
    head.bias.copy_(head.bias.roll(1))


@pytest.mark.parametrize("subject_name", CLASSIFIERS)
def test_the_names_of_classes_change_nothing(subject_name, case):
    """Labels and the head's units move together; the labels alone are seen."""
    assert_same(case.asked(rolled).with_head(roll).scored(), plain(subject_name))
    assert_moved(case.asked(rolled).scored(), plain(subject_name))


@pytest.mark.parametrize("subject_name", ["digits-mlp", "digits-cnn", "docs-bert"])
def test_a_misleading_model_scores_a_guess_whatever_its_classes_are_called(subject_name, case):
    """All its calibrated scores are equal, and the class with the first number wins: single examples may move, means not."""
    classes = subject(subject_name).task.classes
    wrong = case.with_head(lambda head: (head.weight.neg_(), head.bias.neg_()))
    for found in (wrong.scored(), wrong.asked(rolled).with_head(roll).scored()):
        assert found.calibrated_correct is not None
        assert found.calibrated_correct.mean() == pytest.approx(1 / classes)
        assert found.auc == pytest.approx(0.5)
        close(found.calibrated_nats, np.log(classes), atol=ROUNDING_NATS)


@pytest.mark.parametrize("subject_name", TEXT)
def test_the_numbers_of_words_change_nothing(subject_name, case):
    """Token ids and the embedding's rows move together, and with them a language model's output; the ids alone are seen."""
    order = torch.from_numpy(np.random.default_rng(3).permutation(case.model.get_input_embeddings().num_embeddings))

    def renamed(examples: Examples) -> Examples:
        return replace(examples, inputs=order[examples.inputs])

    assert_same(case.asked(renamed).with_words(order).scored(), plain(subject_name))
    assert_moved(case.asked(renamed).scored(), plain(subject_name))


# -- level and loudness of logits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-3.0, 30.0])
@pytest.mark.parametrize("subject_name", ALL)
def test_a_constant_on_all_logits_changes_nothing(subject_name, shift, case):
    """On every second one it is seen."""
    assert_same(case.with_head(lambda head: head.bias.add_(shift)).scored(), plain(subject_name))
    assert_moved(case.with_head(lambda head: head.bias[::2].add_(shift)).scored(), plain(subject_name))


@pytest.mark.parametrize("factor", [0.1, 30.0])
@pytest.mark.parametrize("subject_name", ALL)
def test_the_temperature_absorbs_the_loudness_of_logits(subject_name, factor, case):
    """Accuracy and all calibrated figures stay, the temperature follows the factor, and raw nats move."""
    found = case.with_head(lambda head: (head.weight.mul_(factor), head.bias.mul_(factor))).scored()
    assert_same(found, plain(subject_name), loudness=factor)
    assert_moved(found, plain(subject_name))


# -- repetition -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject_name", ALL)
def test_examples_that_are_there_twice_leave_the_means(subject_name, case):
    """Twice all of them, scored and calibrating ones; twice the first half of each class is seen."""
    expected = plain(subject_name)
    found = case.asked(lambda examples: examples[torch.arange(len(examples)).repeat(2)]).scored()
    assert_same(found, expected, torch.arange(len(case.test)).repeat(2))
    close(found.nats.mean(), expected.nats.mean(), atol=ROUNDING_NATS)

    again = torch.cat([torch.arange(len(case.test)), first_per_class(case.test, len(case.test) // 2)])
    assert abs(replace(case, test=case.test[again]).scored().nats.mean() - expected.nats.mean()) > 10 * ROUNDING_NATS


@pytest.mark.parametrize("subject_name", ALL)
def test_a_second_evaluation_is_bit_equal(subject_name, case):
    first, second = case.scored(), replace(case, model=deepcopy(case.model)).scored()
    for name in Evaluation.__slots__:
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
