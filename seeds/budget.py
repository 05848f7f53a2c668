"""Budgets: which labelled samples a run of fine-tuning may see, in which order, and when it is looked at.

    subject -> ... -> assemble -> [budget] -> finetune -> verdict

Everything here depends on the number of the run alone, never on the arm: run r of every arm sees the same samples in the
same order, so runs are paired. Smaller budgets are parts of larger ones. This module knows nothing of models.
"""

from dataclasses import dataclass

import numpy as np

from seeds.draw import Draw
from seeds.errors import ProtocolError

SAMPLES = (10, 25, 50, 99, 250, 500)  # 99 stands for "fewer than 100"
STEPS = (1, 5, 10, 30, 99, 300)
LOOKS = (0, 1, *range(5, 100, 5), 99, 100, 150, 200, 300)  # steps after which quality is measured
TUNING_RUNS = 1_000_000  # first run number of sweeps and pilots: never that of a run that is judged


@dataclass(frozen=True, slots=True)
class Budget:
    """What fine-tuning may use.

    Args:
        samples: labelled samples; classes differ by one sample at most.
        steps: gradient steps.
        batch: samples in each step; all of them if there are fewer.
    """

    samples: int
    steps: int
    batch: int

    def __post_init__(self) -> None:
        for name in ("samples", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ProtocolError(f"{name} {getattr(self, name)} is out of range: 1 or more")


def drawn(labels: np.ndarray, samples: int, run: int) -> np.ndarray:
    """Rows of the labelled samples of one run: (samples,), class-balanced, the first ones of any larger draw.

    Args:
        labels: (pool,) class numbers from 0.

    Raises:
        ProtocolError: the pool has too few samples of a class.
    """
    classes = int(labels.max()) + 1
    most = int(np.bincount(labels, minlength=classes).min()) * classes
    if not 1 <= samples <= most:
        raise ProtocolError(f"{samples} labelled samples are out of range: 1 to {most}, {classes} classes in balance")
    of_class = [np.flatnonzero(labels == label) for label in range(classes)]
    shuffled = [rows[Draw(run, f"labelled/{label}").permutation(len(rows))] for label, rows in enumerate(of_class)]
    rounds = -(-samples // classes)
    order = [Draw(run, f"labelled/round/{turn}").permutation(classes) for turn in range(rounds)]
    return np.array([shuffled[label][turn] for turn in range(rounds) for label in order[turn]][:samples])


def batches(budget: Budget, run: int) -> np.ndarray:
    """Positions among the run's samples that each step uses: (steps, batch or fewer); in an epoch each sample comes once."""
    size = min(budget.batch, budget.samples)
    epochs = -(-budget.steps * size // budget.samples)
    order = np.concatenate([Draw(run, f"order/{epoch}").permutation(budget.samples) for epoch in range(epochs)])
    return order[: budget.steps * size].reshape(budget.steps, size)
