"""Learning rates: one stated sweep per setting, arm and number of samples, and the choice from it.

    subject -> ... -> [rates: sweep] -> lab -> quantity -> verdict

An arm that loses because of a bad rate proves nothing, so every arm is swept in the same way, on runs that are never
judged, scored on the calibration split (whose labels are spent on this, on top of the budget). The best rate depends on
the budget, so each goal (quality after so many steps, or along the whole way) has its own. The sweep doubles as the pilot that
tells spreads and targets beforehand.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seeds.budget import TUNING_RUNS
from seeds.errors import ProtocolError
from seeds.file import write_whole
from seeds.finetune import Curves
from seeds.trial import Setting, Trial

GRID = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FIRST = (3e-4, 1e-3, 3e-3)  # swept at once; then on to either side while the end of what was swept is ahead
WORTH = 0.01  # by so much of its neighbour: accuracy, or nats per token
SWEEP_LOOKS = (10, 30, 99, 300)
ALONG = 0  # the goal "mean quality over SWEEP_LOOKS"


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one arm reached at each rate, with so many samples, on the calibration split.

    Args:
        quality: by rate, (runs, len(SWEEP_LOOKS)) accuracy or minus nats; -inf where a run diverged.
    """

    setting: Setting
    arm: str
    samples: int
    quality: dict[float, np.ndarray]

    @property
    def runs(self) -> int:
        return len(next(iter(self.quality.values())))

    def best(self, goal: int) -> float:
        """The rate of highest mean quality for a goal (steps of SWEEP_LOOKS, or ALONG); of equals the middling one."""
        return max(self.quality, key=lambda rate: (self._mean(rate, goal), -abs(GRID.index(rate) - GRID.index(FIRST[1]))))

    def _mean(self, rate: float, goal: int) -> float:
        return float(at(self.quality[rate], goal).mean())

    def pilot(self, goal: int, steps: int) -> np.ndarray:
        """Quality after `steps` at the rate that is best for the goal: (runs,)."""
        return at(self.quality[self.best(goal)], steps)

    def missing(self) -> list[float]:
        """Rates still to be swept: the next one wherever, for some goal, the best lies at an end and is clearly ahead."""
        if not self.quality:
            return list(FIRST)
        swept = sorted(self.quality)
        found = []
        for end, inner, step in ((swept[0], swept[1], -1), (swept[-1], swept[-2], 1)):
            following = GRID.index(end) + step
            leads = [
                self._mean(end, goal) - self._mean(inner, goal) for goal in (ALONG, *SWEEP_LOOKS) if self.best(goal) == end
            ]
            if 0 <= following < len(GRID) and max(leads, default=0.0) > WORTH:
                found.append(GRID[following])
        return found


def at(quality: np.ndarray, goal: int) -> np.ndarray:
    """Quality of each run for a goal: (runs,)."""
    if goal == ALONG:
        return quality.mean(1)
    if goal not in SWEEP_LOOKS:
        raise ProtocolError(f"goal {goal} is out of range: {ALONG} (along the way) or {', '.join(map(str, SWEEP_LOOKS))} steps")
    return quality[:, SWEEP_LOOKS.index(goal)]


def trials_of(setting: Setting, arm: str, samples: int, rate: float, runs: int, block: int) -> list[Trial]:
    """The trials that sweep one rate, in blocks of runs."""
    firsts = range(TUNING_RUNS, TUNING_RUNS + runs, block)
    return [Trial(setting, arm, samples, rate, first, block, SWEEP_LOOKS, "calibration") for first in firsts]


def swept(quality: Sequence[Curves]) -> np.ndarray:
    """Quality (runs, looks) of the trials of one rate."""
    return np.concatenate([curves.quality() for curves in quality])


class Rates:
    """Sweeps by (setting, arm, samples), as stored in a JSON file."""

    def __init__(self, sweeps: Iterable[Sweep] = ()) -> None:
        self._sweeps = {(s.setting, s.arm, s.samples): s for s in sweeps}

    def __iter__(self) -> Iterator[Sweep]:
        return iter(self._sweeps.values())

    def of(self, setting: Setting, arm: str, samples: int) -> Sweep:
        """The sweep of an arm; empty if there is none."""
        return self._sweeps.get((setting, arm, samples), Sweep(setting, arm, samples, {}))

    def add(self, setting: Setting, arm: str, samples: int, rate: float, quality: np.ndarray) -> None:
        """Adds what one more rate reached: (runs, len(SWEEP_LOOKS))."""
        old = self.of(setting, arm, samples)
        self._sweeps[setting, arm, samples] = Sweep(setting, arm, samples, {**old.quality, rate: quality})

    def best(self, setting: Setting, arm: str, samples: int, goal: int) -> float:
        """The chosen rate.

        Raises:
            ProtocolError: the arm was not swept, or its best rate may lie beyond what was.
        """
        sweep = self.of(setting, arm, samples)
        if not sweep.quality or sweep.missing():
            raise ProtocolError(f"no finished sweep of rates for {arm} of {setting} with {samples} samples")
        return sweep.best(goal)

    @classmethod
    def load(cls, path: Path) -> "Rates":
        """Reads a file of sweeps; none if it is not there."""
        if not path.exists():
            return cls()
        return cls(
            Sweep(
                Setting(row["subject"], row["transfer"]), row["arm"], row["samples"],
                {float(rate): np.array(values, float) for rate, values in row["quality"].items()},
            )
            for row in json.loads(path.read_text())["sweeps"]
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Writes all sweeps: one line each, rates ascending, figures to five digits."""
        lines = [json.dumps(_row(self._sweeps[key])) for key in sorted(self._sweeps)]
        head = json.dumps({"looks": SWEEP_LOOKS, "first_run": TUNING_RUNS, "scored_on": "calibration"})[:-1]
        write_whole(path, (head + ', "sweeps": [\n' + ",\n".join(lines) + "\n]}\n").encode())


def _row(sweep: Sweep) -> dict:
    quality = {f"{rate:g}": np.round(sweep.quality[rate], 5).tolist() for rate in sorted(sweep.quality)}
    head = {"subject": sweep.setting.subject, "transfer": sweep.setting.transfer, "arm": sweep.arm, "samples": sweep.samples}
    return head | {"quality": quality}
