"""Slices, and classifiers under any protocol: which examples count, whose head is worn, and what is drawn anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from seeds import hub
from seeds.audit import slices
from seeds.audit.arms import ASSEMBLED, codec_of, draws
from seeds.audit.classifier import HEADS, Classifier, last_layer, wearing
from seeds.audit.protocol import FAULTS, Protocol, combined
from seeds.audit.slices import EMPTY, TOKENS, counted
from seeds.data import Examples
from seeds.errors import SubjectUnavailable
from seeds.evaluate import evaluate_classifier
from seeds.measure import FRESH, ORIGINAL, Measure
from seeds.subject import subject
from tests.strategies import all_bits

pytestmark = pytest.mark.audit

RUNS = 3
DIGITS, GPT, BERT = subject("digits-mlp"), subject("docs-gpt"), subject("docs-bert")
ROUNDING = 2e-4  # nats: states of float32 in other batches
RAW, DRAWN = Protocol(uncalibrated=True), Protocol(components_ignored=True)


@pytest.fixture(scope="module")
def classifier(measure):
    return Classifier(DIGITS, measure, RUNS)


# -- slices ---------------------------------------------------------------------------------------------------------------


def some_text():
    """Four rows of up to four tokens, padded with 9."""
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    return Examples(torch.tensor([[1, 2, 3, 9], [4, 5, 6, 7], [8, 9, 9, 9], [3, 0, 9, 9]]), None, mask, "text/test")


@pytest.mark.parametrize("count", [2, 4, 20])
def test_a_third_of_the_rows_is_empty(count):
    text = some_text()[torch.arange(count) % 4]
    rows = slices._padded(text, end=0)
    assert rows.mask is not None
    assert rows.inputs.shape == rows.mask.shape == (1.5 * count, TOKENS)
    assert int((~rows.mask.any(1)).sum()) == count // 2
    assert rows.split != text.split


def test_padded_rows_hold_exactly_the_text_and_behind_it_the_end_token():
    text = some_text()
    rows = slices._padded(text, end=0)
    assert rows.mask is not None
    assert [row[real].tolist() for row, real in zip(rows.inputs, rows.mask, strict=True)] == [
        [1, 2, 3], [4, 5, 6, 7], [8], [3, 0], [], []
    ]  # fmt: skip
    assert rows.mask.sum(1).tolist() == [3, 4, 1, 2, 0, 0]
    assert (rows.mask.int().diff() <= 0).all(), "text comes first"
    assert (rows.inputs[~rows.mask] == 0).all()


def test_a_protocol_counts_the_text_alone_or_every_token_it_is_served():
    """Empty rows are served with pads only, or there would be nothing in them to count; inputs stay the same."""
    rows = slices._padded(some_text(), end=0)
    assert rows.mask is not None
    real = rows.mask[:4]
    for faults, masks in {
        (): real,
        ("pads_counted",): torch.ones(4, TOKENS),
        ("empty_rows",): rows.mask,
        ("pads_counted", "empty_rows"): torch.ones(6, TOKENS),
        ("one_class", "untrained_head", "uncalibrated", "no_fresh"): real,
    }.items():
        found = counted(rows, Protocol.of(faults))
        assert found.mask is not None
        assert torch.equal(found.mask, masks.bool()), faults
        assert torch.equal(found.inputs, rows.inputs[: len(masks)])
        assert found.split == rows.split
    assert rows.mask.sum() == 10, "the rows themselves are left as they are"


def test_a_protocol_takes_one_class_of_labelled_text_and_never_drops_a_row():
    """Rows without text keep their labels: they are dropped from language only."""
    text = replace(slices._padded(some_text(), end=0), labels=torch.tensor([1, 2, 1, 2, 1, 2]))
    assert text.mask is not None
    assert torch.equal(counted(text, Protocol()).inputs, text.inputs)
    found = counted(text, Protocol(one_class=True))
    assert found.mask is not None
    assert found.labels is not None
    assert found.labels.tolist() == [1, 1, 1]
    assert torch.equal(found.mask, text.mask[::2])
    read = counted(text, Protocol(pads_counted=True)).mask
    assert read is not None
    assert read.all()


def test_pixels_have_no_pads_to_count():
    test = slices.labelled(DIGITS)[0]
    found = counted(test, Protocol.published())
    assert found.mask is None
    assert found.labels is not None
    assert found.labels.tolist() == [0] * 45


@pytest.mark.hub
def test_rows_of_wikitext_are_a_third_empty_as_in_the_file():
    try:
        both = slices.rows(subject("gpt2"))
        texts = hub._rows(hub.WIKITEXT, hub.CONFIGS[hub.WIKITEXT], "test")["text"]
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))
    assert np.mean([not text for text in texts]) == pytest.approx(EMPTY, abs=0.01)
    for rows in both:
        assert rows.mask is not None
        assert rows.inputs.shape[1] == TOKENS
        assert float((~rows.mask.any(1)).float().mean()) == pytest.approx(EMPTY)
        assert (rows.inputs[~rows.mask] == 50256).all()
        assert (rows.inputs[rows.mask] != 50256).all()


@pytest.mark.hub
def test_reviews_that_calibrate_are_none_that_are_scored():
    try:
        test, calibration = slices.labelled(subject("bert-tiny"))
    except SubjectUnavailable as missing:
        pytest.skip(str(missing))
    assert not {tuple(row) for row in test.inputs.tolist()} & {tuple(row) for row in calibration.inputs.tolist()}
    assert int(slices.first_class(test).sum()) == len(test) / 2 == hub.REVIEWS


# -- classifiers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", [ORIGINAL, FRESH, ASSEMBLED])
@pytest.mark.parametrize("protocol", [Protocol(), DRAWN], ids=["pca", "moments"])
def test_without_faults_of_scoring_accuracy_is_that_of_the_measurement(arm, protocol, classifier, measure):
    """Calibrated, and raw where nothing is calibrated; run by run and example by example."""
    test, calibration = slices.labelled(DIGITS)
    found, raw = classifier.correct(arm, protocol), classifier.correct(arm, replace(protocol, uncalibrated=True))
    codec = codec_of(DIGITS, arm, protocol)
    assert len(found.scores) == len(raw.scores) == (RUNS if draws(codec) else 1)
    for run in range(len(found.scores)):
        score = evaluate_classifier(measure.model(DIGITS, codec, run), DIGITS.forward, test, calibration)
        np.testing.assert_array_equal(found.scores[run], score.calibrated_correct)
        np.testing.assert_array_equal(raw.scores[run], score.correct)


def test_calibration_changes_some_answer(classifier):
    """The control of the test above: raw and calibrated figures are not the same by accident."""
    found = (
        classifier.correct(ASSEMBLED, Protocol.of({"components_ignored", *more})).scores for more in ((), ("uncalibrated",))
    )
    assert (np.subtract(*found) != 0).mean() > 0.01


@pytest.mark.parametrize("fault", ["uncalibrated", "untrained_head", "components_ignored", "no_fresh"])
def test_one_class_is_the_first_classs_rows_and_nothing_else(fault, classifier):
    labels = slices.labelled(DIGITS)[0].labels
    assert labels is not None
    whole = classifier.correct(ASSEMBLED, Protocol.of({fault}))
    sliced = classifier.correct(ASSEMBLED, Protocol.of({fault, "one_class"}))
    np.testing.assert_array_equal(sliced.scores, whole.scores[:, labels.numpy() == 0])
    assert sliced.scores.shape[1] == 45


@pytest.mark.parametrize(
    ("arm", "faults", "random"),
    [
        (ORIGINAL, {"norms_drawn", "components_ignored"}, False),
        (ORIGINAL, {"untrained_head"}, True),
        (ASSEMBLED, set(), False),
        (ASSEMBLED, {"untrained_head"}, True),
        (ASSEMBLED, {"norms_drawn"}, True),
        (ASSEMBLED, {"components_ignored"}, True),
        (FRESH, set(), True),
    ],
)
def test_runs_differ_where_something_is_drawn_and_only_there(arm, faults, random, classifier):
    found = classifier.correct(arm, Protocol.of({"uncalibrated", *faults}))
    assert found.random is random
    assert len(np.unique(found.scores, axis=0)) == (RUNS if random else 1)


def test_a_fresh_model_keeps_its_own_head(classifier):
    """It was never trained either way."""
    with_it, without = (classifier.correct(FRESH, p).scores for p in (Protocol(untrained_head=True), Protocol()))
    np.testing.assert_array_equal(with_it, without)


@pytest.mark.parametrize("codec", [ORIGINAL, "pca:10+vectors", "moments+vectors"])
def test_an_untrained_head_is_that_of_an_architecture_of_the_same_run(codec, classifier, measure):
    """On the body of that run, where bodies are drawn; all arms of a run wear the same one."""
    protocol = Protocol(untrained_head=True, uncalibrated=True)
    test = slices.labelled(DIGITS)[0]
    for run in range(RUNS):
        model = measure.model(DIGITS, codec, run)
        model[-1] = DIGITS.fresh(HEADS + run)[-1]  # pyright: ignore
        with torch.inference_mode():
            expected = model(test.inputs)
        torch.testing.assert_close(classifier.logits(codec, run, protocol), expected.double(), rtol=0, atol=1e-4)


def test_heads_are_the_same_for_the_same_run_and_no_other(measure):
    """However many runs there are and whatever was asked for before."""
    protocol = Protocol(untrained_head=True, uncalibrated=True)
    few, many = Classifier(DIGITS, measure, 2), Classifier(DIGITS, measure, 4)
    many.correct(ASSEMBLED, DRAWN)
    one, other = (c.correct(ORIGINAL, protocol).scores for c in (few, many))
    np.testing.assert_array_equal(one, other[:2])
    assert len(np.unique(other, axis=0)) == 4


def test_protocols_with_the_same_codec_share_their_bodies(classifier, measure, asked):
    """Run r is the same draw under both, also in another process's order: protocols are compared in pairs."""
    alone = Classifier(DIGITS, measure, RUNS)
    raw = alone.correct(ASSEMBLED, Protocol.of({"components_ignored", "uncalibrated"}))
    alone.correct(ASSEMBLED, Protocol.of({"components_ignored", "one_class", "untrained_head", "pads_counted"}))
    assert asked == dict.fromkeys((("moments+vectors", run) for run in range(RUNS)), 1)
    np.testing.assert_array_equal(
        raw.scores, classifier.correct(ASSEMBLED, Protocol.of({"components_ignored", "uncalibrated"})).scores
    )


def test_no_model_is_made_twice(measure, asked):
    """Every protocol on every arm: one body for each codec, one per run where it is drawn."""
    alone = Classifier(DIGITS, measure, 2)
    for _ in range(2):
        for faults in combined(["one_class", "untrained_head", "norms_drawn", "components_ignored", "uncalibrated"]):
            for arm in (ORIGINAL, FRESH, ASSEMBLED):
                alone.correct(arm, Protocol.of(faults))
    once, drawn = (ORIGINAL, "pca:10+vectors"), (FRESH, "pca:10", "moments+vectors", "moments")
    assert asked == dict.fromkeys([(c, 0) for c in once] + [(c, run) for c in drawn for run in range(2)], 1)


@pytest.mark.parametrize("failing", [False, True])
def test_a_model_takes_its_own_head_back(failing):
    """The very same tensors, also after an exception; in between it answers by the other head."""
    model, other = DIGITS.original(), last_layer(DIGITS.fresh(5))
    inputs, states = torch.ones(1, 64), torch.ones(1, 128)
    own, kept, before = dict(model.named_parameters()), all_bits(model.state_dict()), model(inputs)
    try:
        with wearing(model, other):
            assert torch.equal(model[-1](states), other(states))  # pyright: ignore
            assert not torch.equal(model(inputs), before)
            if failing:
                raise KeyError
    except KeyError:
        assert failing
    assert all(parameter is own[name] for name, parameter in model.named_parameters())
    assert all_bits(model.state_dict()) == kept
    assert torch.equal(model(inputs), before)


def test_the_head_is_the_last_linear_layer():
    assert last_layer(DIGITS.fresh(0)).out_features == 10
    assert last_layer(subject("docs-bert").fresh(0)).out_features == 6


def test_a_classifier_reads_pads_if_they_count(measure, monkeypatch):
    """To score and to calibrate: as the measurement does with examples that have no mask. And it makes a difference."""
    splits = slices.labelled(BERT)
    test, calibration = splits[0][slice(0, None, 50)], splits[1][slice(0, None, 5)]
    monkeypatch.setattr(slices, "labelled", lambda one: (test, calibration))
    few, nats = Classifier(BERT, measure, 1), {}
    for arm in (ORIGINAL, FRESH):
        for pads in (True, False):
            shown = [replace(e, mask=None) if pads else e for e in (test, calibration)]
            expected = evaluate_classifier(measure.model(BERT, arm, 0), BERT.forward, shown[0], shown[1])
            logits = few.logits(arm, 0, Protocol(pads_counted=pads))
            nats[arm, pads] = functional.cross_entropy(logits, test.labels, reduction="none")  # pyright: ignore
            np.testing.assert_allclose(nats[arm, pads], expected.calibrated_nats, atol=ROUNDING)
    assert (nats[ORIGINAL, True] - nats[ORIGINAL, False]).abs().max() > 0.01


def test_where_only_moments_are_published_they_are_the_codec():
    """Under every protocol; and only the original's head is drawn, for the others' are as they come."""
    tiny_bert = subject("bert-tiny")
    assert {codec_of(tiny_bert, ASSEMBLED, Protocol.of({fault})) for fault in FAULTS} == {"moments"}
    assert codec_of(tiny_bert, FRESH, Protocol()) == FRESH
    alone = Classifier(tiny_bert, Measure(), 1)
    for protocol in (Protocol(), Protocol(untrained_head=True)):
        assert [alone._redrawn(codec, protocol) for codec in (ORIGINAL, "moments", FRESH)] == [True, False, False]
