"""The race: what was measured of every delivery of a subject, on every link.

    delivery -> link -> download -> open -> fine-tune -> [race] -> page, figures -> reports/

Whether a download was really done or computed from bits and latency is said beside it.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seeds.cost.arrival import LATENCY_S, median, trained
from seeds.cost.calibration import Parts, from_row, to_row
from seeds.cost.delivery import DELIVERIES
from seeds.cost.expectation import Expectation, expected
from seeds.file import alone, write_whole
from seeds.interval import Interval


@dataclass(frozen=True, slots=True)
class Download:
    """Seconds of fetching a file, the client's own among them: each time that it was done, or computed where it was not."""

    seconds: list[float]
    is_measured: bool

    @property
    def median_s(self) -> float:
        return float(np.median(self.seconds))


@dataclass(frozen=True, slots=True)
class Entrant:
    """One delivery of one subject with everything that was measured of it.

    Args:
        samples: labelled samples of the receiver.
        downloads: by speed.
    """

    subject: str
    delivery: str
    samples: int
    parts: Parts
    downloads: dict[str, Download]

    @property
    def known(self) -> Expectation:
        return expected(self.subject, DELIVERIES[self.delivery], self.samples)

    def steps(self, target: float) -> np.ndarray:
        """Steps that each run needs: (runs,)."""
        return self.known.reaching(target)

    def to_quality_s(self, speed: str, target: float) -> Interval:
        """Seconds to a share of what the original knows: the median run with its interval, infinite where it never is there."""
        trained_s = trained(self.parts, self.steps(target))
        return median(self.downloads[speed].median_s + self.parts.open_s.median + trained_s)

    def curve(self, speed: str) -> list[tuple[float, float]]:
        """Seconds and mean quality after each measured number of steps: quality against time."""
        here_s = self.downloads[speed].median_s + self.parts.open_s.median
        step_s = self.parts.step_s.median if self.parts.step_s else 0.0
        return [(here_s + steps * step_s, self.known.at(steps).value) for steps in self.known.steps]


# -- files --------------------------------------------------------------------------------------------------------------------


def to_plain(one: Entrant) -> dict:
    """An entrant in plain JSON types."""
    downloads = {speed: asdict(download) for speed, download in one.downloads.items()}
    head = {"subject": one.subject, "delivery": one.delivery, "samples": one.samples}
    return head | {"parts": to_row(one.parts), "downloads": downloads}


def from_plain(row: dict) -> Entrant:
    """The entrant that `to_plain` wrote."""
    downloads = {speed: Download(**download) for speed, download in row["downloads"].items()}
    return Entrant(row["subject"], row["delivery"], row["samples"], from_row(row["parts"]), downloads)


def write(fresh: Iterable[Entrant], folder: Path) -> list[Path]:
    """Writes one JSON file per subject; deliveries that did not race now keep what was stored."""
    by_subject: dict[str, dict[str, Entrant]] = {}
    for one in fresh:
        by_subject.setdefault(one.subject, {})[one.delivery] = one
    written = []
    with alone(folder):
        for name, entrants in by_subject.items():
            path = folder / f"race-{name}.json"
            merged = {one.delivery: one for one in read(path)} | entrants
            ordered = [merged[delivery] for delivery in DELIVERIES if delivery in merged]
            content = {"subject": name, "latency_s": LATENCY_S, "entrants": [to_plain(one) for one in ordered]}
            write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
            written.append(path)
    return written


def read(path: Path) -> list[Entrant]:
    """The entrants of one subject; none if the file is not there."""
    return [from_plain(row) for row in json.loads(path.read_text())["entrants"]] if path.exists() else []
