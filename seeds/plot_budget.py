"""The plots of fine-tuning: learning curves with bands, and budgets as heat maps."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seeds.budget import STEPS
from seeds.measure import FRESH, ORIGINAL

if TYPE_CHECKING:
    from seeds.grid import Piece

COLOURS = {ORIGINAL: "C2", FRESH: "0.45", "moments": "C0", "pca:10": "C1"}
LOG_FROM = 5  # steps below which the axis is linear


def curves(pieces: Sequence["Piece"]) -> bytes:
    """Quality over steps, one panel per number of samples, mean and 95 % band over runs of every arm, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "seeds", "font.size": 9}):
        columns = min(3, len(pieces))
        rows = -(-len(pieces) // columns)
        drawing = Figure(figsize=(3.1 * columns + 0.6, 2.5 * rows + 0.9), layout="constrained")
        panels = np.ravel(drawing.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
        for panel, one in zip(panels, pieces, strict=False):
            for arm, quality in one.along.items():
                _band(panel, one.looks, np.array(quality), COLOURS.get(arm, "C3"), arm)
            panel.axhline(one.chance, color="0.6", linewidth=0.8, linestyle=":")
            if one.reference is not None:
                panel.axhline(one.reference, color="C2", linewidth=0.8, linestyle=":")
            panel.set_xscale("symlog", linthresh=LOG_FROM)
            panel.set_xticks([0, 5, 30, 100, 300], ["0", "5", "30", "100", "300"])
            panel.set_title(f"{one.samples} samples", fontsize=9)
        for panel in panels[len(pieces) :]:
            panel.set_axis_off()
        for panel in panels[-columns:]:
            panel.set_xlabel("steps")  # not supxlabel: the legend would lie on it
        drawing.supylabel(_quality_name(pieces))
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
        drawing.suptitle(
            f"{pieces[0].setting}: mean of {_runs(pieces)} runs and 95 % band. {_dotted(pieces)}",
            fontsize=10,
            x=0.01,
            ha="left",
        )
        return _svg(drawing)


def _dotted(pieces: Sequence["Piece"]) -> str:
    return "Dotted: chance" + ("." if pieces[0].reference is None else ", and the original as it came.")


def _band(panel, looks: Sequence[int], quality: np.ndarray, colour: str, label: str) -> None:
    from scipy.stats import t

    mean, runs = quality.mean(0), len(quality)
    half = t.ppf(0.975, runs - 1) * quality.std(0, ddof=1) / runs**0.5
    panel.plot(looks, mean, color=colour, linewidth=1.4, label=label)
    panel.fill_between(looks, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)


def heat_map(pieces: Sequence["Piece"]) -> bytes:
    """Mean quality at every budget, one panel per arm, as SVG; a cell that is enough has a frame."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from seeds.grid import target

    arms = list(pieces[0].budget)
    values = {arm: np.array([np.mean(one.budget[arm], 0) for one in pieces]) for arm in arms}  # (sizes, steps)
    low, high = min(v.min() for v in values.values()), max(v.max() for v in values.values())
    with mpl.rc_context({"svg.hashsalt": "seeds", "font.size": 9}):
        drawing = Figure(figsize=(2.9 * len(arms) + 0.6, 0.42 * len(pieces) + 1.5), layout="constrained")
        panels = drawing.subplots(1, len(arms), sharey=True, squeeze=False)[0]
        for panel, arm in zip(panels, arms, strict=True):
            panel.imshow(values[arm], vmin=low, vmax=high, cmap="viridis", aspect="auto", origin="lower")
            for (row, column), value in np.ndenumerate(values[arm]):
                dark = value < low + 0.6 * (high - low)
                panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
                if value >= target(pieces):
                    panel.add_patch(
                        Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor="C3", linewidth=1.6)
                    )
            panel.set_xticks(range(len(STEPS)), list(map(str, STEPS)))
            panel.set_yticks(range(len(pieces)), [str(one.samples) for one in pieces])
            panel.set_title(arm, fontsize=9)
        drawing.supxlabel("steps")
        panels[0].set_ylabel("labelled samples")
        framed = f"Framed: enough ({target(pieces):.2f})."
        title = f"{pieces[0].setting}: {_quality_name(pieces)}, mean of {_runs(pieces)} runs. {framed}"
        drawing.suptitle(title, fontsize=10, x=0.01, ha="left")
        return _svg(drawing)


def _quality_name(pieces: Sequence["Piece"]) -> str:
    return "accuracy" if pieces[0].chance > 0 else "minus nats per token"


def _runs(pieces: Sequence["Piece"]) -> int:
    return min(len(next(iter(one.budget.values()))) for one in pieces)


def _svg(drawing) -> bytes:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
