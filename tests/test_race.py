"""The race to the original's quality: every delivery of four networks, really sent, opened and fine-tuned.

    subject -> delivery -> link -> download -> open -> fine-tune -> quality

Timed is the whole way over one link, with one scoring at its end; the samples are the receiver's, and at hand. `composed_s`
is the same time made of its parts, without the scoring, as the page makes it for the other links: there only the download
is done, since what happens behind it does not depend on it. Downloads that are expected to take ten seconds or more are
computed, and marked so.
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from seeds.cost import race
from seeds.cost.arrival import SPEEDS, TARGETS, link_of
from seeds.cost.calibration import Calibration, Parts, measured
from seeds.cost.delivery import DELIVERIES, lesson, opened, packed, tuned
from seeds.cost.expectation import ANY_RATE, expected, share
from seeds.cost.race import Download, Entrant
from seeds.cost.timing import REPEATS
from seeds.report.line import VISION
from seeds.subject import Subject, one_thread, subject
from seeds.trial import Prepared
from seeds.wire.download import HEADER_BYTES, download
from seeds.wire.serve import serving

SUBJECTS = ("digits-mlp", "digits-cnn", "docs-bert", "docs-gpt")
SAMPLES = 500
RACED = "25Mbps"
WEIGHTS = "original"
LONG_STEPS = 30  # from so many steps of a large network on there is one round
MOST_STEPS = 99  # of a delivery that never gets there
LONGEST_S = 10.0  # of a download that is really done
OFTEN_S = 0.2  # up to which it is done `REPEATS` times
SLOW = ("56kbps", "1Mbps", "5Mbps")  # links that leave the processor idle, so that they can be used side by side
AS_EXPECTED = 0.05  # share of the original's knowledge: other processors round otherwise, and answers on the edge change


@dataclass(frozen=True, slots=True)
class Wire:
    """Files that are being served, by the address of each link."""

    folder: Path
    urls: dict[str, str]
    direct_url: str


@pytest.fixture(scope="module")
def wire(tmp_path_factory) -> Iterator[Wire]:
    folder = tmp_path_factory.mktemp("served")
    with serving(folder, [link_of(speed) for speed in SPEEDS]) as served:
        yield Wire(folder, dict(zip(SPEEDS, served.urls, strict=True)), served.direct_url)


@pytest.fixture(scope="module")
def clock():
    """Seconds of the parts of every delivery of a subject, measured once."""
    known: dict[str, Calibration] = {}

    def seconds(one: Subject) -> Calibration:
        if one.name not in known:
            known[one.name] = measured(one, SAMPLES)
        return known[one.name]

    return seconds


@pytest.mark.benchmark(group="finetune-vs-download")
@pytest.mark.parametrize("name", list(DELIVERIES))
@pytest.mark.parametrize("subject_name", SUBJECTS)
def test_the_way_to_the_originals_quality(benchmark, subject_name, name, wire, clock, tmp_path, record_property):
    """To 95 % where the delivery gets there, else for 99 steps; each round is a run of its own."""
    one_thread()
    one, sent = subject(subject_name), DELIVERIES[name]
    known = expected(one.name, sent, SAMPLES)
    steps = known.steps_to(TARGETS[0])
    steps = MOST_STEPS if steps is None else steps
    path, parts = packed(one, sent, wire.folder), clock(one)[name]
    rounds = REPEATS if one.name.startswith(VISION) or steps < LONG_STEPS else 1
    runs, ends = itertools.count(), []

    def start() -> tuple[tuple, dict]:
        return (lesson(one, SAMPLES, known.rate or ANY_RATE, (steps,), next(runs)),), {}

    def whole_way(ready: Prepared) -> None:
        run = ready.lessons[0].run
        arrived = download(wire.urls[RACED] + path.name, tmp_path / f"arrived-{run}", progress=False)
        ends.append(tuned(opened(one, sent, arrived.path, run), ready))

    benchmark.pedantic(whole_way, setup=start, rounds=rounds)

    qualities = [share(one, curves) for curves in ends]
    entrant = Entrant(one.name, name, SAMPLES, parts, downloads(wire, path, parts, tmp_path))
    record_property("race", race.to_plain(entrant))
    step_s = parts.step_s.median if parts.step_s else 0.0
    composed_s = entrant.downloads[RACED].median_s + parts.open_s.median + steps * step_s
    against = {} if name == WEIGHTS else {"against": f"test_the_way_to_the_originals_quality[{one.name}-{WEIGHTS}]"}
    benchmark.extra_info.update(
        **against, bytes=parts.size_bytes, link=RACED, steps=steps, reaches=known.steps_to(TARGETS[0]) is not None,
        composed_s=composed_s, quality=qualities, threads=1, device="cpu",
    )  # fmt: skip
    column = known.steps.index(steps)
    wanted = [known.shares[run % known.runs][column] for run in range(rounds)]
    assert qualities == pytest.approx(wanted, abs=AS_EXPECTED), "not what was expected of this delivery"


def fetch(url: str, arrived: Path) -> float:
    """Seconds of one download, to a name of its own: replacing a file takes time."""
    return download(url, arrived, progress=False).elapsed_s


def downloads(wire: Wire, path: Path, parts: Parts, folder: Path) -> dict[str, Download]:
    """Seconds of fetching a file over each link: really, where that is expected to take less than ten, else computed."""
    computed = {speed: link_of(speed).seconds(parts.size_bytes, HEADER_BYTES) + parts.fetch_s.median for speed in SPEEDS}
    short = [speed for speed in SPEEDS if computed[speed] < LONGEST_S]
    places = {speed: folder / speed for speed in short}
    for place in places.values():
        place.mkdir()

    def really(speed: str) -> Download:
        times = REPEATS if computed[speed] < OFTEN_S else 1
        return Download([fetch(wire.urls[speed] + path.name, places[speed] / str(n)) for n in range(times)], True)

    with ThreadPoolExecutor() as pool:
        slow = {speed: pool.submit(really, speed) for speed in short if speed in SLOW}
    found = {speed: future.result() for speed, future in slow.items()}
    found |= {speed: really(speed) for speed in short if speed not in SLOW}
    return {speed: found.get(speed, Download([computed[speed]], False)) for speed in SPEEDS}
