"""Speed of evaluation beside the loop that one would write: batches of 64 in the order of the file, padded as stored.

    subject -> extract -> Seed -> store -> assemble -> [evaluate] -> verdict

Both give the same figures: accuracy, cross-entropy and, by scikit-learn, AUC of a classifier; cross-entropy per real token
of a language model. Nothing is calibrated. On one thread; no time is ever asserted. Skipped unless asked for with
`--benchmark`.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from seeds.data import Examples
from seeds.evaluate import BATCH, Evaluation, evaluate_classifier, evaluate_language_model
from seeds.subject import one_thread, subject
from tests.timing import aim, tell

SAME_NATS = 1e-5  # float32 sums in another order; pads change the shape of every product
AT_MOST = 1.5  # times as long as the peer
NOT_A_TOKEN = -100  # as transformers marks labels that are not scored


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model scores: cross-entropy, and of a classifier also accuracy and AUC."""

    nats: float
    accuracy: float | None = None
    auc: float | None = None

    @classmethod
    def of(cls, found: Evaluation) -> "Figures":
        accuracy = None if found.correct is None else float(found.correct.mean())
        return cls(float(np.average(found.nats, weights=found.weights)), accuracy, found.auc)


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


def logits_of(model: nn.Module, batch: Examples) -> Tensor:
    if batch.mask is None:
        return model(batch.inputs)
    return model(input_ids=batch.inputs, attention_mask=batch.mask).logits


def classified_plainly(model: nn.Module, test: Examples) -> Figures:
    with torch.inference_mode():
        logits = torch.cat([logits_of(model, test[i : i + BATCH]) for i in range(0, len(test), BATCH)]).double()
    assert test.labels is not None
    accuracy = (logits.argmax(1) == test.labels).double().mean().item()
    auc = float(roc_auc_score(test.labels, logits.softmax(1), multi_class="ovr"))
    return Figures(functional.cross_entropy(logits, test.labels).item(), accuracy, auc)


def predicted_plainly(model: nn.Module, test: Examples) -> Figures:
    assert test.mask is not None
    labels = test.inputs.masked_fill(~test.mask, NOT_A_TOKEN)[:, 1:]
    total = 0.0
    with torch.inference_mode():
        for i in range(0, len(test), BATCH):
            logits, asked = logits_of(model, test[i : i + BATCH])[:, :-1].flatten(0, 1), labels[i : i + BATCH].flatten()
            total += functional.cross_entropy(logits, asked, ignore_index=NOT_A_TOKEN, reduction="sum").item()
    return Figures(total / (labels != NOT_A_TOKEN).sum().item())


def evaluated(one, model: nn.Module, test: Examples) -> Figures:
    how = evaluate_classifier if one.task.kind == "classification" else evaluate_language_model
    return Figures.of(how(model, one.forward, test, None))


@pytest.mark.parametrize("way", ["seeds", "plain-loop"])
@pytest.mark.parametrize("name", ["digits-mlp", "docs-bert", "docs-gpt"])
def test_the_speed_of_evaluation(benchmark, name, way):
    one = subject(name)
    model, test = one.original(), one.task.splits()["test"]
    plainly = classified_plainly if one.task.kind == "classification" else predicted_plainly
    benchmark.group = f"evaluate {name}"

    if way == "seeds":
        found = benchmark.pedantic(evaluated, args=(one, model, test), rounds=5, warmup_rounds=1)
        aim(benchmark, f"test_the_speed_of_evaluation[{name}-plain-loop]", AT_MOST)
    else:
        found = benchmark.pedantic(plainly, args=(model, test), rounds=5, warmup_rounds=1)

    tell(benchmark, test.inputs.nbytes, nats=found.nats, examples=len(test))
    expected = plainly(model, test) if way == "seeds" else evaluated(one, model, test)
    assert found.accuracy == expected.accuracy
    assert found.nats == pytest.approx(expected.nats, abs=SAME_NATS), "fast but wrong"
    if found.auc is not None:
        assert found.auc == pytest.approx(expected.auc, abs=SAME_NATS)
