"""What a seed costs its receiver and its server: the claims on seconds, bytes and processors.

Seconds are measured in the run that judges them, on one thread, and only ever judged as ratios; downloads of timed rows are
computed from the link's bits and the measured work of client and server. The wire is real where bytes are counted.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from seeds.claims import Row
from seeds.cost.arrival import arrival_s, link_of
from seeds.cost.calibration import Calibration, measured
from seeds.cost.delivery import DELIVERIES, Delivery, packed
from seeds.lab import Cell, Lab
from seeds.measure import FRESH, ORIGINAL, Measure
from seeds.quantity import Counted, Mean, Quantity, Throughout
from seeds.subject import evaluate, subject
from seeds.trial import Setting
from seeds.verdict import judge

pytestmark = pytest.mark.cost

TARGET = 0.95  # of what the original knows above chance
MACHINES = (1.0, 4.0, 0.25)  # times slower than this one: a verdict on seconds speaks of all of them
REPEATS = 3


@pytest.fixture(scope="module")
def clock():
    """Seconds of opening deliveries and of steps, measured once per subject, samples and codec."""
    known: dict[tuple, Calibration] = {}

    def seconds(row: Row) -> Calibration:
        key = row.subject, row.samples, row.codec
        if key not in known:
            sent = [DELIVERIES[ORIGINAL], sent_as(row.codec)]
            known[key] = measured(subject(row.subject), row.samples, sent, REPEATS)
        return known[key]

    return seconds


def sent_as(codec: str) -> Delivery:
    """The delivery of a codec; one of a user's own is fine-tuned."""
    return DELIVERIES.get(codec, Delivery(codec, codec, True, "a codec of one's own"))


def cell_of(row: Row) -> Cell:
    return Cell(Setting(row.subject), row.codec, row.samples, row.steps)


def steps_needed(lab: Lab, row: Row) -> np.ndarray:
    """Steps until each run knows `TARGET` of what the original knows: (runs,), infinite where it never does."""
    wanted = TARGET * lab.original(Setting(row.subject)).interval(0.025).value
    return lab.reaching(cell_of(row), row.runs, wanted)


def sooner(lab: Lab, clock, row: Row) -> Quantity:
    """How many times longer the weights take than the seed: 0 in runs that never reach the quality."""
    parts, link, steps = clock(row), link_of(row.view), steps_needed(lab, row)

    def here(slower: float) -> Mean:
        weights_s = arrival_s(parts[ORIGINAL], np.zeros(1), link, slower)
        return Mean((weights_s / arrival_s(parts[row.codec], steps, link, slower))[:, None], nested=True)

    return Throughout(tuple(map(here, MACHINES)))


def race_notes(lab: Lab, clock, row: Row) -> dict[str, float | int]:
    """Parts of both sides, in seconds, and the steps of the median run."""
    parts, link, steps = clock(row), link_of(row.view), steps_needed(lab, row)
    weights, seed = parts[ORIGINAL], parts[row.codec]
    told: dict[str, float | int] = {
        "weights_bytes": weights.size_bytes,
        "seed_bytes": seed.size_bytes,
        "weights_s": float(arrival_s(weights, np.zeros(1), link)[0]),
        "runs_there": int(np.isfinite(steps).sum()),
    }
    if told["runs_there"]:
        there = steps[np.isfinite(steps)]
        told |= {"steps": float(np.median(there)), "seed_s": float(np.median(arrival_s(seed, there, link)))}
    return told


@pytest.mark.claim("cost-download-slower")
def test_fine_tuning_takes_longer_than_the_download(row, fresh_lab, clock, report):
    """Seconds to equal quality: the weights' over the seed's stay under one."""
    verdict = judge(sooner(fresh_lab, clock, row), row.rule, fresh_lab.original(Setting(row.subject)))
    report(row, verdict, **race_notes(fresh_lab, clock, row))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("cost-download-competitive")
def test_a_seed_and_fine_tuning_are_as_quick_as_the_download(row, fresh_lab, clock, report):
    """The same figure is above one."""
    verdict = judge(sooner(fresh_lab, clock, row), row.rule, fresh_lab.original(Setting(row.subject)))
    report(row, verdict, **race_notes(fresh_lab, clock, row))

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("cost-server-bytes")
def test_a_server_needs_no_weights(row, fresh_lab, report, tmp_path):
    """Bytes on the server: those of the seed where it is enough, else those of the weights."""
    one = subject(row.subject)
    original, seed = (packed(one, sent, tmp_path).stat().st_size for sent in (DELIVERIES[ORIGINAL], sent_as(row.codec)))
    enough = np.isfinite(steps_needed(fresh_lab, row))
    # eight of eight runs are not all runs: an exact interval over the runs, never of width zero
    share = Mean(np.where(enough, seed / original, 1.0)[None], bounds=(seed / original, 1.0), random=False)
    verdict = judge(share, row.rule, fresh_lab.original(Setting(row.subject)))
    report(row, verdict, runs_there=int(enough.sum()), seed_bytes=seed, weights_bytes=original)

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("cost-bandwidth")
def test_a_hundred_times_less_is_sent(row, measure, report, tmp_path):
    """Bytes that really passed a connection; the control is that both files arrive whole."""
    from seeds.wire.download import download
    from seeds.wire.link import Link
    from seeds.wire.serve import serving

    one = subject(row.subject)
    paths = [packed(one, sent, tmp_path) for sent in (DELIVERIES[ORIGINAL], sent_as(row.codec))]
    wire = []
    with serving(tmp_path, [Link(1e9)]) as served:
        for path in paths:
            download(served.urls[0] + path.name, tmp_path / "arrived", progress=False)
            assert (tmp_path / "arrived").read_bytes() == path.read_bytes()
            wire.append(sum(served.passed()[0]) - sum(wire))
    verdict = judge(Counted(wire[0] / wire[1]), row.rule)
    quality = measure.size_notes(one, row.codec, 8)["retention"]
    report(row, verdict, weights_wire_bytes=wire[0], seed_wire_bytes=wire[1], kept_untrained=quality)

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("cost-compute")
def test_the_time_of_fine_tuning_on_one_thread(row, clock, report):
    """Seconds of 300 steps, from a few bursts of steps."""
    step_s = clock(row)[row.codec].step_s
    found = Mean(row.steps * np.array(step_s.seconds)[:, None], nested=True)
    verdict = judge(found, row.rule)
    report(row, verdict, step_s=step_s.median)

    assert row.allows(verdict), row.explain(verdict)


@pytest.mark.claim("cost-runtime")
def test_the_time_of_a_validation(row, report, tmp_path):
    """The report's validation of one subject, from the weights to three scores; the control is that the scores differ."""
    one = subject(row.subject)
    one.task.splits()  # read before: data preparation is no part of it
    elapsed_s = []
    for _ in range(1 + row.runs):  # the first one warms up
        start = time.perf_counter()
        measure = Measure(Path(tmp_path))
        scores = [evaluate(measure.model(one, arm, 0), one.forward, one.task) for arm in (ORIGINAL, row.codec, FRESH)]
        elapsed_s.append(time.perf_counter() - start)
        original, assembled, fresh = (np.average(s.nats, weights=s.weights) for s in scores)
        assert original < min(assembled, fresh)
    verdict = judge(Mean(np.array(elapsed_s[1:])[:, None], nested=True), row.rule)
    report(row, verdict)

    assert row.allows(verdict), row.explain(verdict)
