"""Fine-tuning at every budget: learning curves with bands, and the quality of each budget as a map.

pieces -> [budgets] -> figures
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
from seeds.figures.words import TIMES, counted, listed
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
    """Quality over steps, a panel for each number of samples: mean and 95 % band over runs; None without pieces."""
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
        return page.figure(_leads(ordered), _curves_caption(ordered), _curves_alt(ordered), claims)


def _band(page: Sheet, panel: Any, one: "Piece", arm: str, quality: np.ndarray) -> None:
    colour, line = LOOKS.get(arm, OTHER)
    mean, half = _mean(quality)
    page.band(panel, one.looks, (mean - half).tolist(), (mean + half).tolist(), colour)
    drawn = panel.plot(one.looks, mean, color=colour, linestyle=line, label=arm)[0]
    numbers = zip(one.looks, mean.tolist(), (mean - half).tolist(), (mean + half).tolist(), strict=True)
    page.put(drawn, [(one.setting, arm, one.samples, *each, len(quality)) for each in numbers])


def _mean(quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs and half-width of Student's interval; no width where there is one run."""
    from scipy.stats import t

    runs = len(quality)
    if runs < 2:
        return quality.mean(0), np.zeros(quality.shape[1])
    return quality.mean(0), t.ppf((1 + LEVEL) / 2, runs - 1) * quality.std(0, ddof=1) / runs**0.5


def budgets(pieces: Sequence["Piece"]) -> Figure | None:
    """Mean quality at every budget as a map for each arm; a cell that is enough has a frame. None without pieces."""
    if not pieces:
        return None
    ordered, name = sorted(pieces, key=lambda one: one.samples), _quality(pieces)
    columns = ("setting", "arm", "labelled samples", "steps", f"mean {name}", "low (95 %)", "high (95 %)", "runs", "enough")
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
        return page.figure(_enough(ordered), _map_caption(ordered), _map_alt(ordered), claims)


def _cells(page: Sheet, panel: Any, one: "Piece", arm: str, row: int, wanted: float, ends: tuple[float, float]) -> None:
    """One row of a map: each cell with its number, as dark as it is good."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex
    from matplotlib.patches import Rectangle

    ramp = LinearSegmentedColormap.from_list("ramp", RAMP)
    quality = np.array(one.budget[arm])
    for column, (value, half) in enumerate(zip(*(each.tolist() for each in _mean(quality)), strict=True)):
        part = (value - ends[0]) / ((ends[1] - ends[0]) or 1.0)
        frame = {"edgecolor": VERMILLION, "linewidth": 1.6} if value >= wanted else {"edgecolor": PAPER, "linewidth": 0}
        cell = panel.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, facecolor=to_hex(ramp(part)), **frame))
        numbers = (one.setting, arm, one.samples, STEPS[column], value, value - half, value + half, len(quality))
        page.put(cell, [(*numbers, "yes" if value >= wanted else "no")])
        ink = ON_LIGHT if part < DARK_FROM else ON_DARK
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=ink)


# -- words ----------------------------------------------------------------------------------------------------------------


def _quality(pieces: Sequence["Piece"]) -> str:
    return "accuracy (fraction)" if pieces[0].chance > 0 else "minus cross-entropy (nats per token)"


def _runs(pieces: Sequence["Piece"]) -> int:
    return min(len(quality) for one in pieces for quality in (*one.along.values(), *one.budget.values()))


def _largest_leads(pieces: Sequence["Piece"]) -> list[tuple[str, float, int, int]]:
    """Of each seed: its name, largest lead over fresh weights in mean quality, and the samples and steps where it has it."""
    leads = []
    for arm in (arm for arm in pieces[0].along if arm not in (ORIGINAL, FRESH) and FRESH in pieces[0].along):
        found = [(np.mean(one.along[arm], 0) - np.mean(one.along[FRESH], 0), one) for one in pieces]
        ahead, one = max(found, key=lambda each: each[0].max())
        leads.append((arm, float(ahead.max()), one.samples, one.looks[int(ahead.argmax())]))
    return sorted(leads, key=lambda lead: -lead[1])


def _leads(pieces: Sequence["Piece"]) -> str:
    setting, most = pieces[0].setting, pieces[-1]
    leads = _largest_leads(pieces)
    if not leads:
        return f"{setting}: quality over steps, with {most.samples} samples and fewer"
    told = listed([f"{lead:.2f} for {arm} ({counted(steps, 'step')} on {n} samples)" for arm, lead, n, steps in leads])
    ends = [float(np.mean(most.along[arm], 0)[-1] - np.mean(most.along[FRESH], 0)[-1]) for arm, *_ in leads]
    end = listed([f"{lead:.2f}".replace("-", "\N{MINUS SIGN}") for lead in ends])
    return f"{setting}: ahead of fresh weights by at most {told}, by {end} after {most.looks[-1]} steps on {most.samples}"


def _curves_caption(pieces: Sequence["Piece"]) -> str:
    dotted = "chance" if pieces[0].reference is None else "chance and the original as it came"
    return (
        "Where bands lie apart, the start matters; where they meet, training has made up for it. Mean of "
        f"{_runs(pieces)} paired runs on held-out examples and {100 * LEVEL:.0f} % bands over runs (Student), each arm at its "
        f"own tuned rate; dotted: {dotted}."
    )


def _curves_alt(pieces: Sequence["Piece"]) -> str:
    told = []
    for one in (pieces[0], pieces[-1]):
        ends = listed([f"{arm} {np.mean(quality, 0)[-1]:.2f}" for arm, quality in one.along.items()])
        told.append(f"With {one.samples} samples, after {one.looks[-1]} steps: {ends}.")
    return f"Learning curves of {pieces[0].setting}, a panel for each of {len(pieces)} numbers of samples. {' '.join(told)}"


def _enough(pieces: Sequence["Piece"]) -> str:
    told = []
    for arm in pieces[0].budget:
        found = smallest(pieces, arm)
        told.append(f"{f'{found[0]} {TIMES} {found[1]}' if found else 'none'} from {arm}")
    return f"{pieces[0].setting}, samples {TIMES} steps that are enough for {target(pieces):.2f}: {listed(told)}"


def _map_caption(pieces: Sequence["Piece"]) -> str:
    halves = [_mean(np.array(quality))[1].max() for one in pieces for quality in one.budget.values()]
    unit = _quality(pieces)
    return (
        f"Framed cells are enough ({target(pieces):.2f}); those further down and left are cheaper. Numbers: {unit}, mean of "
        f"{_runs(pieces)} paired runs on held-out examples; the 95 % interval over runs is at most {max(halves):.2f} to each "
        "side."
    )


def _map_alt(pieces: Sequence["Piece"]) -> str:
    cells = len(pieces) * len(STEPS)
    told = []
    for arm in pieces[0].budget:
        enough = sum(int((np.mean(one.budget[arm], 0) >= target(pieces)).sum()) for one in pieces)
        told.append(f"{arm} {enough}")
    return f"Maps of quality over samples and steps for each start. Of {cells} budgets, so many are enough: {listed(told)}."
