"""The audit's scores: the same figures as the measurement's where no fault is on, and plain transcriptions where one is."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import ks_2samp
from torch import nn
from torch.nn import functional

from seeds import hub
from seeds.audit import heads as heads_module
from seeds.audit import slices, tiny
from seeds.audit.classifier import ASSEMBLED, HEADS, Classifier, codec_of, draws, last_layer, wearing
from seeds.audit.heads import Heads, extreme
from seeds.audit.language import LENGTHS, Language, cross_entropies
from seeds.audit.protocol import FAULTS, Protocol, combined
from seeds.audit.slices import EMPTY, TOKENS, counted
from seeds.data import Examples, docs_text
from seeds.errors import ProtocolError, SubjectUnavailable
from seeds.evaluate import evaluate_classifier, evaluate_language_model, token_nats
from seeds.finetune import Curves
from seeds.library import docs_gpt
from seeds.library.training import rng
from seeds.measure import FRESH, ORIGINAL, Measure
from seeds.subject import subject
from tests.strategies import all_bits

pytestmark = pytest.mark.audit

RUNS = 3
DIGITS, GPT, BERT = subject("digits-mlp"), subject("docs-gpt"), subject("docs-bert")
ROUNDING = 2e-4  # nats: states of float32 in other batches
LEVEL = 1e-4  # of a statistical test with fixed numbers: how rarely it would fail for others
RAW, DRAWN = Protocol(uncalibrated=True), Protocol(components_ignored=True)


@pytest.fixture
def asked(monkeypatch):
    """How often each model was asked for: by arm and run."""
    calls, model = Counter(), Measure.model

    def counting(self, one, arm, run):
        calls[arm, run] += 1
        return model(self, one, arm, run)

    monkeypatch.setattr(Measure, "model", counting)
    return calls


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


# -- language -------------------------------------------------------------------------------------------------------------


def few_rows(split, step):
    text = docs_text()[split][slice(0, None, step)]
    return slices._padded(text, end=GPT.fresh(0).config.eos_token_id)  # pyright: ignore


@pytest.fixture
def language(measure, monkeypatch):
    """docs-gpt on six rows of text and three empty ones, calibrated on five and two."""
    served = few_rows("test", 20), few_rows("calibration", 6)
    monkeypatch.setattr(slices, "rows", lambda one: served)
    return Language(GPT, measure, 2)


def plainly(model, examples, is_counted):
    """Logits (positions, vocabulary) float64 and next tokens, one row and one position behind the first at a time."""
    logits, tokens = [], []
    for ids, mask in zip(examples.inputs, examples.mask, strict=True):
        with torch.inference_mode():
            row = model(input_ids=ids[None], attention_mask=mask[None]).logits[0].double()
        for at in range(1, len(ids)):
            if is_counted(mask, at):
                logits.append(row[at - 1])
                tokens.append(ids[at])
    return torch.stack(logits), torch.stack(tokens)


def mean_nats(found, beta=1.0):
    logits, tokens = found
    return functional.cross_entropy(beta * logits, tokens).item()


COUNTED = {  # faults of text: whether the position of a row counts
    (): lambda mask, at: mask[at],
    ("empty_rows",): lambda mask, at: mask[at],
    ("pads_counted",): lambda mask, at: mask.any(),
    ("pads_counted", "empty_rows"): lambda mask, at: True,
}


@pytest.mark.parametrize("faults", COUNTED, ids=lambda faults: "+".join(faults) or "sound")
@pytest.mark.parametrize("arm", [ORIGINAL, ASSEMBLED])
def test_nats_are_those_of_a_loop_over_positions(arm, faults, language, measure):
    """As they come, and after the temperature that is best on what is counted in the calibration rows."""
    test, calibration = slices.rows(GPT)
    protocol = Protocol.of({"components_ignored", *faults})
    raw, tuned = (language.nats(arm, p).per_run() for p in (replace(protocol, uncalibrated=True), protocol))
    assert len(raw) == len(tuned) == (1 if arm == ORIGINAL else 2)
    for run in range(len(raw)):
        model = measure.model(GPT, codec_of(GPT, arm, protocol), run)
        found, fits = (plainly(model, examples, COUNTED[faults]) for examples in (test, calibration))
        best = minimize_scalar(lambda beta, fits=fits: mean_nats(fits, beta), bounds=(0, 4), method="bounded").x  # pyright: ignore
        assert raw[run] == pytest.approx(mean_nats(found), abs=ROUNDING)
        assert tuned[run] == pytest.approx(mean_nats(found, best), abs=0.002), "the temperature is found to 0.001"


def test_each_way_of_counting_has_a_temperature_of_its_own(language):
    """The control of the test above: they are far apart for the original."""
    found = sorted(language.positions(ORIGINAL, 0).inverse_temperatures.values())
    assert (np.diff(found) > 0.02).all()


def test_without_faults_of_counting_nats_are_those_of_the_measurement(language, measure):
    """Of each row of text, weighted by its tokens."""
    test, calibration = slices.rows(GPT)
    assert test.mask is not None
    assert calibration.mask is not None
    text, fits = test[test.mask.any(1)], calibration[calibration.mask.any(1)]
    score = evaluate_language_model(measure.model(GPT, ORIGINAL, 0), GPT.forward, text, fits)
    raw, tuned = language.nats(ORIGINAL, RAW), language.nats(ORIGINAL, Protocol())
    np.testing.assert_allclose(raw.scores, score.nats[None], atol=ROUNDING)
    np.testing.assert_allclose(tuned.scores, score.calibrated_nats[None], atol=ROUNDING)
    np.testing.assert_array_equal(raw.weights, score.weights)
    assert raw.per_run()[0] == pytest.approx(np.average(score.nats, weights=score.weights), abs=ROUNDING)
    assert raw.random is False


@pytest.mark.parametrize(
    ("pads", "empty", "rows", "tokens"), [(0, 0, 6, None), (0, 1, 6, None), (1, 0, 6, 127), (1, 1, 9, 127)]
)
def test_empty_rows_count_only_with_pads(pads, empty, rows, tokens, language):
    found = language.nats(FRESH, Protocol(pads_counted=bool(pads), empty_rows=bool(empty)))
    mask = slices.rows(GPT)[0].mask
    assert mask is not None
    assert found.scores.shape == (2, rows)
    assert found.weights is not None
    assert found.weights.tolist() == ([tokens] * rows if tokens else mask[:6, 1:].sum(1).tolist())


def test_a_uniform_guess_is_the_logarithm_of_the_vocabulary(language):
    for faults in COUNTED:
        assert language.uniform(Protocol.of(faults)).per_run() == pytest.approx(np.log(2048), abs=1e-12)


def test_the_unigram_is_that_of_the_task(language):
    """On text as the measurement has it; where pads count, every pad costs what the start token costs."""
    test = slices.rows(GPT)[0]
    assert test.mask is not None
    table, real = GPT.task.unigram_log_probabilities(), test.mask[:6, 1:]
    found = language.unigram(Protocol())
    np.testing.assert_allclose(found.scores[0], token_nats(table, test[test.mask.any(1)]), rtol=1e-12)
    assert found.random is False
    text = -table[test.inputs[:6, 1:][real]].sum()
    end = -table[test.inputs[-1, 0]]
    for faults, pads in {("pads_counted",): 6 * 127, ("pads_counted", "empty_rows"): 9 * 127}.items():
        expected = (text + (pads - int(real.sum())) * end) / pads
        assert language.unigram(Protocol.of(faults)).per_run() == pytest.approx(expected, rel=1e-12)


def test_rows_at_the_longest_length_are_those_with_pads_counted(language):
    shares, nats = language.over_pads(FRESH, Protocol.published())
    whole = language.nats(FRESH, Protocol(pads_counted=True, uncalibrated=True))
    assert LENGTHS[-1] == TOKENS - 1
    assert nats.shape == (2, len(LENGTHS))
    np.testing.assert_allclose(nats[:, -1], whole.per_run(), rtol=1e-12)
    mask = slices.rows(GPT)[0].mask
    assert mask is not None
    assert shares[-1] == pytest.approx(1 - int(mask[:6, 1:].sum()) / (6 * 127))


def test_a_shorter_length_cuts_text_and_pads(language, measure):
    """A loop over the positions below it; no row is so short that a pad is among the first of them."""
    test = slices.rows(GPT)[0]
    shares, nats = language.over_pads(ORIGINAL, RAW)
    model = measure.model(GPT, ORIGINAL, 0)
    for at in (0, 3):
        found = plainly(model, test[slice(0, 6)], lambda mask, position, at=at: position <= LENGTHS[at])
        assert nats[0, at] == pytest.approx(mean_nats(found), abs=ROUNDING)
    assert shares[0] == 0
    assert (np.diff(shares) >= 0).all()


def test_rows_that_are_alike_are_read_once(language, monkeypatch):
    """Three empty rows and two equal ones of text are one each; every protocol is served from one pass of a model."""
    test, calibration = slices.rows(GPT)
    twice = test[torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 2])]
    monkeypatch.setattr(slices, "rows", lambda one: (twice, calibration))
    read, forward = [], docs_gpt.forward

    def counting(model, ids, mask):
        read.append(ids)
        return forward(model, ids, mask)

    monkeypatch.setattr(docs_gpt, "forward", counting)
    found = [language.nats(ORIGINAL, Protocol.of(f)) for f in combined(["uncalibrated", "pads_counted", "empty_rows"])]
    assert sum(map(len, read)) == len(calibration) + 6 + 1
    assert torch.cat(read[1:]).unique(dim=0).shape == (7, TOKENS)
    scores = found[-1].scores[0]
    assert scores[9] == scores[2]
    assert len(np.unique(scores[6:9])) == 1
    assert len(np.unique(scores)) == 7


def test_no_language_model_is_made_twice(language, asked):
    for _ in range(2):
        for faults in combined(["pads_counted", "empty_rows", "uncalibrated", "one_class"]):
            for arm in (FRESH, ORIGINAL):
                language.nats(arm, Protocol.of(faults))
    assert asked == {(FRESH, 0): 1, (FRESH, 1): 1, (ORIGINAL, 0): 1}


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e6, 1e30], ids="{:g}".format)
def test_cross_entropies_are_those_of_torch_and_leave_the_logits(scale):
    """Float32 within rounding of the same in float64, relative to the largest logit; none of them overflows."""
    logits = scale * torch.randn(40, 500, generator=torch.Generator().manual_seed(0))
    targets, kept = torch.arange(40), logits.clone()
    betas = [1.0, 0.0, 0.3, 7.0, 1 / scale, 1.0]
    found = list(cross_entropies(logits, targets, betas))
    for beta, nats in zip(betas, found, strict=True):
        expected = functional.cross_entropy(beta * logits.double(), targets, reduction="none")
        np.testing.assert_allclose(nats, expected, rtol=2e-6, atol=2e-6)
    assert torch.equal(found[1], torch.full((40,), 500).double().log())
    assert torch.equal(found[0], found[-1])
    assert found[0].dtype == torch.float64
    assert torch.equal(logits, kept)


# -- ten samples ----------------------------------------------------------------------------------------------------------


def reviews(split, count=12, rng_seed=0):
    """Random ids of two classes in the order of a sorted file, half of the last two positions pads."""
    ids = torch.randint(1, 1000, (2 * count, 8), generator=torch.Generator().manual_seed(rng_seed))
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[::2, 6:] = False
    return Examples(ids.where(mask, torch.tensor(0)), torch.arange(2).repeat_interleave(count), mask, f"reviews/{split}")


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
