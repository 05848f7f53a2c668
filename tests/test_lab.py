"""The lab: which trials a cell stands for, what is shared, and what is made of scores; on made-up scores where those will do.

subject -> extract -> Seed -> store -> assemble -> finetune -> [lab] -> quantity -> verdict
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from seeds import data
from seeds import lab as module
from seeds.budget import LOOKS, TUNING_RUNS
from seeds.catchup import staying, steps_to
from seeds.engine import Engine
from seeds.errors import ProtocolError
from seeds.finetune import Curves
from seeds.lab import BRIEF, INSIDE_GRID, LOOKS_AT_RUNS, SHARE_OF_FRESH, SWEEP_RUNS, Cell, Lab, chance_quality
from seeds.power import runs_for_equivalence
from seeds.rates import ALONG, FIRST, SWEEP_LOOKS, Rates, Sweep
from seeds.subject import subject
from seeds.trial import Setting, Trial

MLP, CNN, SIBLING = Setting("digits-mlp"), Setting("digits-cnn"), Setting("digits-mlp-1")
BERT = Setting("docs-bert")
CELL = Cell(MLP, "moments", 10, goal=30)
EXAMPLES = 450  # scored digits


def made_up(trial: Trial, drawn: int = 0) -> Curves:
    """Scores that tell run and look: accuracy grows by 0.1 a look and by 1/450 a run, and falls off beside the best rate.

    That is 1e-3, and 1e-2 for odd runs that are judged.
    """
    run = np.arange(trial.first_run, trial.first_run + trial.runs)[:, None]
    best = np.where((run % 2 == 1) & (run < TUNING_RUNS), 1e-2, 1e-3)
    level = 0.1 * np.arange(len(trial.looks)) + run % 100 / EXAMPLES - 0.05 * abs(np.log10(trial.rate / best))
    correct = (np.arange(EXAMPLES) < np.round(np.clip(level, 0, 1) * EXAMPLES)[..., None]).astype(np.uint8)
    rows = run.repeat(trial.samples, 1) + drawn
    return Curves(trial.looks, -np.log(0.1 + 0.8 * correct), correct, np.ones(EXAMPLES), rows, np.zeros(len(trial.looks)))


@dataclass(slots=True)
class MadeUp(Engine):
    """Computes nothing, and remembers what it was asked for; arms in `astray` draw samples of their own."""

    asked: list[Trial] = field(default_factory=list)
    astray: tuple[str, ...] = ()

    def run(self, trials: Iterable[Trial]) -> Iterator[tuple[Trial, Curves]]:
        for trial in trials:
            self.asked.append(trial)
            yield trial, made_up(trial, drawn=trial.arm in self.astray)


def swept(*arms: str, setting: Setting = MLP, samples: int = 10, best: float = 1e-3) -> Rates:
    """Finished sweeps."""
    quality = {rate: np.full((8, 4), 0.5 + 0.1 * (rate == best)) for rate in (1e-4, *FIRST, 1e-2)}
    return Rates(Sweep(setting, arm, samples, quality) for arm in arms)


def lab_of(*arms: str, **options) -> tuple[Lab, MadeUp]:
    engine = MadeUp(**options)
    return Lab(swept(*arms), engine), engine


# -- trials ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "blocks"),
    [
        (32, [(0, 8), (8, 8), (16, 16)]),
        (16, [(0, 8), (8, 8)]),
        (8, [(0, 8)]),
        (10, [(0, 8), (8, 2)]),
        (3, [(0, 3)]),
        (40, [(0, 8), (8, 8), (16, 16), (32, 8)]),
    ],
)
def test_runs_that_are_stacked_come_in_blocks_that_end_where_rows_are_decided(runs, blocks):
    trials = Lab(swept("moments")).trials(CELL, runs)
    assert [(trial.first_run, trial.runs) for trial in trials] == blocks
    assert {(t.setting, t.arm, t.samples, t.rate, t.looks, t.scored) for t in trials} == {
        (MLP, "moments", 10, 1e-3, LOOKS, "test")
    }


def test_runs_that_are_not_stacked_come_one_by_one():
    """And end with the budget."""
    trials = Lab(swept("moments", setting=CNN)).trials(replace(CELL, setting=CNN), 16)
    assert [(trial.first_run, trial.runs) for trial in trials] == [(run, 1) for run in range(16)]
    assert {trial.looks for trial in trials} == {tuple(look for look in LOOKS if look <= 30)}


def test_a_later_look_only_adds_runs():
    lab, engine = lab_of("moments")
    for runs in LOOKS_AT_RUNS:
        curves = lab.curves(CELL, runs)
        assert curves.drawn[:, 0].tolist() == list(range(runs))
        assert curves.nats.shape == (runs, len(LOOKS), EXAMPLES)
    assert [(trial.first_run, trial.runs) for trial in engine.asked] == [(0, 8), (8, 8), (16, 16)]


def test_fresh_starts_are_shared_by_originals_of_one_recipe():
    """The very same trials, under the first one's name and rates; those of a seed are each original's own."""
    lab, engine = lab_of("fresh", "moments")
    for arm, trials in (("fresh", 1), ("moments", 2)):
        engine.asked.clear()
        mine, other = lab.curves(CELL.of(arm), 8), lab.curves(replace(CELL, setting=SIBLING, arm=arm), 8)
        assert len(engine.asked) == trials
        assert {trial.rate for trial in engine.asked} == {1e-3}
        np.testing.assert_array_equal(mine.nats, other.nats)
    assert {trial.setting for trial in engine.asked} == {MLP, SIBLING}


@pytest.mark.parametrize("setting", [CNN, Setting("digits-mlp-04"), Setting("digits-mlp-04", transfer=True)], ids=str)
def test_other_networks_and_other_tasks_share_nothing(setting):
    cell = replace(CELL, setting=setting, arm="fresh")
    with pytest.raises(ProtocolError, match=f"no finished sweep of rates for fresh of {setting} with 10 samples"):
        Lab(swept("fresh")).rate(cell)


def test_text_is_looked_at_briefly_unless_whole():
    """Scoring costs more than training there. The training ends where the budget does."""
    sweeps = swept("moments", setting=BERT)
    cell = replace(CELL, setting=BERT)
    (brief,), (whole,) = (Lab(sweeps, whole=whole).trials(cell, 1) for whole in (False, True))
    assert brief.looks == (10, 30)
    assert whole.looks == tuple(look for look in LOOKS if look <= 30)
    along = replace(cell, goal=ALONG)
    (brief,), (whole,) = (Lab(sweeps, whole=whole).trials(along, 1) for whole in (False, True))
    assert (brief.looks, whole.looks) == (BRIEF, LOOKS)


def test_a_shorter_budget_with_a_rate_of_its_own_ends_where_it_ends():
    """It lies on the way of no longer training."""
    quality = {rate: np.full((2, 4), 0.5) for rate in (1e-4, *FIRST, 1e-2)}
    quality[1e-3][:, 2:] += 0.2
    quality[3e-3][:, :2] += 0.1
    lab = Lab(Rates([Sweep(CNN, "moments", 10, quality)]), whole=True)
    (short,), (long,) = (lab.trials(Cell(CNN, "moments", 10, goal), 1) for goal in (30, 300))
    assert (short.rate, short.looks[-1]) == (3e-3, 30)
    assert (long.rate, long.looks[-1]) == (1e-3, 300)


def test_what_was_not_swept_is_swept_first():
    """All three rates at once on runs that are never judged, on from there until the best is inside, and never again."""
    lab, engine = lab_of()
    lab.curves(CELL, 8)
    *sweeps, judged = engine.asked
    assert {trial.rate for trial in sweeps} == set(FIRST)
    assert {(t.first_run, t.runs, t.scored, t.looks) for t in sweeps} == {
        (TUNING_RUNS, SWEEP_RUNS[0], "calibration", SWEEP_LOOKS)
    }
    assert (judged.rate, judged.first_run, judged.scored) == (1e-3, 0, "test")
    lab.curves(CELL, 8)
    assert len(engine.asked) == len(sweeps) + 1


def test_every_arm_has_the_rate_that_is_best_for_itself():
    """And not that of fresh weights, nor of the arm that was asked for first."""
    best = {"fresh": 1e-3, "moments": 3e-3, "original": 3e-4}
    lab = Lab(Rates(sweep for arm, rate in best.items() for sweep in swept(arm, best=rate)))
    assert {arm: lab.rate(CELL.of(arm)) for arm in best} == best
    assert {arm: {trial.rate for trial in lab.trials(CELL.of(arm), 8)} for arm in best} == {a: {r} for a, r in best.items()}


def test_cells_are_computed_once_and_side_by_side():
    lab, engine = lab_of("moments", "fresh")
    cells = [CELL, CELL.of("fresh"), CELL, replace(CELL, setting=SIBLING, arm="fresh"), replace(CELL, goal=300)]
    lab.prepare((cell, 8) for cell in cells)
    assert [trial.arm for trial in engine.asked] == ["moments", "fresh"]


# -- quantities -----------------------------------------------------------------------------------------------------------


def test_runs_drawn_differently_are_not_paired():
    lab, _ = lab_of("fresh", "moments", "pca:10", astray=("pca:10",))
    lab.knowledge(CELL, 8)
    lab.knowledge(CELL.of("fresh"), 16)
    lab.knowledge(CELL, 32)
    says = "runs of pca:10 of digits-mlp are not paired with those of other arms: other samples"
    for ask in (lambda cell: lab.knowledge(cell, 8), lambda cell: lab.steps_to(cell, 16, 0.3)):
        with pytest.raises(ProtocolError, match=says):
            ask(CELL.of("pca:10"))


def test_knowledge_is_accuracy_above_chance_after_so_many_steps():
    """By default after all steps of the cell."""
    lab, _ = lab_of("moments")
    curves = lab.curves(CELL, 8)
    at_30, at_10 = lab.knowledge(CELL, 8), lab.knowledge(CELL, 8, steps=10)
    np.testing.assert_allclose(at_30.per_run(), curves.quality()[:, LOOKS.index(30)] - 0.1)
    np.testing.assert_allclose(at_10.per_run(), curves.quality()[:, LOOKS.index(10)] - 0.1)
    assert at_30.bounds == pytest.approx((-0.1, 0.9))
    assert at_30.runs == 8


@pytest.mark.parametrize("subject_name", ["digits-mlp", "digits-mlp-3", "docs-gpt"])
def test_the_original_knows_what_it_was_measured_to_know(subject_name, measure):
    """The same scores as those of the zero-shot claims; nats are kept in float32."""
    one = subject(subject_name)
    found = Lab(Rates()).original(Setting(subject_name))
    expected = measure.knowledge(one, "original", 1, "raw")
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=0 if one.vectorised else 1e-5)
    assert found.runs is None
    interval, as_measured = found.interval(0.025), expected.interval(0.025)
    assert (interval.low, interval.high) == pytest.approx((as_measured.low, as_measured.high), abs=1e-5)


def test_steps_are_counted_on_knowledge_above_chance():
    lab, _ = lab_of("moments")
    curves = lab.curves(CELL, 8)
    found = lab.steps_to(CELL, 8, 0.34)
    assert found.nested
    assert found.scores.shape == (8, 1)
    assert found.scores[:, 0].tolist() == steps_to(curves.quality() - 0.1, LOOKS, 0.34).tolist()
    assert lab.reaching(CELL, 8, 0.34).tolist() == staying(curves.quality() - 0.1, LOOKS, 0.34).tolist()
    assert np.isinf(lab.reaching(CELL, 8, 2.0)).all()
    assert 1 < found.scores.mean() < 300


def test_the_target_is_nine_tenths_of_what_fresh_knew_in_the_pilot():
    """At the rate that fresh is best at, 0.6 after 300 steps, where a guess is 0.1; the same for every arm."""
    lab, _ = lab_of("fresh", "moments")
    assert lab.target(CELL) == lab.target(replace(CELL, setting=SIBLING)) == pytest.approx(SHARE_OF_FRESH * (0.6 - 0.1))
    assert chance_quality(MLP) == 0.1


def test_runs_needed_come_from_the_spread_of_the_pilots_difference():
    """In units of the scale; paired run by run."""
    rng = np.random.default_rng(0)
    seed, fresh = ({rate: 0.5 + 0.1 * rng.random((8, 4)) for rate in (1e-4, *FIRST, 1e-2)} for _ in range(2))
    for quality in (seed, fresh):
        quality[1e-3] += 0.2
    lab = Lab(Rates([Sweep(MLP, "moments", 10, seed), Sweep(MLP, "fresh", 10, fresh)]))
    spread = float(np.std(seed[1e-3][:, 1] - fresh[1e-3][:, 1], ddof=1))
    assert lab.runs_needed(CELL, 0.05, 0.01, scale=0.5) == runs_for_equivalence(spread / 0.5, 0.05, 0.01)


# -- rates chosen inside the budget ---------------------------------------------------------------------------------------


def test_each_run_chooses_its_rate_by_samples_of_its_own():
    """Where those tell the rates apart, each run is scored at the rate that they say; no sweep is asked for."""
    lab, engine = lab_of()
    found = lab.tuned_inside(CELL, 10)
    assert {trial.scored for trial in engine.asked} == {"inside", "test"}
    assert {trial.rate for trial in engine.asked} == set(INSIDE_GRID)
    even, odd = (made_up(Trial(MLP, "moments", 10, rate, 0, 10)).quality()[:, LOOKS.index(30)] for rate in (1e-3, 1e-2))
    np.testing.assert_allclose(found.per_run(), np.where(np.arange(10) % 2, odd, even) - 0.1)


def test_the_samples_that_were_held_back_choose_the_rate_and_not_the_scored_examples():
    """Where they say 1e-2 for even runs and 1e-3 for odd ones, each run is scored at that, though it is the worse one."""

    class Misled(MadeUp):
        def run(self, trials):
            for trial in trials:
                yield trial, made_up(replace(trial, first_run=trial.first_run + (trial.scored == "inside")))

    found = Lab(Rates(), Misled()).tuned_inside(CELL, 8).per_run()
    at_rate = {
        rate: made_up(Trial(MLP, "moments", 10, rate, 0, 8)).quality()[:, LOOKS.index(30)] - 0.1 for rate in (1e-2, 1e-3)
    }
    np.testing.assert_allclose(found, np.where(np.arange(8) % 2, at_rate[1e-3], at_rate[1e-2]))
    assert (found < np.maximum(at_rate[1e-2], at_rate[1e-3])).all()


def test_a_rate_chosen_inside_reads_no_label_of_the_calibration_split(monkeypatch):
    """With that split taken away, the figures are the same bits; a sweep could not be made. Ten steps are enough to see it."""
    monkeypatch.setattr(module, "LOOKS", (0, 10))
    cell = replace(CELL, samples=25, goal=10)
    before = Lab(Rates()).tuned_inside(cell, 3)
    monkeypatch.delitem(data.digits(), "calibration")
    np.testing.assert_array_equal(Lab(Rates()).tuned_inside(cell, 3).scores, before.scores)
    with pytest.raises(KeyError, match="calibration"):
        Lab(Rates()).knowledge(cell, 3)
