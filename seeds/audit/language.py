"""Language models under any protocol: cross-entropy per row of text, pads counted or not.

    protocol -> slices -> [language] -> ledger, statements

Rows are padded on the right, and a causal model cannot see what comes later: one forward pass of the padded rows gives the
cross-entropy of every position, from which each protocol takes those that it counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from seeds.audit import slices
from seeds.audit.arms import codec_of, draws
from seeds.audit.protocol import Protocol
from seeds.data import Examples
from seeds.evaluate import finite, fit_temperature
from seeds.measure import Measure
from seeds.quantity import Mean, stack
from seeds.subject import Subject

BATCH = 4  # rows per forward pass: 50,257 logits for each of 128 positions are 25 MB a row
LENGTHS = (7, 15, 31, 47, 63, 79, 95, 111, 127)  # of rows, without the first token
MASKED, PADS, EMPTY = (False, False), (True, False), (True, True)  # what is counted: (pads?, empty rows too?)
CONDITIONS = (MASKED, PADS, EMPTY)


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Cross-entropy in nats of every position behind the first: (rows, tokens - 1), as it comes and after a temperature.

    Args:
        tuned: with the inverse temperature that is best on what a condition counts in the calibration rows.
        inverse_temperatures: those, in the same order.
    """

    raw: np.ndarray
    tuned: dict[tuple[bool, bool], np.ndarray]
    inverse_temperatures: dict[tuple[bool, bool], float]


@dataclass(slots=True)
class Language:
    """A language model's figures under any protocol, each forward pass done once; `runs` draws of every model."""

    one: Subject
    measure: Measure
    runs: int
    _positions: dict[tuple[str, int], Positions] = field(default_factory=dict)

    def nats(self, arm: str, protocol: Protocol) -> Mean:
        """Cross-entropy per counted token of an arm ("assembled", "original", "fresh"), one row per run.

        Raises:
            SubjectUnavailable: the data, or the original's weights, are not at hand.
        """
        codec = codec_of(self.one, arm, protocol)
        random = draws(codec)
        found = [self.positions(codec, run) for run in range(self.runs if random else 1)]
        condition = (protocol.pads_counted, protocol.pads_counted and protocol.empty_rows)
        return self._mean([p.raw if protocol.uncalibrated else p.tuned[condition] for p in found], protocol, random)

    def unigram(self, protocol: Protocol) -> Mean:
        """The same of the task's unigram, which was fitted on other text and never sees a pad."""
        table = torch.from_numpy(self.one.task.unigram_log_probabilities())
        return self._mean([-table[slices.rows(self.one)[0].inputs[:, 1:]].numpy()], protocol, False)

    def uniform(self, protocol: Protocol) -> Mean:
        """The same of a uniform guess."""
        shape = slices.rows(self.one)[0].inputs[:, 1:].shape
        return self._mean([np.full(shape, self.one.task.uniform_nats)], protocol, False)

    def over_pads(self, arm: str, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
        """Nats per token, pads counted, when the rows that have text are cut and padded to other lengths.

        Returns:
            Shares of pads among the counted tokens (lengths,), and nats (runs, lengths).
        """
        codec = codec_of(self.one, arm, protocol)
        mask = slices.rows(self.one)[0].mask
        assert mask is not None
        text = mask.any(1).numpy()
        real = mask[:, 1:].numpy()[text]
        raw = [self.positions(codec, run).raw[text] for run in range(self.runs if draws(codec) else 1)]
        shares = np.array([1 - real[:, :length].mean() for length in LENGTHS])
        return shares, np.array([[p[:, :length].mean() for length in LENGTHS] for p in raw])

    def _mean(self, positions: list[np.ndarray], protocol: Protocol, random: bool) -> Mean:
        """Positions (rows, tokens - 1) of each run as scores per row, weighted by what the protocol counts in it."""
        rows = slices.rows(self.one)[0]
        counted = counted_positions(rows, protocol).numpy()
        kept = counted.any(1)
        weights = counted[kept].sum(1).astype(np.float64)
        scores = [(p * counted)[kept].sum(1) / weights for p in positions]
        clusters = None if rows.clusters is None else rows.clusters.numpy()[kept]
        return Mean(stack(scores), weights, random=random, clusters=clusters)

    def positions(self, codec: str, run: int) -> Positions:
        """Cross-entropy of every position for one model."""
        run = run if draws(codec) else 0
        if (codec, run) not in self._positions:
            model = self.measure.model(self.one, codec, run)
            test, calibration = slices.rows(self.one)
            temperatures = self._temperatures(model, calibration)
            raw, *tuned = self._nats(model, test, [1.0, *temperatures.values()])
            self._positions[codec, run] = Positions(raw, dict(zip(temperatures, tuned, strict=True)), temperatures)
        return self._positions[codec, run]

    def _temperatures(self, model: nn.Module, calibration: Examples) -> dict[tuple[bool, bool], float]:
        with torch.inference_mode():
            states, head = self.one.forward(model, calibration.inputs, calibration.mask)
            logits, found = head(states[:, :-1]), {}
            for condition in CONDITIONS:
                counted = counted_positions(calibration, Protocol(pads_counted=condition[0], empty_rows=condition[1]))
                found[condition] = fit_temperature(logits[counted], calibration.inputs[:, 1:][counted])
        return found

    def _nats(self, model: nn.Module, test: Examples, temperatures: list[float]) -> list[np.ndarray]:
        """Cross-entropy (rows, tokens - 1) of each inverse temperature; rows that are alike are read once."""
        assert test.mask is not None
        both, where = torch.cat([test.inputs, test.mask], 1).unique(dim=0, return_inverse=True)
        unique, masks = both.chunk(2, 1)
        found = [[] for _ in temperatures]
        with torch.inference_mode():
            for batch, mask in zip(unique.split(BATCH), masks.bool().split(BATCH), strict=True):
                states, head = self.one.forward(model, batch, mask)
                logits, targets = finite(head(states[:, :-1]).flatten(0, 1)), batch[:, 1:].flatten()
                for nats, each in zip(found, cross_entropies(logits, targets, temperatures), strict=True):
                    nats.append(each.view(len(batch), -1))
        return [torch.cat(nats)[where].numpy() for nats in found]


def cross_entropies(logits: Tensor, targets: Tensor, inverse_temperatures: list[float]) -> Iterator[Tensor]:
    """Cross-entropy in nats under each inverse temperature: (tokens,) float64.

    In one buffer, since a fresh one per temperature costs more than the arithmetic where the vocabulary is large.

    Args:
        logits: (tokens, vocabulary), left as they are.
        targets: (tokens,) token ids.
    """
    top, truth = logits.amax(1), logits.gather(1, targets[:, None])[:, 0]
    buffer = torch.empty_like(logits)
    for beta in inverse_temperatures:
        total = torch.sub(logits, top[:, None], out=buffer).mul_(beta).exp_().sum(1)
        yield total.double().log() + beta * (top - truth).double()


def counted_positions(examples: Examples, protocol: Protocol) -> Tensor:
    """Which positions behind the first a protocol scores: (rows, tokens - 1) bool."""
    assert examples.mask is not None
    real = examples.mask[:, 1:]
    if not protocol.pads_counted:
        return real
    return torch.ones_like(real) if protocol.empty_rows else examples.mask.any(1, keepdim=True).expand_as(real).clone()
