"""A trial of a second, where it is kept, and what has to be the same wherever it is computed."""

from pathlib import Path

import numpy as np

from seeds.engine import computed
from seeds.finetune import Curves
from seeds.trial import Setting, Trial

ONE = Trial(Setting("digits-mlp"), "fresh", samples=10, rate=1e-3, first_run=0, runs=2, looks=(0, 1, 5))


def figures(curves: Curves) -> list[bytes]:
    """Everything but the seconds, which no two computations share."""
    arrays = (np.array(curves.looks), curves.nats, curves.correct, curves.weights, curves.drawn)
    return [b"none" if a is None else f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in arrays]


def kept(folder: Path) -> Path:
    """The file of `ONE`, computed into a folder of its own."""
    computed(ONE, folder)
    (path,) = folder.iterdir()
    return path
