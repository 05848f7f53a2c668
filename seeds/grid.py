"""The grid: quality of every arm at every budget, one piece per setting and number of samples.

    subject -> ... -> finetune -> lab -> [grid] -> reports/finetune/

A claim judges a few fixed cells; the grid shows all of them, with learning curves and what fresh weights would need to catch
up. A piece is stored by itself, so a long grid grows piece by piece. Nothing here is judged.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seeds.budget import SAMPLES, STEPS
from seeds.catchup import effective_samples
from seeds.file import alone, write_whole
from seeds.interval import Interval
from seeds.lab import Cell, Lab, chance_quality
from seeds.measure import FRESH, ORIGINAL
from seeds.rates import SWEEP_LOOKS
from seeds.trial import Setting

ARMS = (ORIGINAL, "pca:10", "moments", FRESH)
RUNS = 8
TARGET = 0.95  # of what the original, or for another task the best arm, knows above chance
DIGITS = 5  # of a stored quality


@dataclass(frozen=True, slots=True)
class Piece:
    """Quality (accuracy, or minus nats per token) of every arm with one number of samples, in plain JSON types.

    Args:
        budget: by arm, (runs, len(STEPS)); each number of steps at the rate that is best for it, 1 and 5 at that for 10.
        along: by arm, (runs, len(looks)); one rate, best along the way.
        rates: by arm, the rates behind `budget`.
        reference: quality of the original without fine-tuning; None on another task.
    """

    setting: str
    samples: int
    looks: list[int]
    chance: float
    reference: float | None
    budget: dict[str, list[list[float]]]
    along: dict[str, list[list[float]]]
    rates: dict[str, list[float]]


def cells(setting: Setting, samples: int, arms: Sequence[str] = ARMS) -> list[Cell]:
    """The cells of one piece: each arm along the way, and at the rate that is best for each number of steps that was swept."""
    return [Cell(setting, arm, samples, goal) for arm in arms for goal in (0, *dict.fromkeys(_goals()))]


def piece(lab: Lab, setting: Setting, samples: int, arms: Sequence[str] = ARMS, runs: int = RUNS) -> Piece:
    """Measures one piece."""
    lab.prepare((cell, runs) for cell in cells(setting, samples, arms))
    along = {arm: lab.curves(Cell(setting, arm, samples), runs) for arm in arms}
    budget, rates = {}, {}
    for arm in arms:
        columns = [(Cell(setting, arm, samples, goal), steps) for goal, steps in zip(_goals(), STEPS, strict=True)]
        found = [(lab.curves(cell, runs), steps) for cell, steps in columns]
        budget[arm] = _rounded(np.stack([curves.quality()[:, curves.looks.index(steps)] for curves, steps in found], 1))
        rates[arm] = [lab.rate(cell) for cell, _ in columns]
    chance = chance_quality(setting)
    reference = None if setting.transfer else lab.original(setting).interval(0.025).value + chance
    looks = list(along[arms[0]].looks)
    return Piece(
        str(setting), samples, looks, chance, reference, budget, {a: _rounded(c.quality()) for a, c in along.items()}, rates
    )


def _goals() -> list[int]:
    """For each number of steps, the goal that its rate is chosen for: the nearest that was swept, not below."""
    return [next(goal for goal in SWEEP_LOOKS if goal >= steps) for steps in STEPS]


def _rounded(quality: np.ndarray) -> list[list[float]]:
    return np.round(quality, DIGITS).tolist()


# -- what the pieces of one setting say together ------------------------------------------------------------------------------


def target(pieces: Sequence[Piece]) -> float:
    """Quality that counts as enough: `TARGET` of the original's, or of the best cell where there is no such original."""
    chance = pieces[0].chance
    best = max(np.mean(values, 0).max() for piece in pieces for values in piece.budget.values())
    reference = pieces[0].reference
    return chance + TARGET * ((best if reference is None else reference) - chance)


def smallest(pieces: Sequence[Piece], arm: str) -> tuple[int, int] | None:
    """The fewest samples, and then steps, with which the arm's mean quality is enough; None where no cell is."""
    wanted = target(pieces)
    for one in sorted(pieces, key=lambda p: p.samples):
        enough = np.flatnonzero(np.mean(one.budget[arm], 0) >= wanted)
        if len(enough):
            return one.samples, STEPS[enough[0]]
    return None


def catch_up(pieces: Sequence[Piece], arm: str, samples: int) -> Interval | None:
    """Samples that fresh weights need to be as good as the arm is with `samples`, all at the most steps; None without data."""
    ordered = sorted(pieces, key=lambda p: p.samples)
    mine = next((p for p in ordered if p.samples == samples), None)
    if mine is None or len(ordered) < 2:
        return None
    fresh = np.stack([np.array(p.budget[FRESH])[:, -1] for p in ordered], 1)
    return effective_samples(np.array(mine.budget[arm])[:, -1], fresh, [p.samples for p in ordered])


# -- files --------------------------------------------------------------------------------------------------------------------


def add(pieces: Iterable[Piece], folder: Path) -> list[Path]:
    """Adds pieces to the JSON file of their setting; those of other budgets stay."""
    written = []
    fresh: dict[str, dict[int, Piece]] = {}
    for one in pieces:
        fresh.setdefault(one.setting, {})[one.samples] = one
    with alone(folder):
        for setting, by_samples in fresh.items():
            path = folder / f"{setting}.json"
            merged = {p.samples: p for p in read(path)} | by_samples
            ordered = [merged[n] for n in sorted(merged)]
            content = {"setting": setting, "steps": STEPS, "pieces": [asdict(p) for p in ordered]}
            write_whole(path, (json.dumps(content) + "\n").encode())
            written.append(path)
    return written


def write(folder: Path) -> list[Path]:
    """Writes the page of all stored pieces."""
    with alone(folder):
        settings = {path.stem: read(path) for path in sorted(folder.glob("*.json"))}
        write_whole(folder / "README.md", page(settings).encode())
    return [folder / "README.md"]


def read(path: Path) -> list[Piece]:
    """The stored pieces of one setting; none if the file is not there."""
    return [Piece(**one) for one in json.loads(path.read_text())["pieces"]] if path.exists() else []


def page(settings: Mapping[str, Sequence[Piece]]) -> str:
    """Markdown: for each setting the smallest budget that is enough, what fresh weights need to catch up, and both figures."""
    lines = [
        "# Fine-tuning at every budget",
        "",
        f"Generated, do not edit. Means over {RUNS} paired runs; nothing here is judged. A mean is enough at {TARGET:.0%} of",
        "what the original knows above chance without fine-tuning (on another task: of what the best cell knows); whether a",
        "budget is, claims judge. *Catching up* is the number of samples that fresh weights need for what the arm has with so",
        f"many, both after {STEPS[-1]} steps (95 %, paired bootstrap over runs).",
    ]
    for setting, pieces in ((setting, found) for setting, found in settings.items() if found):
        sizes = [p.samples for p in pieces]
        lines += ["", f"## {setting}", "", f"Enough: quality {target(pieces):.3f}; chance {pieces[0].chance:.3f}.", ""]
        lines += [
            "| arm | smallest budget whose mean is enough | " + " | ".join(f"catching up, {n} samples" for n in sizes) + " |"
        ]
        lines += ["|---|---|" + "---|" * len(sizes)]
        for arm in pieces[0].budget:
            found = smallest(pieces, arm)
            told = f"{found[0]} samples, {found[1]} steps" if found else "none"
            lines.append(f"| {arm} | {told} | " + " | ".join(_caught(catch_up(pieces, arm, n), sizes) for n in sizes) + " |")
        missing = sorted(set(SAMPLES) - set(sizes))
        lines += ["", f"Not measured yet: {', '.join(map(str, missing))} samples."] if missing else []
        lines += ["", f"![Learning curves](../figures/curves-{setting}.svg)"]
        lines += ["", f"![Budgets](../figures/budgets-{setting}.svg)"]
    return "\n".join(lines) + "\n"


def _caught(found: Interval | None, sizes: Sequence[int]) -> str:
    if found is None:
        return ""
    value, low, high = (_size(end, sizes) for end in (found.value, found.low, found.high))
    return value if value == low == high else f"{value} [{low}, {high}]"


def _size(samples: float, sizes: Sequence[int]) -> str:
    if math.isinf(samples):
        return f"> {sizes[-1]}"
    return f"<= {sizes[0]}" if round(samples) <= sizes[0] else f"{samples:.0f}"
