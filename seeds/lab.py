"""The lab: fine-tuned arms as scores and quantities, every trial computed once.

    subject -> extract -> Seed -> store -> assemble -> finetune -> [lab] -> quantity -> verdict

What `seeds.measure` is for models as they are assembled, this is for models after fine-tuning. A `Cell` says what is asked;
its rate comes from the sweep of that very arm, and its runs come in fixed blocks, so a figure never depends on what else
was asked, in which order, or where it was computed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from seeds.budget import LOOKS, SAMPLES
from seeds.catchup import staying, steps_to
from seeds.engine import Engine
from seeds.errors import ProtocolError
from seeds.evaluate import token_nats
from seeds.finetune import Curves
from seeds.measure import FRESH, MIMETIC, ORIGINAL
from seeds.power import runs_for_equivalence
from seeds.quantity import Mean
from seeds.rates import ALONG, FIRST, SWEEP_LOOKS, Rates, swept, trials_of
from seeds.subject import SUBJECTS, subject
from seeds.trial import Scored, Setting, Trial

LOOKS_AT_RUNS = (8, 16, 32)  # numbers of runs at which a row may be decided
BRIEF = (10, 30, 99, 200, 300)  # looks where only budgets are judged and scoring costs more than training
SWEEP_RUNS = 8, 2  # runs of a sweep: of networks that are stacked, and of others
INSIDE_GRID = (3e-4, 1e-3, 3e-3, 1e-2)  # rates that a run may choose from with its own samples
SHARE_OF_FRESH = 0.9  # of what fresh knows in the end, above chance: the target of head starts


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm with so many labelled samples, at the rate that is best for a goal (steps, or `ALONG` the way to 300)."""

    setting: Setting
    arm: str
    samples: int
    goal: int = ALONG

    @property
    def steps(self) -> int:
        """Where the training ends."""
        return self.goal or LOOKS[-1]

    def of(self, arm: str) -> "Cell":
        """The same cell of another arm."""
        return replace(self, arm=arm)


@dataclass(slots=True)
class Lab:
    """Trials, computed when asked for and kept for the session.

    Args:
        rates: sweeps; what is missing is swept when first asked for.
        engine: where trials run.
        whole: whether every cell is looked at all along the way; text is looked at `BRIEF`ly otherwise.
    """

    rates: Rates
    engine: Engine = field(default_factory=Engine)
    whole: bool = False
    _found: dict[Trial, Curves] = field(default_factory=dict)
    _drawn: dict[tuple[Setting, int], np.ndarray] = field(default_factory=dict)

    # -- trials -----------------------------------------------------------------------------------------------------

    def prepare(self, cells: Iterable[tuple[Cell, int]]) -> None:
        """Computes the trials of all these cells and numbers of runs, many at a time."""
        wanted = list(dict.fromkeys((_canonical(cell), runs) for cell, runs in cells))
        self.sweep([cell for cell, _ in wanted])
        self._compute([trial for cell, runs in wanted for trial in self.trials(cell, runs)])

    def curves(self, cell: Cell, runs: int) -> Curves:
        """Scores of the first `runs` runs of a cell."""
        self.prepare([(cell, runs)])
        return joined([self._found[trial] for trial in self.trials(_canonical(cell), runs)])

    def trials(self, cell: Cell, runs: int, rate: float | None = None, scored: Scored = "test") -> list[Trial]:
        """The trials that a cell stands for: blocks of runs that end where a row may be decided, or single runs."""
        rate = rate or self.rate(cell)
        stacked = subject(cell.setting.subject).vectorised
        # a longer trial passes through the shorter one's states: one serves all goals where steps cost next to nothing
        looks = tuple(look for look in self._looks(cell.setting) if stacked or look <= cell.steps)
        ends = [0, *(n for n in LOOKS_AT_RUNS if n < runs), runs] if stacked else range(runs + 1)
        return [
            Trial(cell.setting, cell.arm, cell.samples, rate, first, last - first, looks, scored)
            for first, last in pairwise(ends)
        ]

    def rate(self, cell: Cell) -> float:
        """The learning rate of a cell."""
        return self.rates.best(_swept_as(cell.setting), cell.arm, cell.samples, cell.goal)

    def _looks(self, setting: Setting) -> tuple[int, ...]:
        is_text = setting.task.splits()["test"].mask is not None
        return BRIEF if is_text and not self.whole else LOOKS

    def _compute(self, trials: Iterable[Trial]) -> None:
        todo = [trial for trial in dict.fromkeys(trials) if trial not in self._found]
        if todo:
            self._found.update(self.engine.run(todo))

    def sweep(self, cells: Iterable[Cell]) -> None:
        """Sweeps rates for every cell whose arm has no finished sweep, wider and wider until each best is inside."""
        keys = list(dict.fromkeys((_swept_as(cell.setting), cell.arm, cell.samples) for cell in cells))
        while True:
            todo = {}
            for setting, arm, samples in keys:
                for rate in self.rates.of(setting, arm, samples).missing():
                    stacked = subject(setting.subject).vectorised
                    runs = SWEEP_RUNS[0] if stacked else SWEEP_RUNS[1]
                    todo[setting, arm, samples, rate] = trials_of(setting, arm, samples, rate, runs, runs if stacked else 1)
            if not todo:
                return
            self._compute(trial for trials in todo.values() for trial in trials)
            for (setting, arm, samples, rate), trials in todo.items():
                self.rates.add(setting, arm, samples, rate, swept([self._found[trial] for trial in trials]))

    # -- quantities ---------------------------------------------------------------------------------------------------

    def knowledge(self, cell: Cell, runs: int, steps: int | None = None) -> Mean:
        """What an arm knows above chance after so many steps (by default all): accuracy or, for language, nats."""
        curves = self.curves(cell, runs)
        self._check_pairs(cell, curves)
        return above_chance(cell.setting, curves, curves.looks.index(cell.steps if steps is None else steps))

    def tuned_inside(self, cell: Cell, runs: int) -> Mean:
        """As `knowledge`, but each run chooses its rate by a fifth of its own samples and spends no other label on that."""
        asked = {rate: self.trials(cell, runs, rate, "inside") for rate in INSIDE_GRID}
        final = {rate: self.trials(cell, runs, rate) for rate in INSIDE_GRID}
        self._compute(trial for trials in (*asked.values(), *final.values()) for trial in trials)
        look = self._looks(cell.setting).index(cell.steps)
        held = np.stack([joined([self._found[t] for t in asked[rate]]).quality()[:, look] for rate in INSIDE_GRID])
        chosen = held.argmax(0)  # (runs,), the lowest of equally good rates
        found = [above_chance(cell.setting, joined([self._found[t] for t in final[rate]]), look) for rate in INSIDE_GRID]
        return replace(found[0], scores=np.stack([found[best].scores[run] for run, best in enumerate(chosen)]))

    def original(self, setting: Setting) -> Mean:
        """What the original knows above chance, before any fine-tuning, on the same examples: one row of scores."""
        trial = Trial(setting, ORIGINAL, SAMPLES[0], FIRST[0], 0, 1, (0,))
        self._compute([trial])
        return replace(above_chance(setting, self._found[trial], 0), random=False)

    def steps_to(self, cell: Cell, runs: int, target: float) -> Mean:
        """Steps until an arm knows `target` above chance, cut off at the last look (restricted mean): one figure a run."""
        above, looks = self._along(cell, runs)
        return Mean(steps_to(above, looks, target)[:, None], nested=True)

    def reaching(self, cell: Cell, runs: int, target: float) -> np.ndarray:
        """Steps until each run knows `target` above chance and goes on doing so: (runs,), infinite where it never does."""
        return staying(*self._along(cell, runs), target)

    def _along(self, cell: Cell, runs: int) -> tuple[np.ndarray, tuple[int, ...]]:
        """What each run knows above chance at each look: (runs, looks), and the looks."""
        curves = self.curves(cell, runs)
        self._check_pairs(cell, curves)
        per_look = [above_chance(cell.setting, curves, look).per_run() for look in range(len(curves.looks))]
        return np.stack(per_look, 1), curves.looks

    def target(self, cell: Cell) -> float:
        """What counts as "there": `SHARE_OF_FRESH` of what fresh knew after 300 steps in the pilot, above chance."""
        sweep = self.rates.of(_swept_as(cell.setting), FRESH, cell.samples)
        pilot = sweep.pilot(cell.goal, SWEEP_LOOKS[-1]).mean()
        return SHARE_OF_FRESH * float(pilot - chance_quality(cell.setting, "calibration"))

    def runs_needed(self, cell: Cell, margin: float, alpha: float, scale: float = 1.0) -> int:
        """Runs for an equivalence test of this arm with fresh, from the spread of their paired difference in the pilot."""
        sweeps = [self.rates.of(_swept_as(cell.setting), arm, cell.samples) for arm in (cell.arm, FRESH)]
        seed, fresh = (sweep.pilot(cell.goal, cell.steps) for sweep in sweeps)
        return runs_for_equivalence(float(np.std(seed - fresh, ddof=1)) / scale, margin, alpha)

    def _check_pairs(self, cell: Cell, curves: Curves) -> None:
        """Run r of every arm must have been trained on the same samples."""
        seen = self._drawn.setdefault((cell.setting, cell.samples), curves.drawn)
        both = min(len(seen), len(curves.drawn))
        if not np.array_equal(seen[:both], curves.drawn[:both]):
            raise ProtocolError(f"runs of {cell.arm} of {cell.setting} are not paired with those of other arms: other samples")
        if len(curves.drawn) > len(seen):
            self._drawn[cell.setting, cell.samples] = curves.drawn


def joined(blocks: Sequence[Curves]) -> Curves:
    """Blocks of runs as one."""
    first = blocks[0]
    return Curves(
        looks=first.looks,
        nats=np.concatenate([b.nats for b in blocks]),
        correct=None if first.correct is None else np.concatenate([b.correct for b in blocks if b.correct is not None]),
        weights=first.weights,
        drawn=np.concatenate([b.drawn for b in blocks]),
        elapsed_s=np.sum([b.elapsed_s for b in blocks], 0),
    )


def chance_quality(setting: Setting, split: str = "test") -> float:
    """Quality of a guess: 1/classes, or minus the unigram's nats per token."""
    on = setting.task
    if on.kind == "classification":
        return 1 / on.classes
    examples = on.splits()[split]
    assert examples.mask is not None
    nats = token_nats(on.unigram_log_probabilities(), examples)
    return -float(np.average(nats, weights=examples.mask[:, 1:].sum(1).numpy()))


def above_chance(setting: Setting, curves: Curves, look: int) -> Mean:
    """What curves know above chance at a look, by its position: accuracy or, for language, nats above a unigram.

    Raises:
        ProtocolError: a run diverged.
    """
    test = setting.task.splits()["test"]
    if curves.correct is not None:
        return Mean(curves.correct[:, look], bounds=(0.0, 1.0), **test.drawn) - chance_quality(setting)
    if diverged := [int(run) for run in np.flatnonzero(~np.isfinite(curves.nats[:, look]).all(1))]:
        raise ProtocolError(f"runs {diverged} of {setting} diverged after {curves.looks[look]} steps: there is no mean of them")
    unigram = token_nats(setting.task.unigram_log_probabilities(), test)
    return Mean(unigram - curves.nats[:, look], curves.weights, **test.drawn)


def _canonical(cell: Cell) -> Cell:
    """Fresh and mimetic starts know nothing of the original: subjects of one architecture and task share their trials."""
    return replace(cell, setting=_swept_as(cell.setting)) if cell.arm in (FRESH, MIMETIC) else cell


def _swept_as(setting: Setting) -> Setting:
    """The first subject of the same recipe and task: independently trained originals share rates and fresh trials."""
    mine = subject(setting.subject)
    for name, other in SUBJECTS.items():
        same = (other.recipe or other.stem, other.task_name) == (mine.recipe or mine.stem, mine.task_name)
        if same:
            return replace(setting, subject=name)
    return setting
