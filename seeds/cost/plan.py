"""The planner: which delivery gets a receiver soonest to a wanted quality, on this link and this machine.

    calibration (seconds), expectation (quality), link (bits per second) -> [plan: ranked options]

Everything comes from measured parts; nothing is downloaded or trained to make a plan. `carried_out` really does one option.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from seeds.cost.calibration import Calibration, Parts
from seeds.cost.delivery import DELIVERIES, Delivery, lesson, opened, tuned
from seeds.cost.expectation import ANY_RATE, FEWEST, Expectation, expected, share
from seeds.cost.timing import total
from seeds.errors import ProtocolError
from seeds.interval import Interval
from seeds.subject import Subject
from seeds.wire.download import HEADER_BYTES, download
from seeds.wire.link import Link

LINK_SPREAD = 0.05  # by so much a link may be slower than it says


@dataclass(frozen=True, slots=True)
class Option:
    """One delivery with what it is expected to take and to give.

    Args:
        steps: of fine-tuning; None where the wanted quality is never reached in the steps that were measured.
        samples: labelled samples that the expectation was measured with; 0 without training.
        quality: expected share of what the original knows, with a 95 % interval for one run: after `steps`, or after the best
            number of steps where it is never reached.
        runs_there: how many of the measured runs had the wanted quality by then, and how many there were.
        download_s, open_s, tune_s: the parts, each with a 95 % prediction interval.
    """

    sent: Delivery
    size_bytes: int
    steps: int | None
    samples: int
    rate: float
    quality: Interval
    runs_there: tuple[int, int]
    download_s: Interval
    open_s: Interval
    tune_s: Interval

    @property
    def total_s(self) -> Interval:
        return total([self.download_s, self.open_s, self.tune_s])


def plan(one: Subject, link: Link, samples: int, quality: float, calibration: Calibration) -> list[Option]:
    """Options that reach the quality, soonest first, then those that do not, best first.

    Args:
        samples: labelled samples that the receiver has; 0 or more.
        quality: wanted share of what the original knows above chance, above 0 and at most 1.

    Raises:
        ProtocolError: samples or quality out of range.
        SubjectUnavailable: nothing is known of the subject.
    """
    check(samples, quality)
    options = [
        _option(sent, calibration[sent.name], expected(one.name, sent, samples), link, quality) for sent in DELIVERIES.values()
    ]
    reaching = [o for o in options if o.steps is not None]
    others = [o for o in options if o.steps is None]
    return [*sorted(reaching, key=lambda o: o.total_s.value), *sorted(others, key=lambda o: -o.quality.value)]


def check(samples: int, quality: float) -> None:
    """Raises `ProtocolError` for samples or a quality that no plan can have."""
    if samples < 0:
        raise ProtocolError(f"{samples} labelled samples are out of range: 0 or more")
    if not 0 < quality <= 1:
        raise ProtocolError(f"quality {quality:g} is out of range: a share of the original's, above 0 and at most 1")


def _option(sent: Delivery, parts: Parts, known: Expectation, link: Link, quality: float) -> Option:
    steps = known.steps_to(quality)
    best = max(known.steps, key=lambda n: known.at(n).value) if steps is None else steps
    nothing = Interval(0.0, 0.0, 0.0)
    return Option(
        sent,
        parts.size_bytes,
        steps,
        known.samples,
        known.rate,
        known.one_run(best),
        (int((known.reaching(quality) <= best).sum()), known.runs),
        download_s(link, parts),
        parts.open_s.times(1),
        parts.step_s.times(best) if parts.step_s and best else nothing,
    )


def download_s(link: Link, parts: Parts) -> Interval:
    """Seconds of the download, computed: what the link takes for the bits, and what client and server take besides."""
    bits_s = link.seconds(parts.size_bytes, HEADER_BYTES)
    return total([Interval(bits_s, bits_s, bits_s * (1 + LINK_SPREAD)), parts.fetch_s.times(1)])


@dataclass(frozen=True, slots=True)
class Done:
    """One option really carried out: seconds of its parts, and the quality as a share of what the original knows."""

    download_s: float
    open_s: float
    tune_s: float
    quality: float

    @property
    def total_s(self) -> float:
        return self.download_s + self.open_s + self.tune_s


def carried_out(one: Subject, option: Option, url: str, folder: Path, run: int) -> Done:
    """Downloads, opens and fine-tunes one option, and scores it once at the end; scoring takes none of the seconds.

    Args:
        url: of the file that `seeds.cost.delivery.packed` made.
        run: its number draws the samples, and what a codec draws.
    """
    steps = option.steps or 0
    ready = lesson(one, option.samples or FEWEST, option.rate or ANY_RATE, (steps,), run)
    arrived = download(url, folder / "arrived", progress=False)
    start = time.perf_counter()
    model = opened(one, option.sent, arrived.path, run)
    open_s = time.perf_counter() - start
    curves = tuned(model, ready)
    return Done(arrived.elapsed_s, open_s, float(curves.elapsed_s[-1]), share(one, curves))
