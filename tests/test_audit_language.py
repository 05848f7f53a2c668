"""Language models under any protocol: which positions count, against a plain transcription."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from seeds.audit import slices
from seeds.audit.arms import ASSEMBLED, codec_of
from seeds.audit.language import LENGTHS, Language, cross_entropies
from seeds.audit.protocol import Protocol, combined
from seeds.audit.slices import TOKENS
from seeds.data import docs_text
from seeds.evaluate import evaluate_language_model, token_nats
from seeds.library import docs_gpt
from seeds.measure import FRESH, ORIGINAL
from seeds.subject import subject

pytestmark = pytest.mark.audit

DIGITS, GPT, BERT = subject("digits-mlp"), subject("docs-gpt"), subject("docs-bert")
ROUNDING = 2e-4  # nats: states of float32 in other batches
RAW, DRAWN = Protocol(uncalibrated=True), Protocol(components_ignored=True)


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


def test_rows_with_the_same_tokens_and_other_masks_are_not_one(language, monkeypatch):
    """A row of one repeated word is text as far as its mask says, and no empty row."""
    test, calibration = slices.rows(GPT)
    alike = replace(test[:2], inputs=torch.full((2, TOKENS), 5), mask=torch.zeros(2, TOKENS, dtype=torch.bool))
    assert alike.mask is not None
    alike.mask[0, :9] = True
    monkeypatch.setattr(slices, "rows", lambda one: (alike, calibration))
    both = Protocol(pads_counted=True, empty_rows=True, uncalibrated=True)
    first, second = language.nats(ORIGINAL, both).scores[0]
    assert first != second
