"""The ledger: how much of an effect each fault explains.

    protocol -> scores -> [ledger] -> page

The effect is what the figure is under the published protocol less what it is under the sound one. A fault's share is its
Shapley value: what turning it on changes, averaged over every order of turning the faults on. Shares sum to the effect, a
fault that never changes anything has none, and faults that change the same thing are treated alike.
This module knows numbers per combination, and neither networks nor what the faults are.

Source: Shapley 1953, "A value for n-person games".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

from seeds.audit.protocol import combined
from seeds.interval import Interval
from seeds.quantity import Mean

LEVEL = 0.025  # one-sided, of each interval: 95 % in all
MATERIAL = 0.05  # of the effect's size: a share surely beyond it is material

Values = Mapping[frozenset[str], np.ndarray]  # figure of each run (runs,) under every combination of faults


@dataclass(frozen=True, slots=True)
class Share:
    """One fault's part of the effect, in the figure's unit.

    Args:
        share: its Shapley value, with the interval over runs.
        alone: what it changes in the sound protocol.
        last: what it changes when every other fault is there.
        material: whether the share's interval lies beyond a twentieth of the effect, on either side of zero.
    """

    fault: str
    share: Interval
    alone: Interval
    last: Interval
    material: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the published protocol adds to the sound one, and who made the difference. Intervals are over runs alone."""

    effect: Interval
    shares: tuple[Share, ...]
    runs: int

    def __getitem__(self, fault: str) -> Share:
        return {s.fault: s for s in self.shares}[fault]


def ledger(values: Values, faults: Sequence[str]) -> Ledger:
    """The ledger of an effect.

    Args:
        values: the figure of every run under every combination of `faults`, paired: run r is the same draw in all of them.

    Raises:
        ValueError: a combination is missing, there are fewer than two runs, or not as many finite figures everywhere.
    """
    every = frozenset(faults)
    if missing := [sorted(c) for c in combined(faults) if c not in values]:
        raise ValueError(f"{len(missing)} of {2 ** len(every)} combinations are missing, {missing[0]} for one")
    if (runs := len(values[every])) < 2:
        raise ValueError(f"{runs} runs give no interval; at least 2")
    if odd := [sorted(c) for c, v in values.items() if v.shape != (runs,) or not np.isfinite(v).all()]:
        raise ValueError(f"figures under {odd[0]} are out of range: {runs} finite numbers, as under the others")
    effect = _over_runs(values[every] - values[frozenset()])
    shares = []
    for fault in faults:
        share = _over_runs(shapley(values, faults, fault))
        least = MATERIAL * abs(effect.value)
        shares.append(
            Share(
                fault,
                share,
                _over_runs(values[frozenset({fault})] - values[frozenset()]),
                _over_runs(values[every] - values[every - {fault}]),
                share.low > least or share.high < -least,
            )
        )
    return Ledger(effect, tuple(shares), runs)


def shapley(values: Values, faults: Sequence[str], fault: str) -> np.ndarray:
    """One fault's Shapley value in each run: (runs,)."""
    others, count = [f for f in faults if f != fault], len(faults)
    total = np.zeros_like(values[frozenset()], dtype=np.float64)
    for before in combined(others):
        orders = factorial(len(before)) * factorial(count - len(before) - 1) / factorial(count)
        total += orders * (values[before | {fault}] - values[before])
    return total


def _over_runs(values: np.ndarray) -> Interval:
    return Mean(values[:, None], nested=True).interval(LEVEL)
