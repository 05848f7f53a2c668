"""Untrained heads: what 200 of them score on the report's slice of one class, and on balanced examples.

    protocol -> slices -> [heads] -> figures, page

The report's original is a pre-trained body under a head that was never trained. On a body that tells inputs hardly apart, as
fresh ones do, such a head names one class, whichever it is: on a slice of one class it scores 0 % or 100 %.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seeds import hub
from seeds.audit.slices import first_class
from seeds.draw import Draw
from seeds.errors import ProtocolError
from seeds.evaluate import over_batches
from seeds.measure import Measure
from seeds.subject import Subject

BODIES, PER_BODY = 40, 5
NEAR = 0.01  # from 0 or 1


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Accuracies of untrained heads: (bodies, heads of each), on rows of one class and on balanced rows."""

    arm: str
    one_class: np.ndarray
    balanced: np.ndarray

    @property
    def times_as_spread(self) -> float:
        """Standard deviation over heads on one class, over that on balanced rows; infinite if those are all alike."""
        spread = float(self.balanced.std())
        return float(self.one_class.std()) / spread if spread else math.inf

    def apart(self, gap: float) -> list[float]:
        """Share of pairs of bodies whose first heads' accuracies differ by `gap` or more: on one class, and balanced."""
        pairs = np.triu_indices(len(self.one_class), 1)
        differences = (np.abs(np.subtract.outer(a[:, 0], a[:, 0]))[pairs] for a in (self.one_class, self.balanced))
        return [float(np.mean(each >= gap)) for each in differences]


def extreme(accuracies: np.ndarray) -> float:
    """Share of accuracies within 1 % of 0 or 1."""
    return float(np.mean((accuracies <= NEAR) | (accuracies >= 1 - NEAR)))


def heads(one: Subject, arm: str, measure: Measure) -> Heads:
    """Accuracies of 200 untrained heads, five on each of 40 bodies of an arm, on IMDB cut at 64 tokens.

    Args:
        arm: "fresh", a codec, or "original", which has one body for all.

    Raises:
        SubjectUnavailable: the reviews, or the original's weights, are not at hand.
    """
    test = hub.imdb()["test"]
    assert test.labels is not None
    first, right = first_class(test), []
    for body in range(BODIES):
        model = measure.model(one, arm, body)
        weights = torch.stack([_untrained(model, body, head) for head in range(PER_BODY)])
        pooled = over_batches(test, lambda batch: _pooled(model, batch.inputs, batch.mask))  # noqa: B023
        named = (pooled @ weights.transpose(1, 2)).argmax(2)  # (heads, examples)
        right.append((named == test.labels).double())
    correct = torch.stack(right)
    return Heads(arm, correct[:, :, first].mean(2).numpy(), correct.mean(2).numpy())


def _untrained(model: nn.Module, body: int, head: int) -> Tensor:
    """Weights (classes, features) as the architecture draws them; its biases start at zero."""
    layer, std = getattr(model, "classifier", None), getattr(getattr(model, "config", None), "initializer_range", None)
    if not isinstance(layer, nn.Linear) or not isinstance(std, float):
        raise ProtocolError(f"{type(model).__name__} has no linear classifier with a stated init")
    return torch.from_numpy(Draw(body, f"head/{head}").normal(tuple(layer.weight.shape), 0.0, std))


def _pooled(model: nn.Module, ids: Tensor, mask: Tensor | None) -> Tensor:
    return model.bert(input_ids=ids, attention_mask=mask).pooler_output  # pyright: ignore[reportCallIssue]
