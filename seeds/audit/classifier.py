"""Classifiers under any protocol: which examples they get right.

    protocol -> slices -> [classifier] -> ledger, statements

One forward pass per body and way of padding serves every combination of faults: heads, slices and calibration are applied to
its states. Run r is the same draw under every protocol, so that protocols are compared in pairs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from seeds.audit import slices
from seeds.audit.arms import codec_of, draws
from seeds.audit.protocol import Protocol
from seeds.data import Examples
from seeds.evaluate import balanced, fit_temperature_and_bias, over_batches
from seeds.measure import FRESH, ORIGINAL, Measure
from seeds.quantity import Mean, stack
from seeds.subject import Subject

HEADS = 2**30  # plus the run: heads that no fresh body is initialised with
TRAINED = -1  # number of the head that a model comes with


@dataclass(slots=True)
class Classifier:
    """A classifier's figures under any protocol, each forward pass done once.

    Args:
        one: the subject; where only its moments are published, they stand for its weights.
        runs: draws of every body and of every untrained head.
    """

    one: Subject
    measure: Measure
    runs: int
    _logits: dict[tuple[str, int, bool, str], dict[int, Tensor]] = field(default_factory=dict)
    _calibrated: dict[tuple, Tensor] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return self.one.task.classes

    def correct(self, arm: str, protocol: Protocol) -> Mean:
        """Accuracy of an arm ("assembled", "original", "fresh") under a protocol, one row per run.

        Raises:
            SubjectUnavailable: the data, or the original's weights, are not at hand.
        """
        test = slices.labelled(self.one)[0]
        codec = codec_of(self.one, arm, protocol)
        random = draws(codec) or self._redrawn(codec, protocol)
        scores = [self._correct(codec, protocol, run, test) for run in range(self.runs if random else 1)]
        scored = test[slices.first_class(test)] if protocol.one_class else test
        return Mean(stack(scores), bounds=(0.0, 1.0), random=random, **scored.drawn)

    def _correct(self, codec: str, protocol: Protocol, run: int, test: Examples) -> np.ndarray:
        assert test.labels is not None
        right = (self.logits(codec, run, protocol).argmax(1) == test.labels).double()
        return (right[slices.first_class(test)] if protocol.one_class else right).numpy()

    def logits(self, codec: str, run: int, protocol: Protocol) -> Tensor:
        """Logits of the balanced test examples, calibrated if the protocol is: (examples, classes)."""
        head = run if self._redrawn(codec, protocol) else TRAINED
        pads = protocol.pads_counted and slices.labelled(self.one)[0].mask is not None
        raw = self._heads(codec, run, pads, "test")[head]
        if protocol.uncalibrated:
            return raw
        key = (codec, run if draws(codec) else 0, head, pads)
        if key not in self._calibrated:
            labels = balanced(slices.labelled(self.one)[1], self.classes)
            beta, bias = fit_temperature_and_bias(self._heads(codec, run, pads, "calibration")[head], labels)
            self._calibrated[key] = beta * raw + bias
        return self._calibrated[key]

    def _redrawn(self, codec: str, protocol: Protocol) -> bool:
        """Whether the head is drawn anew. Models of bert-tiny come with one that was never trained: no other is published."""
        if self.one.body is not None:
            return codec == ORIGINAL
        return codec != FRESH and protocol.untrained_head

    def _heads(self, codec: str, run: int, pads: bool, split: str) -> dict[int, Tensor]:
        """Logits (examples, classes) by head: the model's own, and those that are drawn for its runs."""
        body = run if draws(codec) else 0
        if (codec, body, pads, split) not in self._logits:
            redrawn = self._redrawn(codec, Protocol(untrained_head=True))
            runs = [] if not redrawn else [body] if draws(codec) else list(range(self.runs))
            model = self.measure.model(self.one, codec, body)
            heads = [last_layer(self.one.fresh(HEADS + run)) for run in runs]
            for name, examples in zip(("test", "calibration"), slices.labelled(self.one), strict=True):
                shown = replace(examples, mask=None) if pads else examples
                logits = over_batches(shown, lambda batch: self._logits_of(model, heads, batch)).double()
                found = dict(zip([TRAINED, *runs], logits.split(self.classes, 1), strict=True))
                self._logits[codec, body, pads, name] = found
        return self._logits[codec, body, pads, split]

    def _logits_of(self, model: nn.Module, heads: list[nn.Linear], batch: Examples) -> Tensor:
        """Logits under the model's own head, and behind them under each other one, from the same states."""
        states, read = self.one.forward(model, batch.inputs, batch.mask)
        logits = [read(states)]
        for head in heads:
            with wearing(model, head):
                logits.append(read(states))
        return torch.cat(logits, 1)


def last_layer(model: nn.Module) -> nn.Linear:
    """The classification head: the last linear layer that the architecture defines."""
    return [m for m in model.modules() if isinstance(m, nn.Linear)][-1]


@contextmanager
def wearing(model: nn.Module, head: nn.Linear) -> Iterator[None]:
    """The model with other values in its head."""
    own = last_layer(model)
    kept = dict(own.named_parameters())
    for name, values in head.named_parameters():
        setattr(own, name, values)
    try:
        yield
    finally:
        for name, values in kept.items():
            setattr(own, name, values)
