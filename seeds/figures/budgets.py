"""Fine-tuning at every budget: learning curves with bands, and the quality of each budget as a map.

pieces -> [budgets] -> figures
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seeds.budget import STEPS
from seeds.figures.figure import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ON_DARK,
    ON_LIGHT,
    PAPER,
    PURPLE,
    RAMP,
    VERMILLION,
    Figure,
    Sheet,
    panels,
    sheet,
)
from seeds.figures.words import TIMES, counted, hundredths, limits, listed, span
from seeds.grid import smallest, target
from seeds.measure import FRESH, ORIGINAL

if TYPE_CHECKING:
    from seeds.grid import Piece

LOOKS = {ORIGINAL: (GREEN, "-"), "pca:10": (VERMILLION, "--"), "moments": (BLUE, "-"), FRESH: (GREY, "-.")}
OTHER = (PURPLE, ":")
LEVEL = 0.95
DARK_FROM = 0.58  # of the ramp: white is easier to read than black
LINEAR_TO = 5  # steps below which the axis is linear
CURVE_CLAIMS = ("finetune-same-final", "finetune-ablation", "finetune-no-head-start", "finetune-perfect")
MAP_CLAIMS = ("budget-data", "budget-steps", "budget-tiny")
TRANSFER_CLAIMS = ("finetune-transfer", "finetune-recovery")


def curves(pieces: Sequence["Piece"]) -> Figure | None:
    """Quality over steps, a panel for each number of samples: mean and 95 % band over runs; None without pieces.

    One run has no band.
    """
    if not pieces:
        return None
    ordered, name = sorted(pieces, key=lambda one: one.samples), _quality(pieces)
    columns = ("setting", "arm", "labelled samples", "steps", f"mean {name}", "low (95 %)", "high (95 %)", "runs")
    height = 1.2 + 1.75 * -(-len(ordered) // 3)
    with sheet(f"curves-{ordered[0].setting}", columns, height) as page:
        grid = panels(page.drawing, len(ordered), 3)
        for panel, one in zip(grid, ordered, strict=True):
            for arm, quality in one.along.items():
                _band(page, panel, one, arm, np.array(quality))
            for level in (one.chance, one.reference):
                if level is not None:
                    panel.axhline(level, color=MUTED, linewidth=0.8, linestyle=":", zorder=0.5)
            panel.set_xscale("symlog", linthresh=LINEAR_TO)
            panel.set_xticks([0, 5, 30, 300], ["0", "5", "30", "300"])
            panel.minorticks_off()
            panel.set_title(f"{one.samples} samples")
        for panel in grid[-3:]:
            panel.set_xlabel("gradient steps")
        page.drawing.supylabel(name, fontsize=9)
        page.drawing.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        claims = TRANSFER_CLAIMS if ordered[0].reference is None else CURVE_CLAIMS
        return page.figure(_curves_title(ordered), _curves_caption(ordered), _curves_alt(ordered), claims)


def _band(page: Sheet, panel: Any, one: "Piece", arm: str, quality: np.ndarray) -> None:
    colour, line = LOOKS.get(arm, OTHER)
    mean, low, high = _means(quality)
    if low[0] is not None:
        page.band(panel, one.looks, low, high, colour)
    drawn = panel.plot(one.looks, mean, color=colour, linestyle=line, label=arm)[0]
    numbers = zip(one.looks, mean, low, high, strict=True)
    page.put(drawn, [(one.setting, arm, one.samples, *each, len(quality)) for each in numbers])


def _means(quality: np.ndarray, level: float = LEVEL) -> tuple[list, list, list]:
    """Of each column the mean over runs, and both ends of Student's interval, which one run does not have.

    Args:
        quality: (runs, columns).
    """
    from scipy.stats import t

    runs, mean = len(quality), quality.mean(0)
    if runs < 2:
        return mean.tolist(), [None] * len(mean), [None] * len(mean)
    half = t.ppf((1 + level) / 2, runs - 1) * quality.std(0, ddof=1) / runs**0.5
    return mean.tolist(), (mean - half).tolist(), (mean + half).tolist()


def budgets(pieces: Sequence["Piece"]) -> Figure | None:
    """Mean quality at every budget as a map for each arm; a cell whose mean is enough has a frame. None without pieces."""
    if not pieces:
        return None
    ordered, name = sorted(pieces, key=lambda one: one.samples), _quality(pieces)
    columns = (
        "setting", "arm", "labelled samples", "steps", f"mean {name}", "low (95 %)", "high (95 %)", "runs", "mean is enough"
    )  # fmt: skip
    arms = list(ordered[0].budget)
    values = [np.mean(one.budget[arm], 0) for one in ordered for arm in arms]
    ends = min(v.min() for v in values), max(v.max() for v in values)
    height = 0.9 + (0.6 + 0.24 * len(ordered)) * -(-len(arms) // 2)
    with sheet(f"budgets-{ordered[0].setting}", columns, height) as page:
        grid = panels(page.drawing, len(arms), 2)
        for panel, arm in zip(grid, arms, strict=True):
            panel.grid(False)
            panel.tick_params(length=0)
            panel.spines[:].set_visible(False)
            for row, one in enumerate(ordered):
                _cells(page, panel, one, arm, row, target(ordered), ends)
            panel.set_title(arm)
            panel.set(xlim=(-0.55, len(STEPS) - 0.45), ylim=(-0.55, len(ordered) - 0.45))
        grid[0].set_xticks(range(len(STEPS)), list(map(str, STEPS)))
        grid[0].set_yticks(range(len(ordered)), [str(one.samples) for one in ordered])
        for panel in grid[-2:]:
            panel.set_xlabel("gradient steps")
        for panel in grid[::2]:
            panel.set_ylabel("labelled samples")
        claims = TRANSFER_CLAIMS if ordered[0].reference is None else MAP_CLAIMS
        return page.figure(_map_title(ordered), _map_caption(ordered), _map_alt(ordered), claims)


def _cells(page: Sheet, panel: Any, one: "Piece", arm: str, row: int, wanted: float, ends: tuple[float, float]) -> None:
    """One row of a map: each cell with its number, as dark as it is good."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex
    from matplotlib.patches import Rectangle

    ramp = LinearSegmentedColormap.from_list("ramp", RAMP)
    quality = np.array(one.budget[arm])
    for column, (value, low, high) in enumerate(zip(*_means(quality), strict=True)):
        part = (value - ends[0]) / ((ends[1] - ends[0]) or 1.0)
        frame = {"edgecolor": VERMILLION, "linewidth": 1.6} if value >= wanted else {"edgecolor": PAPER, "linewidth": 0}
        cell = panel.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, facecolor=to_hex(ramp(part)), **frame))
        numbers = (one.setting, arm, one.samples, STEPS[column], value, low, high, len(quality))
        page.put(cell, [(*numbers, "yes" if value >= wanted else "no")])
        ink = ON_LIGHT if part < DARK_FROM else ON_DARK
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=ink)


# -- words ----------------------------------------------------------------------------------------------------------------


def _quality(pieces: Sequence["Piece"]) -> str:
    return "accuracy (fraction)" if pieces[0].chance > 0 else "minus cross-entropy (nats per token)"


def _runs(pieces: Sequence["Piece"], kind: Literal["along", "budget"]) -> list[int]:
    """How many runs each mean is of."""
    return [len(quality) for one in pieces for quality in getattr(one, kind).values()]


def _mean_of(runs: Sequence[int]) -> str:
    return "One run" if max(runs) == 1 else f"Mean of {span(runs)} paired runs"


@dataclass(frozen=True, slots=True)
class Lead:
    """How far a seed is ahead of fresh weights in mean quality; no ends where there is one run."""

    arm: str
    samples: int
    steps: int
    mean: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{hundredths(self.mean)} {limits(self.low, self.high, hundredths)}"


def leads(pieces: Sequence["Piece"]) -> list[Lead]:
    """Each seed's lead at every look, in the order of the pieces: paired by run, and all intervals at once at `LEVEL`.

    Whoever names the largest has looked at all of them, so each takes its share of the level (Bonferroni).
    """
    arms = [arm for arm in pieces[0].along if arm not in (ORIGINAL, FRESH) and FRESH in pieces[0].along]
    looks = len(arms) * sum(len(one.looks) for one in pieces)
    found = []
    for arm in arms:
        for one in pieces:
            ahead = _means(np.subtract(one.along[arm], one.along[FRESH]), 1 - (1 - LEVEL) / looks)
            found += [Lead(arm, one.samples, *each) for each in zip(one.looks, *ahead, strict=True)]
    return found


def _curves_title(pieces: Sequence["Piece"]) -> str:
    setting, most, found = pieces[0].setting, pieces[-1], leads(pieces)
    if not found:
        return f"{setting}: quality over steps, with {most.samples} samples and fewer"
    best = {arm: max((one for one in found if one.arm == arm), key=lambda one: one.mean) for arm in {one.arm for one in found}}
    ranked = sorted(best.values(), key=lambda one: (-one.mean, one.arm))
    told = listed([f"{one} for {one.arm} ({counted(one.steps, 'step')} on {one.samples} samples)" for one in ranked])
    last = {one.arm: one for one in found if (one.samples, one.steps) == (most.samples, most.looks[-1])}
    end = listed([str(last[one.arm]) for one in ranked])
    return f"{setting}: largest mean lead over fresh weights {told}; {end} after {most.looks[-1]} steps on {most.samples}"


def _curves_caption(pieces: Sequence["Piece"]) -> str:
    runs, among = _runs(pieces, "along"), len(leads(pieces))
    seen = "Where bands lie apart, the start matters; where they meet, training has made up for it. "
    dotted = "chance" if pieces[0].reference is None else "chance and the original as it came"
    bands = f"{100 * LEVEL:.0f} % bands over runs (Student)" if max(runs) > 1 else "no interval"
    single = ", none of one run" if min(runs) == 1 < max(runs) else ""
    title = f" The title's leads are chosen among {among}: their intervals hold for all of these at once (Bonferroni)."
    return (
        f"{seen * (max(runs) > 1)}{_mean_of(runs)} on held-out "
        f"examples, {bands}{single}, each arm at its own tuned rate; dotted: {dotted}.{title * bool(among and max(runs) > 1)}"
    )


def _curves_alt(pieces: Sequence["Piece"]) -> str:
    told = []
    for one in (pieces[0], pieces[-1]):
        ends = listed([f"{arm} {np.mean(quality, 0)[-1]:.2f}" for arm, quality in one.along.items()])
        told.append(f"With {one.samples} samples, after {one.looks[-1]} steps: {ends}.")
    return f"Learning curves of {pieces[0].setting}, a panel for each of {len(pieces)} numbers of samples. {' '.join(told)}"


def _map_title(pieces: Sequence["Piece"]) -> str:
    told = []
    for arm in pieces[0].budget:
        if found := smallest(pieces, arm):
            samples, steps = found
            (one,) = (piece for piece in pieces if piece.samples == samples)
            _, low, high = (ends[STEPS.index(steps)] for ends in _means(np.array(one.budget[arm])))
            told.append(f"{samples} {TIMES} {steps} from {arm} {limits(low, high, hundredths)}")
        else:
            told.append(f"none from {arm}")
    return f"{pieces[0].setting}, fewest samples {TIMES} steps whose mean reaches {target(pieces):.2f}: {listed(told)}"


def _map_caption(pieces: Sequence["Piece"]) -> str:
    runs = _runs(pieces, "budget")
    ends = [_means(np.array(quality))[1:] for one in pieces for quality in one.budget.values() if len(quality) > 1]
    widest = max(((high - low) / 2 for lows, highs in ends for low, high in zip(lows, highs, strict=True)), default=0.0)
    interval = f"the 95 % interval over runs is at most {widest:.2f} to each side" if ends else "no interval"
    single = ", and none of one run" if min(runs) == 1 < max(runs) else ""
    return (
        f"Framed cells have a mean of {target(pieces):.2f} or more; those further down and left are cheaper. Whether a budget "
        f"is enough, claims judge. Numbers: {_quality(pieces)}. {_mean_of(runs)} on held-out examples, {interval}{single}."
    )


def _map_alt(pieces: Sequence["Piece"]) -> str:
    cells = len(pieces) * len(STEPS)
    told = []
    for arm in pieces[0].budget:
        enough = sum(int((np.mean(one.budget[arm], 0) >= target(pieces)).sum()) for one in pieces)
        told.append(f"{arm} {enough}")
    found = f"Of {cells} budgets, so many have a mean that is enough: {listed(told)}"
    return f"Maps of quality over samples and steps for each start. {found}."
