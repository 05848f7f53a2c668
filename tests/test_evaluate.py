"""The measurement itself: protocol checks, planted models whose score is known, and plain transcriptions."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seeds import evaluate as module
from seeds.data import Examples
from seeds.errors import ProtocolError, SubjectUnavailable
from seeds.evaluate import apart, evaluate_classifier, evaluate_language_model, finite, fit_temperature_and_bias, shared
from seeds.measure import FRESH, ORIGINAL, unigram_nats
from seeds.quantity import Mean
from seeds.subject import evaluate, subject
from seeds.task import task

pytestmark = pytest.mark.zeroshot  # without these no zero-shot verdict means anything


class Table(nn.Module):
    """A model whose logits are looked up: by example for labels, by token for language."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits


def look_up(model, inputs, mask):
    return model.logits[inputs], nn.Identity()


def labelled(labels, split="test"):
    labels = torch.tensor(labels)
    return Examples(torch.arange(len(labels)), labels, None, split)


def text(rows, mask=None, split="test"):
    ids = torch.tensor(rows)
    return Examples(ids, None, torch.ones_like(ids, dtype=torch.bool) if mask is None else torch.tensor(mask).bool(), split)


# -- protocol ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels", [[0] * 6, [1] * 6, [0, 0, 0, 1], [0, 0, 2, 2], [0, 0, 1, 1]], ids=["all-0", "all-1", "3-to-1", "no-1", "no-2"]
)
def test_classes_must_be_balanced(labels):
    """A sorted slice of one class is how the report found 0 % and 100 %."""
    with pytest.raises(ProtocolError, match="not class-balanced"):
        evaluate_classifier(Table(torch.zeros(6, 3)), look_up, labelled(labels), None)


def test_the_scored_split_may_not_calibrate():
    with pytest.raises(ProtocolError, match="scored and fits the calibration"):
        evaluate_classifier(Table(torch.zeros(4, 2)), look_up, labelled([0, 1, 0, 1]), labelled([0, 1], "test"))
    with pytest.raises(ProtocolError, match="scored and fits the calibration"):
        evaluate_language_model(Table(torch.zeros(5, 5)), look_up, text([[1, 2]]), text([[3, 4]], split="test"))


def test_copies_of_scored_examples_may_not_calibrate():
    """Whatever their split is called, whatever their labels are, and however they are padded."""
    mine = text([[1, 2, 3], [4, 5, 0], [6, 7, 8]], [[1, 1, 1], [1, 1, 0], [1, 1, 1]])
    other = text([[4, 5, 9, 9], [1, 2, 3, 9], [1, 2, 4, 9]], [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]], "a copy")
    with pytest.raises(ProtocolError, match=r"^2 examples of test are in a copy, too, which fits the calibration"):
        evaluate_language_model(Table(torch.zeros(10, 10)), look_up, mine, other)
    with pytest.raises(ProtocolError, match=r"^4 examples of test are in a copy, too"):
        evaluate_classifier(Table(torch.zeros(4, 2)), look_up, labelled([0, 1, 0, 1]), labelled([1, 0, 1, 0], "a copy"))
    apart(mine, other[2:])


@pytest.mark.parametrize(
    "name", ["digits", "digits-0-4", "digits-5-9", "docs-topic", "docs-probe", "docs-finetune", "docs-text"]
)
def test_no_task_fits_its_calibration_on_what_it_scores(name):
    splits = task(name).splits()
    assert splits["test"].split != splits["calibration"].split
    assert shared(splits["test"], splits["calibration"]) == 0


def test_rows_without_text_are_alike_and_leak_nothing():
    one, other = (text([[0, 1, 2], [0, 0, 0], row], [[1, 1, 1], [0, 0, 0], [1, 1, 0]], "a") for row in ([0, 3, 0], [0, 4, 0]))
    assert shared(one, other) == 1
    assert shared(one[slice(1, None)], other[slice(1, None)]) == 0


def test_a_long_calibration_text_is_fitted_on_some_of_its_tokens(monkeypatch):
    """Batch by batch, with logits of no other tokens; they are spread evenly, so that the temperature hardly differs."""
    rng = np.random.default_rng(0)
    true = torch.from_numpy(np.log(rng.dirichlet(np.full(8, 0.5), size=8) + 1e-9)).float()
    drawn = rng.integers(8, size=(300, 21)).tolist()
    lengths = rng.integers(2, 22, size=300)
    rows = text(drawn, [[position < length for position in range(21)] for length in lengths], "calibration")
    asked = []

    def counted(model, inputs, mask):
        return inputs, lambda ids: asked.append(len(ids)) or model.logits[ids]

    whole, all_targets = module.fitted_tokens(Table(true), counted, rows)
    assert sum(asked) == len(whole) == len(all_targets) == (lengths - 1).sum()
    assert len(asked) == 5
    asked.clear()
    monkeypatch.setattr(module, "FITTED_TOKENS", 1000)
    logits, targets = module.fitted_tokens(Table(true), counted, rows)
    assert sum(asked) == len(logits) == len(targets) == 1000
    assert max(asked) < 300
    places = torch.arange(1000) * len(whole) // 1000
    assert torch.equal(logits, whole[places])
    assert torch.equal(targets, all_targets[places])


def test_the_calibration_split_alone_fits_the_calibrated_figures():
    """As fitted there and applied here; the answers that are scored would give another temperature, and better figures."""
    logits = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    test, truth = labelled([0, 1, 2] * 10), torch.tensor([0, 1, 2] * 10)
    other = Examples(torch.arange(30, 60), truth, None, "calibration")
    found = evaluate_classifier(Table(logits), look_up, test, other)
    (beta, bias), (best, best_bias) = (fit_temperature_and_bias(z.double(), truth) for z in (logits[30:], logits[:30]))
    tuned = functional.cross_entropy(beta * logits[:30].double() + bias, truth, reduction="none")
    assert found.inverse_temperature == beta != best
    assert found.calibrated_nats == pytest.approx(tuned.numpy())
    assert found.calibrated_nats.mean() > functional.cross_entropy(best * logits[:30].double() + best_bias, truth) + 1e-3

    table = torch.eye(6).roll(1, 1)  # behind each token comes the next one: in four of five places here, in three of five there
    here, there = text([[0, 1, 2, 3, 4, 2]]), text([[0, 1, 2, 3, 0, 0]], split="calibration")
    read = evaluate_language_model(Table(table), look_up, here, there)
    assert read.inverse_temperature == pytest.approx(
        np.log(5 * 3 / 2), rel=0.01
    )  # where the model says 3/5, 2/25 of each other


def test_text_without_a_mask_is_refused():
    ids = torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ProtocolError, match="no mask"):
        evaluate_language_model(Table(torch.zeros(5, 5)), look_up, Examples(ids, None, None, "test"), None)


def test_an_example_without_a_scored_token_is_refused():
    with pytest.raises(ProtocolError, match="1 examples without a token to score"):
        evaluate_language_model(Table(torch.zeros(5, 5)), look_up, text([[1, 2], [3, 4]], [[1, 1], [1, 0]]), None)


def test_outputs_that_are_not_finite_are_refused():
    with pytest.raises(ProtocolError, match="not finite"):
        evaluate_classifier(Table(torch.full((4, 2), torch.nan)), look_up, labelled([0, 1, 0, 1]), None)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_one_logit_that_is_not_finite_is_found(value):
    """In half the time that a look at each of them takes; it is a twentieth where nothing else runs."""
    logits = torch.randn(1000, 2048)
    assert finite(logits) is logits
    assert len(finite(logits[:0])) == 0

    def least_s(look) -> float:
        spent_s = []
        for _ in range(7):
            start = time.perf_counter()
            look()
            spent_s.append(time.perf_counter() - start)
        return min(spent_s)

    assert least_s(lambda: finite(logits)) < least_s(lambda: torch.isfinite(logits).all()) / 2
    logits[617, 1234] = value
    with pytest.raises(ProtocolError, match="not finite"):
        finite(logits)


def test_only_real_tokens_behind_the_first_are_scored():
    logits = torch.zeros(4, 4)
    logits[1, 2] = 5.0  # after 1 comes 2; pads (3 here) are badly predicted everywhere
    found = evaluate_language_model(
        Table(logits), look_up, text([[1, 2, 3, 3], [1, 2, 1, 2]], [[1, 1, 0, 0], [1, 1, 1, 1]]), None
    )
    after_1, after_2 = functional.cross_entropy(logits[1], torch.tensor(2)).item(), np.log(4)
    assert found.nats == pytest.approx([after_1, (2 * after_1 + after_2) / 3])
    assert found.weights.tolist() == [1, 3]


@pytest.mark.parametrize("subject_name", ["docs-bert", "docs-gpt"])
def test_padding_and_batches_change_nothing(subject_name, measure, monkeypatch):
    """More pads, other batches and another order of examples leave each score within float32 rounding (2e-4 nats)."""
    one = subject(subject_name)
    model, splits = measure.model(one, ORIGINAL, 0), one.task.splits()
    test = splits["test"][slice(0, None, 5)]
    how = evaluate_language_model if one.task.kind == "language" else evaluate_classifier
    plain = how(model, one.forward, test, None)
    monkeypatch.setattr(module, "BATCH", 7)
    order = torch.arange(len(test)).flip(0)
    padded = test[order]
    assert padded.mask is not None
    room = 20 if subject_name == "docs-gpt" else 0  # docs-bert has no positions beyond 64
    wide = Examples(functional.pad(padded.inputs, (0, room)), padded.labels, functional.pad(padded.mask, (0, room)), "test")
    np.testing.assert_allclose(how(model, one.forward, wide, None).nats[order.argsort().numpy()], plain.nats, atol=2e-4)


# -- known scores -----------------------------------------------------------------------------------------------------------


def test_a_classifier_scores_what_a_plain_transcription_says():
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    labels = [0, 1, 2] * 10
    found = evaluate_classifier(Table(logits), look_up, labelled(labels), None)
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    assert found.nats == pytest.approx(-np.log(p[np.arange(30), labels]))
    assert found.correct is not None
    assert found.correct.tolist() == (p.argmax(1) == labels).astype(float).tolist()


def test_a_constant_predictor_is_found_out_and_scores_chance():
    found = evaluate_classifier(
        Table(torch.tensor([[9.0, 0.0, 0.0]]).repeat(33, 1)),
        look_up,
        labelled([0, 1, 2] * 10),
        replace(labelled([0, 1, 2], "calibration"), inputs=torch.arange(30, 33)),
    )
    assert found.is_constant
    assert found.correct is not None
    assert found.correct.mean() == pytest.approx(1 / 3)
    assert found.auc == pytest.approx(0.5)
    assert found.calibrated_nats == pytest.approx(np.log(3), abs=1e-4)  # its loudness is undone


def test_the_area_counts_ties_as_half():
    """By its definition: an example of a class and one of the rest are in order, out of order, or told alike: half of each."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.standard_normal((4, 3)))[np.sort(rng.integers(4, size=30))]  # many examples are told alike
    labels = np.repeat([0, 1, 2], 10)
    found = evaluate_classifier(Table(logits), look_up, labelled(labels.tolist()), None).auc
    told = functional.log_softmax(logits, 1).numpy()
    areas = [(1 + np.sign(told[labels == c, c][:, None] - told[labels != c, c])).mean() / 2 for c in range(3)]
    assert found == pytest.approx(np.mean(areas))


def test_temperature_undoes_loudness_but_gives_no_knowledge():
    """Logits ten times too large cost nats; the fitted temperature brings them back and finds the factor."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(8, 0.5), size=8)
    ids = [[int(rng.integers(8))] for _ in range(400)]
    for row in ids:
        for _ in range(15):
            row.append(int(rng.choice(8, p=probabilities[row[-1]])))
    true = torch.from_numpy(np.log(probabilities + 1e-9)).float()
    quiet, loud = (
        evaluate_language_model(Table(s * true), look_up, text(ids[:200]), text(ids[200:], split="c")) for s in (1.0, 10.0)
    )
    assert loud.nats.mean() > quiet.nats.mean() + 1
    assert loud.calibrated_nats == pytest.approx(quiet.calibrated_nats, abs=1e-3)
    assert loud.inverse_temperature == pytest.approx(quiet.inverse_temperature / 10, rel=0.01)


def test_a_misleading_model_is_calibrated_to_a_uniform_guess():
    """Inverse temperatures are never negative: being wrong on purpose is not knowledge."""
    wrong = torch.zeros(4, 4)
    wrong[torch.arange(4), (torch.arange(4) + 1) % 4] = -6.0
    ids, others = [[0, 1, 2, 3, 0, 1], [2, 3, 0, 1, 2, 3]], [[1, 2, 3, 0, 1, 2], [3, 0, 1, 2, 3, 0]]
    found = evaluate_language_model(Table(wrong), look_up, text(ids), text(others, split="calibration"))
    assert found.inverse_temperature == 0.0
    assert found.calibrated_nats == pytest.approx(np.log(4))


@pytest.mark.parametrize("name", ["docs-text", "wikitext-2"])
def test_a_planted_unigram_knows_exactly_nothing(name):
    """A GPT-2 whose every output is the unigram scores the unigram, raw and calibrated, through the same metric."""
    from transformers import GPT2Config, GPT2LMHeadModel

    on = task(name)
    try:
        splits = on.splits()
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=on.classes, n_positions=64, n_embd=4, n_layer=1, n_head=1, use_cache=False)
    ).eval()
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        model.transformer.wte.weight[:, 0] = torch.from_numpy(on.unigram_log_probabilities()).float()
    found = evaluate(model, subject("docs-gpt").forward, on)
    assert found.nats == pytest.approx(unigram_nats(on), abs=1e-4)
    calibrated = Mean((unigram_nats(on) - found.calibrated_nats)[None], found.weights, random=False).interval(0.025).value
    assert calibrated == pytest.approx(0.0, abs=0.15)  # a temperature fitted on another split may gain or lose this much
    assert splits["test"].split != splits["calibration"].split


@pytest.mark.parametrize("name", ["docs-text", "wikitext-2"])
def test_the_unigram_has_not_seen_the_scored_text(name):
    """Fitted elsewhere, it is no better on scored text than on other text: by less than 0.3 nats (99.9 %)."""
    on = task(name)
    try:
        splits = on.splits()
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))
    assert on.unigram is not None
    log_probabilities = on.unigram_log_probabilities()
    scored, other = (Mean(module.token_nats(log_probabilities, splits[s])[None], random=False) for s in ("test", "calibration"))
    assert other.interval(0.0005).low - scored.interval(0.0005).high < 0.3
    leaked = Counter(splits["test"].inputs[splits["test"].mask].tolist())
    assert on.unigram().sum() > 20 * leaked.total(), "too few tokens for a split of its own"
    unseen = [token for token in leaked if on.unigram()[token] == 0]
    assert name != "wikitext-2" or unseen, "every scored token was counted: the unigram was fitted on what it scores"


@pytest.mark.parametrize("subject_name", ["gpt2"])
def test_no_model_beats_a_uniform_guess_on_random_tokens(subject_name, measure):
    """Nothing can be known about uniformly random ids, so a fresh model's cross-entropy is at least ln(vocabulary)."""
    found = measure.cross_entropy(subject(subject_name), FRESH, 3, "raw", "random-ids").interval(0.025)
    assert found.high > task("random-ids").uniform_nats
    assert found.value > task("random-ids").uniform_nats - 0.2
