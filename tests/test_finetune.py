"""What fine-tuning makes of a seed: the claims on final quality, head starts, transfer and budgets, on every subject.

The rates are those of tests/rates.json; a row of an arm that was never swept is swept first. Rows are decided after 8, 16 or 32
runs, each look with a third of the level.
"""

from dataclasses import asdict

import numpy as np
import pytest

from seeds import grid
from seeds.budget import SAMPLES
from seeds.catchup import share_censored
from seeds.claims import Row
from seeds.lab import LOOKS_AT_RUNS, Cell, Lab, chance_quality
from seeds.measure import FRESH, ORIGINAL
from seeds.quantity import Mean, PairedRatio, Quantity, Smallest
from seeds.rates import ALONG
from seeds.subject import subject
from seeds.trial import Setting
from seeds.verdict import Verdict, judge_at_looks

pytestmark = pytest.mark.finetune

ON_ANOTHER_TASK = {"finetune-transfer", "finetune-recovery"}
ON_THE_WAY = {"finetune-no-head-start", "finetune-transfer"}  # the rate is best along the way; elsewhere at the judged step
KNOWN_GAP = 10  # samples, and steps: there the original must be ahead of fresh
NEAR_PERFECT = 0.97  # lower limit of the original's accuracy from which the target is absolute
TARGET = 0.95


def cell_of(row: Row) -> Cell:
    """The judged cell of a row."""
    goal = ALONG if row.claim in ON_THE_WAY else row.steps
    return Cell(Setting(row.subject, row.claim in ON_ANOTHER_TASK), row.codec, row.samples, goal)


def known_gap(row: Row) -> tuple[Cell, Cell]:
    """Original and fresh where the original is surely ahead."""
    tiny = Cell(Setting(row.subject), ORIGINAL, KNOWN_GAP, KNOWN_GAP)
    return tiny, tiny.of(FRESH)


def cells(row: Row) -> list[Cell]:
    """Every cell that a row reads, so that all trials of a run can be computed side by side."""
    judged = cell_of(row)
    also = {
        "finetune-same-final": [judged.of(FRESH), *known_gap(row)],
        "finetune-ablation": [judged.of(FRESH), *known_gap(row)],
        "finetune-no-head-start": [judged.of(FRESH), judged.of(ORIGINAL)],
        "finetune-transfer": [judged.of(FRESH), judged.of(ORIGINAL)],
        "finetune-recovery": [judged.of(FRESH), judged.of(ORIGINAL)],
    }
    return [judged, *also.get(row.claim, [])]


@pytest.fixture(scope="module")
def lab(fresh_lab, request) -> Lab:
    """The lab, with the first look of every selected row computed side by side (under -n each worker comes to its own rows)."""
    if fresh_lab.engine.jobs > 1:
        rows = [item.callspec.params.get("row") for item in request.session.items if hasattr(item, "callspec")]
        mine = [row for row in rows if isinstance(row, Row) and row.claim.startswith(("finetune-", "budget-"))]
        fresh_lab.prepare((cell, min(row.runs, LOOKS_AT_RUNS[0])) for row in mine for cell in cells(row))
    return fresh_lab


def decided(row: Row, measured) -> Verdict:
    """The verdict at the first look that decides."""
    return judge_at_looks(measured, row.rule, LOOKS_AT_RUNS, row.runs)


@pytest.mark.claim("finetune-same-final")
def test_a_seed_ends_where_fresh_weights_end(row, lab, report):
    """Final quality, seed minus fresh, lies within the margin; the same judge finds the original's lead with 10 samples."""
    verdict = decided(row, lambda runs: (difference(lab, row, runs), lead_of_the_original(lab, row, runs)))
    report(row, verdict, **ends(lab, row, verdict), **power(lab, row))

    assert gained_by_fresh(lab, row) > 0, "two arms that learn nothing are equal, too"
    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("finetune-ablation")
def test_every_kind_of_seed_ends_where_fresh_weights_end(row, lab, report):
    """The same for each kind of seed, the rank fixed beforehand."""
    verdict = decided(row, lambda runs: (difference(lab, row, runs), lead_of_the_original(lab, row, runs)))
    report(row, verdict, **ends(lab, row, verdict), **power(lab, row))

    assert gained_by_fresh(lab, row) > 0, "two arms that learn nothing are equal, too"
    assert row.allows(verdict), row.explain(verdict)


def difference(lab: Lab, row: Row, runs: int) -> Quantity:
    """Seed minus fresh at the judged budget, in units of what the original knows."""
    judged = cell_of(row)
    lead = lab.knowledge(judged, runs, row.steps) - lab.knowledge(judged.of(FRESH), runs, row.steps)
    return PairedRatio(lead, lab.original(judged.setting))


def lead_of_the_original(lab: Lab, row: Row, runs: int) -> Quantity:
    """The known gap, in the same unit."""
    original, fresh = known_gap(row)
    lead = lab.knowledge(original, runs, KNOWN_GAP) - lab.knowledge(fresh, runs, KNOWN_GAP)
    return PairedRatio(lead, lab.original(original.setting))


def gained_by_fresh(lab: Lab, row: Row) -> float:
    """What fresh weights gain in quality between the first look and the judged budget."""
    quality = lab.curves(cell_of(row).of(FRESH), LOOKS_AT_RUNS[0]).quality()
    return float((quality[:, -1] - quality[:, 0]).mean())


def ends(lab: Lab, row: Row, verdict: Verdict) -> dict[str, float]:
    """Mean quality of both arms at the judged budget, and the rates."""
    judged = cell_of(row)
    return quality_notes(lab, {"seed": judged, FRESH: judged.of(FRESH)}, row, verdict)


def quality_notes(lab: Lab, arms: dict[str, Cell], row: Row, verdict: Verdict) -> dict[str, float]:
    """Quality (accuracy, or minus nats) after the judged steps, and the learning rate, of each arm."""
    told = {}
    for name, cell in arms.items():
        curves = lab.curves(cell, verdict.runs or 1)
        told[f"{name}_quality"] = float(curves.quality()[:, curves.looks.index(row.steps)].mean())
        told[f"{name}_rate"] = lab.rate(cell)
    return told


def power(lab: Lab, row: Row) -> dict[str, int]:
    """Runs that the pilot's spread asks for, at the level of one look; nothing where two runs are all there is of a pilot."""
    judged = cell_of(row)
    if not subject(row.subject).vectorised:
        return {}
    scale = lab.original(judged.setting).interval(0.025).value
    return {"power_says_runs": lab.runs_needed(judged, row.rule.below, row.rule.alpha / len(LOOKS_AT_RUNS), scale)}


@pytest.mark.claim("finetune-no-head-start")
def test_a_seed_is_no_head_start(row, lab, report):
    """Fresh needs hardly more steps than the seed to the same target; the original needs clearly fewer."""
    verdict = decided(row, lambda runs: head_start(lab, row, runs))
    report(row, verdict, **way(lab, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("finetune-transfer")
def test_a_seed_is_no_head_start_on_another_task(row, lab, report):
    """The same under a new head on another task."""
    verdict = decided(row, lambda runs: head_start(lab, row, runs))
    report(row, verdict, **way(lab, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


def head_start(lab: Lab, row: Row, runs: int) -> tuple[Quantity, Quantity]:
    """Steps of fresh over steps of the seed, and over steps of the original."""
    judged = cell_of(row)
    target = lab.target(judged)
    seed, fresh, original = (lab.steps_to(judged.of(arm), runs, target) for arm in (row.codec, FRESH, ORIGINAL))
    return PairedRatio(fresh, seed), PairedRatio(fresh, original)


def way(lab: Lab, row: Row, verdict: Verdict) -> dict[str, float | int]:
    """Mean steps of each arm, the share of runs that never got there, and the target as quality."""
    judged, runs = cell_of(row), verdict.runs or 1
    target = lab.target(judged)
    told: dict[str, float | int] = {"target_quality": target + chance_quality(judged.setting)}
    for name, arm in (("seed", row.codec), (FRESH, FRESH), (ORIGINAL, ORIGINAL)):
        cell = judged.of(arm)
        told[f"{name}_steps"] = float(lab.steps_to(cell, runs, target).scores.mean())
        told[f"{name}_never"] = share_censored(lab.curves(cell, runs).quality() - chance_quality(judged.setting), target)
        told[f"{name}_rate"] = lab.rate(cell)
    return told


@pytest.mark.claim("finetune-perfect")
def test_fine_tuning_is_perfect(row, lab, report):
    """Accuracy of the fine-tuned seed, with exact intervals over the examples."""
    classes = Setting(row.subject).task.classes
    verdict = decided(row, lambda runs: (lab.knowledge(cell_of(row), runs, row.steps) - -1 / classes, None))
    report(row, verdict, **seed_notes(lab, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("finetune-recovery")
def test_a_seed_recovers_nothing_of_pre_training(row, lab, report):
    """What the seed gains over fresh on another task, as a share of what the original gains."""

    def measured(runs: int) -> tuple[Quantity, Quantity]:
        judged = cell_of(row)
        seed, fresh, original = (lab.knowledge(judged.of(arm), runs, row.steps) for arm in (row.codec, FRESH, ORIGINAL))
        return PairedRatio(seed - fresh, original - fresh), original - fresh

    verdict = decided(row, measured)
    judged = cell_of(row)
    arms = {"seed": judged, FRESH: judged.of(FRESH), ORIGINAL: judged.of(ORIGINAL)}
    report(row, verdict, **quality_notes(lab, arms, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


def target_of(lab: Lab, setting: Setting) -> Mean:
    """What "enough" is, above chance: 95 % accuracy where the original is surely above 97 %, else 95 % of the original."""
    original = lab.original(setting)
    chance = chance_quality(setting)
    if original.bounds and original.interval(0.025).low + chance >= NEAR_PERFECT:
        return Mean(np.full_like(original.scores, TARGET - chance), random=False)
    return Mean(TARGET * original.scores, original.weights, random=False)


def enough(lab: Lab, row: Row, runs: int) -> tuple[Quantity, Quantity]:
    """Quality above chance over that of the target; and what the original knows."""
    judged = cell_of(row)
    learned = lab.tuned_inside(judged, runs) if row.view == "inside" else lab.knowledge(judged, runs, row.steps)
    return PairedRatio(learned, target_of(lab, judged.setting)), lab.original(judged.setting)


@pytest.mark.claim("budget-data")
def test_fewer_than_100_samples_are_enough(row, lab, report):
    """With 99 samples and 300 steps; one row chooses its rate by its own samples alone."""
    verdict = decided(row, lambda runs: enough(lab, row, runs))
    report(row, verdict, **(inside_notes if row.view == "inside" else seed_notes)(lab, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


def seed_notes(lab: Lab, row: Row, verdict: Verdict) -> dict[str, float]:
    """Quality and rate of the seed alone."""
    return quality_notes(lab, {"seed": cell_of(row)}, row, verdict)


def inside_notes(lab: Lab, row: Row, verdict: Verdict) -> dict[str, float]:
    """The same where each run has a rate of its own."""
    judged = cell_of(row)
    learned = lab.tuned_inside(judged, verdict.runs or 1).per_run().mean()
    return {"seed_quality": float(learned) + chance_quality(judged.setting)}


@pytest.mark.claim("budget-tiny")
def test_ten_samples_and_ten_steps_are_enough(row, lab, report):
    """The smallest budget that the report calls enough."""
    verdict = decided(row, lambda runs: enough(lab, row, runs))
    report(row, verdict, **seed_notes(lab, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("budget-steps")
def test_fewer_than_100_steps_converge(row, lab, report):
    """Nothing much is gained after step 99 nor after step 200, by a model that has learned something."""
    judged = cell_of(row)

    def measured(runs: int) -> tuple[Quantity, Quantity]:
        after = {steps: lab.knowledge(judged, runs, steps) for steps in (99, 200, 300)}
        original = lab.original(judged.setting)
        gains = (PairedRatio(after[99] - after[300], original), PairedRatio(after[200] - after[300], original))
        return Smallest(gains), PairedRatio(after[300], original)

    verdict = decided(row, measured)
    report(row, verdict, **seed_notes(lab, row, verdict))

    assert row.allows(verdict), row.explain(verdict)


# -- the grid: every budget, shown and not judged; its controls could fail ------------------------------------------------

ALWAYS = [("digits-mlp", False)]
WITH_FULL = [
    ("digits-mlp-04", True),
    ("digits-cnn", False),
    ("digits-cnn-04", True),
    ("docs-bert", False),
    ("docs-gpt", True),
    ("docs-gpt", False),
]
AT_CHANCE = 0.1  # accuracy: some three standard errors of the mean of eight new heads, which differ by a tenth
TOO_MANY = {("digits-mlp-04", 500), ("digits-cnn-04", 500)}  # digits 5 to 9 have 395 labelled samples in balance


def pytest_generate_tests(metafunc):
    if "samples" in metafunc.fixturenames:
        settings = ALWAYS + (WITH_FULL if metafunc.config.option.full else [])
        pieces = [(name, transfer, n) for name, transfer in settings for n in SAMPLES if (name, n) not in TOO_MANY]
        ids = [f"{name}-{'transfer-' if transfer else ''}{n}" for name, transfer, n in pieces]
        metafunc.parametrize(("subject_name", "transfer", "samples"), pieces, ids=ids)


@pytest.mark.long
def test_the_grid(subject_name, transfer, samples, lab, record_property):
    """More steps help fresh weights. With few samples the original is ahead of them; under a new head nobody starts ahead."""
    found = grid.piece(lab, Setting(subject_name, transfer), samples)
    record_property("grid", asdict(found))

    fresh, original = (np.array(found.budget[arm]) for arm in (FRESH, ORIGINAL))  # (runs, steps)
    assert fresh[:, -1].mean() > fresh[:, 0].mean(), "the optimizer does not step, or the samples teach nothing"
    if transfer:
        start = np.mean([np.array(along)[:, 0] for along in found.along.values()])
        assert abs(start - found.chance) < AT_CHANCE, "a new head knows the labels before any step"
    else:
        assert original[:, 2].mean() > fresh[:, 2].mean(), "after ten steps the original is not ahead"
