"""Expectations: the quality that each delivery reaches, with how many labelled samples and steps, measured beforehand.

    subject -> delivery -> fine-tune -> [expectation] -> plan, race

Quality depends on the subject and the samples and hardly on the machine, so it is measured once, with the rates of the
fine-tuning claims, and kept in a file of this package; `python -m seeds.cost` measures it again. Seconds are the matter of
`seeds.cost.calibration`. Quality is a share of what the original knows above chance: 1 is the original, 0 a guess.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from seeds.catchup import staying
from seeds.cost.delivery import Delivery
from seeds.errors import SubjectUnavailable
from seeds.file import alone, write_whole
from seeds.finetune import Curves
from seeds.interval import Interval
from seeds.lab import Cell, Lab, above_chance, joined
from seeds.measure import ORIGINAL
from seeds.quantity import Mean, PairedRatio
from seeds.subject import Subject
from seeds.trial import Setting, Trial, run_trial

FILE = Path(__file__).parent / "expectation.json"
RUNS = 8
LEVEL = 0.025  # each side of a 95 % interval
MOST = 0.75  # of the runs have to be there before a number of steps counts as enough
DIGITS = 4  # of a stored share of one run; a mean and its limits have two more
LOSSLESS = (ORIGINAL, "exact", "zstd")  # arms whose weights are the original's, to the bit
FEWEST, ANY_RATE = 10, 1e-3  # samples and rate of trials without steps, where neither matters


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one delivery reaches with so many labelled samples, in plain JSON types.

    Args:
        samples: labelled samples; 0 for deliveries that are used as they come.
        rate: the learning rate, best along the way to the last step; 0 without training.
        steps: numbers of steps after which quality was measured, ascending from 0.
        shares: (runs, steps) quality of each run; one row where nothing is random.
        means: (steps,) value, low and high end of a 95 % interval over runs and examples.
    """

    subject: str
    delivery: str
    samples: int
    rate: float
    steps: list[int]
    shares: list[list[float]]
    means: list[list[float]]

    @property
    def runs(self) -> int:
        return len(self.shares)

    def at(self, steps: int) -> Interval:
        """Mean quality after one of the measured numbers of steps."""
        return Interval(*self.means[self.steps.index(steps)])

    def steps_to(self, target: float) -> int | None:
        """The fewest steps after which three quarters of the runs are at the target to stay; None if they never are."""
        there = self.reaching(target)
        return next((n for n in self.steps if (there <= n).mean() >= MOST), None)

    def reaching(self, target: float) -> np.ndarray:
        """The fewest steps after which each run is at the target to stay: (runs,), infinite where it never is."""
        return staying(np.array(self.shares), self.steps, target)

    def one_run(self, steps: int) -> Interval:
        """Prediction for one more run on other examples: the spread of runs, and that of the mean over runs and examples.

        The mean's limits hold some of the spread of runs already, so this is rather too wide.

        Source: Student's prediction interval, Hahn and Meeker 1991, section 4.7; combined as in `seeds.quantity`.
        """
        found, mean = np.array(self.shares)[:, self.steps.index(steps)], self.at(steps)
        if len(found) == 1:
            return mean
        from scipy.stats import t

        half = float(t.ppf(1 - LEVEL, len(found) - 1) * found.std(ddof=1) * np.sqrt(1 + 1 / len(found)))
        low, high = math.hypot(half, mean.value - mean.low), math.hypot(half, mean.high - mean.value)
        return Interval(float(found.mean()), float(found.mean()) - low, float(found.mean()) + high)


def measured(lab: Lab, setting: Setting, sent: Delivery, samples: int, runs: int = RUNS) -> Expectation:
    """Measures one expectation: fine-tuned with so many samples, or as it comes where `samples` is 0."""
    arm = sent.arm
    trials = [Trial(setting, arm, FEWEST, ANY_RATE, run, 1, (0,)) for run in range(runs if sent.tuned else 1)]
    done = dict(lab.engine.run(trials))
    untrained = joined([done[trial] for trial in trials])
    found: dict[int, Mean] = {0: replace(above_chance(setting, untrained, 0), random=sent.tuned)}
    rate = 0.0
    if samples:
        cell = Cell(setting, arm, samples)
        curves, rate = lab.curves(cell, runs), lab.rate(cell)
        found |= {steps: lab.knowledge(cell, runs, steps) for steps in curves.looks if steps}
    original = lab.original(setting)
    means = [Interval(1.0, 1.0, 1.0)]  # the same weights
    if arm not in LOSSLESS:
        means = [PairedRatio(mean, original).interval(LEVEL) for mean in found.values()]
    per_run = np.stack([mean.per_run() for mean in found.values()], 1) / original.per_run()[0]
    return Expectation(
        setting.subject, sent.name, samples, rate, list(found),
        np.round(per_run, DIGITS).tolist(), [_rounded(i) for i in means],
    )  # fmt: skip


def share(one: Subject, curves: Curves) -> float:
    """What one fine-tuned run knows at its last look, as a share of what the original knows."""
    setting = Setting(one.name)
    return float(above_chance(setting, curves, len(curves.looks) - 1).per_run()[0] / _original_knows(one.name))


@cache
def _original_knows(name: str) -> float:
    setting = Setting(name)
    return float(above_chance(setting, run_trial(Trial(setting, ORIGINAL, FEWEST, ANY_RATE, 0, 1, (0,))), 0).per_run()[0])


def _rounded(found: Interval) -> list[float]:
    return [round(float(end), DIGITS + 2) for end in (found.value, found.low, found.high)]


# -- the file -----------------------------------------------------------------------------------------------------------------


def read(path: Path = FILE) -> list[Expectation]:
    """All expectations of a file; none if it is not there."""
    return [Expectation(**row) for row in json.loads(path.read_text())["expectations"]] if path.exists() else []


def write(fresh: Iterable[Expectation], path: Path = FILE) -> None:
    """Adds expectations to the file, a line each; those of the same subject, delivery and samples are replaced."""
    with alone(path.parent):
        merged = {_key(one): one for one in (*read(path), *fresh)}
        lines = [json.dumps(asdict(merged[key])) for key in sorted(merged)]
        write_whole(path, ('{"expectations": [\n' + ",\n".join(lines) + "\n]}\n").encode())


def _key(one: Expectation) -> tuple[str, str, int]:
    return one.subject, one.delivery, one.samples


@cache
def _known() -> dict[tuple[str, str, int], Expectation]:
    return {_key(one): one for one in read()}


def subjects() -> list[str]:
    """Subjects that have expectations."""
    return list(dict.fromkeys(name for name, _, _ in _known()))


def sizes(subject: str) -> list[int]:
    """Numbers of labelled samples for which a subject was measured, ascending."""
    return sorted({samples for name, _, samples in _known() if name == subject and samples})


def expected(subject: str, sent: Delivery, samples: int) -> Expectation:
    """What a delivery reaches with the largest measured number of samples that is not above the one asked for.

    Raises:
        SubjectUnavailable: the subject was not measured, or only with more samples.
    """
    if subject not in subjects():
        raise SubjectUnavailable(f"no expectations for subject {subject!r}; allowed: {', '.join(subjects())}")
    usable = affordable(subject, samples) if sent.tuned else 0
    key = subject, sent.name, usable
    if key not in _known():
        told = f"{sent.name} of {subject} was not measured with {usable} samples"
        raise SubjectUnavailable(f"{told}; python -m seeds.cost {subject} measures it")
    return _known()[key]


def affordable(subject: str, samples: int) -> int:
    """The largest measured number of samples that is at most the one asked for; 0 if there is none: no training."""
    return max((n for n in sizes(subject) if n <= samples), default=0)
