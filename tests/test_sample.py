"""Text that a model writes: drawn as often as it says, reproducible, and read by the original whoever wrote it.

subject -> ... -> assemble -> [sample] -> evaluate -> verdict
"""

import numpy as np
import pytest
import torch
from torch import nn

from seeds.evaluate import evaluate_language_model
from seeds.measure import Measure
from seeds.sample import SAMPLES, START, TOKENS, sample
from seeds.subject import subject

VOCABULARY = 4
NEXT = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.1, 0.8], [0.25, 0.25, 0.25, 0.25], [0.0, 0.4, 0.6, 0.0]])


def look_up(model, ids, mask):
    """Logits by the last token, behind the states of a network that has none."""
    return NEXT.log()[ids], nn.Identity()


def written(rng_seed: int, model: nn.Module | None) -> np.ndarray:
    return sample(model, look_up, VOCABULARY, rng_seed).inputs.numpy()


def test_tokens_come_as_often_as_the_model_says():
    """After each token, within five standard errors of 20 texts' transitions; what it rules out never comes."""
    ids = np.concatenate([written(rng_seed, nn.Identity()) for rng_seed in range(20)])
    assert ids.shape == (20 * SAMPLES, TOKENS)
    assert (ids[:, 0] == START).all()
    for token, expected in enumerate(NEXT.numpy()):
        followers = ids[:, 1:][ids[:, :-1] == token]
        share = np.bincount(followers, minlength=VOCABULARY) / len(followers)
        assert (np.abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / len(followers))).all(), token


def test_without_a_model_every_token_comes_as_often():
    ids = np.concatenate([written(rng_seed, None) for rng_seed in range(20)])[:, 1:]
    share = np.bincount(ids.ravel(), minlength=VOCABULARY) / ids.size
    assert np.abs(share - 1 / VOCABULARY).max() < 5 * np.sqrt(0.25 * 0.75 / ids.size)


@pytest.mark.parametrize("model", [None, nn.Identity()], ids=["no model", "a model"])
def test_the_same_rng_seed_writes_the_same_text_and_another_one_another(model):
    first, other, again = (written(rng_seed, model) for rng_seed in (0, 1, 0))
    assert np.array_equal(first, again)
    assert (first[:, 1:] != other[:, 1:]).mean() > 0.4
    assert len(np.unique(first, axis=0)) == SAMPLES  # no text twice


@pytest.mark.parametrize("arm", ["original", "moments", "random"])
def test_the_original_reads_what_every_arm_writes(arm, tmp_path):
    """Nats per token of the arm's own text, by the trained network; each run has a text of its own."""
    one, measure = subject("docs-gpt"), Measure(tmp_path)
    found = measure.sample_nats(one, arm, 2)
    for run in range(2):
        writer = None if arm == "random" else measure.model(one, arm, run)
        text = sample(writer, one.forward, one.task.classes, run)
        np.testing.assert_array_equal(found.scores[run], evaluate_language_model(one.original(), one.forward, text, None).nats)
    assert not np.array_equal(*found.scores)
    assert (found.nested, found.runs) == (True, 2)
