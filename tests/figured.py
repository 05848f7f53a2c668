"""Figures of hand-made data, one of each kind."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from seeds.audit.findings import HeadsFinding, LedgerFinding, PadsFinding, ShareFinding
from seeds.budget import STEPS
from seeds.cost.arrival import SPEEDS
from seeds.cost.calibration import Parts
from seeds.cost.delivery import DELIVERIES
from seeds.cost.race import Download, Entrant
from seeds.cost.record import Record
from seeds.cost.timing import Timed
from seeds.figures import audit, budgets, cost, every, ladder, retention
from seeds.figures.figure import Figure
from seeds.grid import Piece
from seeds.report.finding import Finding

ROOT = Path(__file__).parents[1]
ARMS = ("original", "pca:10", "moments", "fresh")
LOOKS = [0, 1, 5, 10, 30, 99, 300]


# -- data -----------------------------------------------------------------------------------------------------------------


def finding(subject: str, codec: str, times: float | None, kept: float, claim: str = "zeroshot-ladder", **fields) -> Finding:
    """A row that judges retention, `kept`, with an interval of a tenth to each side."""
    notes = {"retention": kept} | ({"size_bytes": 0} if times is None else {"size_bytes": 900, "times_smaller": times})
    low, high = round(kept - 0.1, 6), round(kept + 0.1, 6)
    row = {
        "claim": claim, "row": f"{subject}-{codec}", "subject": subject, "codec": codec, "outcome": "HOLDS", "expected": None,
        "value": kept, "low": low, "high": high, "level": 0.99, "region": "< 0.05", "runs": 7, "assay": None,
        "reason": "because", "notes": notes,
    }  # fmt: skip
    return Finding(**row | fields)


def findings() -> list[Finding]:
    return [
        finding("toy", "signs+vectors", 15.2, 0.71, outcome="REFUTED", runs=None),
        finding("toy", "permuted+vectors", 0.98932, 0.0072),
        finding("toy", "covariance+vectors", 0.5, 0.004),
        finding("toy", "mimetic", None, -0.003),
        finding("toy", "moments", 130.5, 0.006, claim="zeroshot-accuracy", level=0.975),
        finding("toy", "pca+vectors", 2.06, 0.95, claim="zeroshot-structure", value=0.9, runs=32),
        finding("talk", "signs+vectors", 22.4, -0.17),
        finding("talk", "pca:8+noise+vectors", 11.2, 0.3, outcome="UNDECIDED", low=-0.1, high=0.8),
        finding("talk", "moments:global", 1176.5, -0.43, claim="zeroshot-perplexity"),
    ]


def pieces(runs: int = 3, transfer: bool = False) -> list[Piece]:
    """Quality that grows with samples and steps, and differs a little from run to run."""
    made = []
    for place, samples in enumerate((10, 99, 500)):
        shift = {arm: 0.15 * index + 0.01 * place for index, arm in enumerate(reversed(ARMS))}
        along = {arm: _grown(LOOKS, shift[arm], place, runs) for arm in ARMS}
        budget = {arm: _grown(STEPS, shift[arm], place, runs) for arm in ARMS}
        rates = {arm: [1e-3] * len(STEPS) for arm in ARMS}
        made.append(Piece("made-up", samples, LOOKS, 0.1, None if transfer else 0.95, budget, along, rates))
    return made


def _grown(steps, shift: float, place: int, runs: int) -> list[list[float]]:
    base = 0.1 + shift + 0.35 * np.log1p(steps) / math.log(301) * (1 + place) / 3
    return [(base + 0.003 * run * np.sqrt(1 + np.arange(len(steps)))).round(5).tolist() for run in range(runs)]


def heads() -> list[HeadsFinding]:
    return [
        HeadsFinding("toy", "fresh", [[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]], 0.5, [0.75, 0.25]),
        HeadsFinding("toy", "moments", [[0.0, 0.9], [1.0, 0.3]], [[0.48, 0.5], [0.52, 0.61]], 0.5, [0.75, 0.25]),
    ]


def ledgers() -> list[LedgerFinding]:
    shares = (
        ShareFinding("one_class", (0.3, 0.2, 0.4), (0.1, 0.1, 0.2), (0.3, 0.3, 0.4), True),
        ShareFinding("pads_counted", (-0.01, -0.03, 0.01), (0.0, -0.1, 0.1), (0.0, -0.1, 0.1), False),
    )
    nats = (
        ShareFinding("uncalibrated", (24.1, 21.7, 26.6), (24.0, 21.0, 27.0), (23.8, 17.8, 29.8), True),
        ShareFinding("empty_rows", (-0.3, -0.7, 0.1), (0.0, -0.1, 0.1), (-0.9, -2.0, 0.2), False),
    )
    return [
        LedgerFinding("toy", "distance of accuracy from a guess", 4, (0.1, 0.0, 0.2), (0.6, 0.5, 0.7), (0.5, 0.4, 0.6), shares),
        LedgerFinding("talk", "nats per counted token", 8, (10.8, 10.7, 10.9), (34.5, 28.3, 40.7), (23.7, 17.6, 29.8), nats),
    ]


def pads() -> list[PadsFinding]:
    return [
        PadsFinding("talk", [0.0, 0.2, 0.5], {"assembled": [[9.0, 7.5, 3.0], [8.0, 9.25, 12.0]], "fresh": [[7.0, 7.0, 6.5]]})
    ]


def entrants() -> list[Entrant]:
    """All deliveries of docs-bert, whose expectations are in the package; 56 kbit/s is computed."""
    third = Timed((0.01,) * 3)
    made = []
    for size, (name, sent) in enumerate(DELIVERIES.items(), 1):
        parts = Parts(110_000 // size, third, third, Timed((0.002,) * 3) if sent.tuned else None)
        downloads = {speed: Download([8 * parts.size_bytes / bps], speed != "56kbps") for speed, bps in SPEEDS.items()}
        made.append(Entrant("docs-bert", name, 500, parts, downloads))
    return made


def records() -> list[Record]:
    made = []
    for way, speed in (("sum", 1e10), ("moments", 2e9)):
        for parameters in (10**6, 10**8):
            facts = {"way": way, "parameters": parameters, "peak_anonymous_bytes": 153_123_456 + parameters, "threads": 1}
            least = parameters / speed
            made.append(Record("scale", f"{way}[{parameters}]", 5, least, (1 + len(way) / 10) * least, 2 * least, facts))
    return made


# -- figures of them ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """How a figure is made, of what, and where its numbers lie.

    Args:
        along, up: column of what grows to the right, and upwards; None where places in the drawing are no numbers.
        logarithmic: which of both are.
        panel: columns that tell its panels apart.
    """

    draw: Callable[[list], Figure | None]
    data: Callable[[], list]
    along: int | None = None
    up: int | None = None
    logarithmic: str = ""
    panel: tuple[int, ...] = (0,)


MADE = {
    "retention": Made(retention.retention, findings, 4, 5, "along"),
    "ladder": Made(ladder.ladder, findings, 4),
    "curves": Made(budgets.curves, pieces, None, 4, panel=(2,)),
    "budgets": Made(budgets.budgets, pieces),
    "heads": Made(audit.heads, heads),
    "ledger": Made(audit.ledger, ledgers, 2),
    "pads": Made(audit.pads, pads, 3, 5, "up"),
    "quality": Made(cost.quality, entrants, 5, 6, "along", (2,)),
    "scale": Made(cost.scale, records, 1, 2, "along up", ()),
}


@cache
def made(name: str) -> Figure:
    drawing = MADE[name].draw(MADE[name].data())
    assert drawing is not None
    return drawing


def changed(name: str, data: list) -> Figure:
    """The figure of other data."""
    drawing = MADE[name].draw(data)
    assert drawing is not None
    return drawing


@cache
def stored() -> tuple[Figure, ...]:
    """The figures of this project's own reports, drawn once in a process: whatever tests needs them takes these."""
    from seeds.report import claims_file

    return tuple(every(ROOT / "reports", claims_file.read(ROOT / "reports").findings))
