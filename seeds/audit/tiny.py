"""The tiny budget: ten samples and ten steps, of one class as in the report, or in balance.

    protocol -> assemble -> [tiny: finetune] -> statements

Ten reviews of one class teach one thing, which class to name, and on rows of that class it is all there is to know.
"""

import numpy as np
import torch

from seeds import hub
from seeds.audit.protocol import Protocol
from seeds.audit.slices import first_class
from seeds.budget import Budget, drawn
from seeds.draw import Draw
from seeds.finetune import Lesson, Plan, finetune
from seeds.measure import Measure
from seeds.quantity import Mean
from seeds.subject import Subject

SAMPLES, STEPS, BATCH = 10, 10, 10  # the budget that the report says is enough; every step sees every sample
RATE = 1e-3  # AdamW's default in torch, for every arm and protocol: the report's is not known


def accuracy_after(one: Subject, arm: str, protocol: Protocol, runs: int, measure: Measure) -> Mean:
    """Accuracy of an arm on IMDB, cut at 64 tokens, after ten samples and ten steps, one row per run.

    Of a protocol's faults only `one_class` plays a part: the head is trained with the rest.

    Raises:
        SubjectUnavailable: the reviews are not at hand.
    """
    splits = hub.imdb()
    pool, test = splits["calibration"], splits["test"]
    if protocol.one_class:
        pool, test = pool[first_class(pool)], test[first_class(test)]
    lessons = [Lesson(run, rows, pool[torch.from_numpy(rows)], test) for run, rows in _drawn(pool.labels, protocol, runs)]
    models = [measure.model(one, arm, run) for run in range(runs)]
    curves = finetune(models, one.forward, "classification", lessons, Plan(Budget(SAMPLES, STEPS, BATCH), RATE, (STEPS,)))
    assert curves.correct is not None
    return Mean(curves.correct[:, 0], bounds=(0.0, 1.0))


def _drawn(labels: torch.Tensor | None, protocol: Protocol, runs: int) -> list[tuple[int, np.ndarray]]:
    assert labels is not None
    if protocol.one_class:
        return [(run, Draw(run, "one class").permutation(len(labels))[:SAMPLES]) for run in range(runs)]
    return [(run, drawn(labels.numpy(), SAMPLES, run)) for run in range(runs)]
