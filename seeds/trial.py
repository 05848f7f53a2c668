"""Trials: one arm of one subject under one budget, in a block of runs. The unit of work that is computed, stored and sent.

    subject -> extract -> Seed -> store -> assemble -> [trial: finetune] -> verdict

A trial is a few plain values, and running it gives the same figures in any process on any machine of one kind: nothing
depends on other trials.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import nn

from seeds.budget import LOOKS, Budget, drawn
from seeds.errors import ProtocolError
from seeds.evaluate import Forward
from seeds.finetune import Curves, Lesson, Plan, finetune
from seeds.measure import Measure
from seeds.subject import one_thread, subject
from seeds.task import Kind, Task
from seeds.transfer import forward_of, with_new_head

Scored = Literal["test", "calibration", "inside"]
IMAGE_BATCH, TEXT_BATCH = 32, 8  # samples in a step
INSIDE = 5  # one of so many labelled samples is kept back when the rate is chosen inside the budget


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """A subject fine-tuned on its own task, or (transfer) its body under a new head on another."""

    subject: str
    transfer: bool = False

    @property
    def task(self) -> Task:
        one = subject(self.subject)
        return one.transfer_task if self.transfer else one.finetune_task

    def __str__(self) -> str:
        return f"{self.subject}-to-{subject(self.subject).transfer_name}" if self.transfer else self.subject


@dataclass(frozen=True, slots=True, order=True)
class Trial:
    """What one piece of work computes.

    Args:
        arm: "original", "fresh", "mimetic" or a codec.
        samples: labelled samples of each run.
        rate: constant learning rate.
        first_run, runs: the block of runs.
        looks: steps after which quality is measured; the last one ends the training.
        scored: "test"; "calibration" for choosing rates; "inside" to score a fifth of the labelled samples, which are then
            not trained on.
    """

    setting: Setting
    arm: str
    samples: int
    rate: float
    first_run: int
    runs: int
    looks: tuple[int, ...] = LOOKS
    scored: Scored = "test"

    @property
    def name(self) -> str:
        """Readable, unique, and fit for a file name."""
        runs = f"runs-{self.first_run}-{self.first_run + self.runs - 1}"
        looks = "all" if self.looks == LOOKS else "-".join(map(str, self.looks))
        parts = (self.setting, self.arm.replace(":", "="), f"n{self.samples}", f"rate-{self.rate:g}", runs, self.scored, looks)
        return ",".join(map(str, parts))


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A trial with its models and examples at hand, and the names of the modules that hold the models' code."""

    models: list[nn.Module]
    forward: Forward
    kind: Kind
    lessons: list[Lesson]
    plan: Plan
    together: bool
    modules: tuple[str, ...]


def run_trial(trial: Trial) -> Curves:
    """Scores of a trial; the same in every process."""
    return run_prepared(prepare(trial))


def prepare(trial: Trial) -> Prepared:
    """Assembles the models of a trial and draws its samples."""
    one_thread()
    on = trial.setting.task
    runs = range(trial.first_run, trial.first_run + trial.runs)
    lessons = [_lesson(on, trial, run) for run in runs]
    batch = IMAGE_BATCH if lessons[0].test.mask is None else TEXT_BATCH
    budget = Budget(len(lessons[0].drawn), max(trial.looks[-1], 1), batch)
    models, forward = starts(trial.setting, trial.arm, runs)
    one, plan = subject(trial.setting.subject), Plan(budget, trial.rate, trial.looks)
    modules = tuple(dict.fromkeys((one.module.__name__, forward.__module__)))
    return Prepared(models, forward, on.kind, lessons, plan, one.vectorised, modules)


def run_prepared(ready: Prepared) -> Curves:
    """Fine-tunes the models of a prepared trial, in place."""
    return finetune(ready.models, ready.forward, ready.kind, ready.lessons, ready.plan, ready.together)


def starts(setting: Setting, arm: str, runs: range) -> tuple[list[nn.Module], Forward]:
    """Initial models of an arm, one per run, and their forward pass."""
    one = subject(setting.subject)
    models = [_measure().model(one, arm, run) for run in runs]
    if not setting.transfer:
        return models, one.forward
    sample = setting.task.splits()["test"][:1]
    heads = [with_new_head(m, one.forward, sample, setting.task.classes, r) for m, r in zip(models, runs, strict=True)]
    return list(heads), forward_of(one.forward)


@cache
def _measure() -> Measure:
    """Seeds extracted once per process."""
    return Measure()


def _lesson(on: Task, trial: Trial, run: int) -> Lesson:
    splits = on.splits()
    pool = on.split("labelled")
    assert pool.labels is not None
    rows = torch.from_numpy(drawn(pool.labels.numpy(), trial.samples, run))
    if trial.scored != "inside":
        return Lesson(run, rows.numpy(), pool[rows], splits[trial.scored])
    if trial.samples < INSIDE:
        raise ProtocolError(f"{trial.samples} samples are out of range: {INSIDE} or more, to score one in {INSIDE} of them")
    asked, rows = rows.split([trial.samples // INSIDE, trial.samples - trial.samples // INSIDE])
    return Lesson(run, rows.numpy(), pool[rows], pool[asked])
