"""The plots of the audit: two spikes, the ledger, and perplexity over pads. SVG.

findings -> [plot] -> reports/audit/
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seeds.audit.findings import HeadsFinding, LedgerFinding, PadsFinding
from seeds.hub import REVIEWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {"svg.hashsalt": "seeds", "font.size": 9}
COLOURS = {"assembled": "C0", "fresh": "0.45", "original": "C2"}
BINS = np.linspace(0.0, 1.0, 51)
NATS_PER_DECADE = np.log(10.0)


def spikes(found: Sequence[HeadsFinding]) -> bytes:
    """How many of 200 untrained heads have which accuracy: on rows of one class, and balanced; a row of panels per arm."""
    drawing = _figure(8.0, 0.7 + 1.9 * len(found))
    panels = drawing.subplots(len(found), 2, sharex=True, sharey=True, squeeze=False)
    for (left, right), one in zip(panels, found, strict=True):
        for panel, values, colour in ((left, one.one_class, "C3"), (right, one.balanced, "C0")):
            panel.hist(np.ravel(values), BINS, color=colour)
        left.set_ylabel(f"{'fresh' if one.arm == 'fresh' else 'from moments'}\n{np.size(one.one_class)} heads")
    panels[0, 0].set_title(f"{REVIEWS} negative reviews: one class, as in the report", fontsize=9)
    panels[0, 1].set_title(f"the same and {REVIEWS} positive ones", fontsize=9)
    for panel in panels[-1]:
        panel.set_xlabel("accuracy without any training (bins of 2 %)")
    title = "BERT-tiny under heads that were never trained:\non one class a constant answer scores 0 % or 100 %"
    drawing.suptitle(title, fontsize=10, x=0.01, ha="left")
    return _svg(drawing)


def shares(found: Sequence[LedgerFinding]) -> bytes:
    """Each fault's Shapley share of the effect, with its interval over runs; a panel per subject."""
    columns = 3
    rows = -(-len(found) // columns)
    drawing = _figure(11.0, 0.6 + 2.4 * rows)
    panels = np.ravel(drawing.subplots(rows, columns, squeeze=False))
    for panel, one in zip(panels, found, strict=False):
        at = np.arange(len(one.shares))[::-1]
        values = np.array([s.share for s in one.shares])  # (faults, 3)
        colours = ["C3" if s.material else "0.7" for s in one.shares]
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        panel.barh(at, values[:, 0], color=colours, xerr=errors, error_kw={"elinewidth": 0.9})
        panel.axvline(0, color="0.3", linewidth=0.8)
        panel.set_yticks(at, [s.fault.replace("_", " ") for s in one.shares])
        panel.set_title(
            f"{one.subject}, {one.runs} runs\n{one.sound[0]:.2g} sound, {one.published[0]:.2g} published", fontsize=9
        )
        panel.set_xlabel(one.unit.replace(" from ", "\nfrom "))
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    title = "What each fault adds on the way from the sound figure to the published one (red: material)"
    drawing.suptitle(title, fontsize=10, x=0.01, ha="left")
    return _svg(drawing)


def pads(found: Sequence[PadsFinding]) -> bytes:
    """Perplexity over the share of pads among the counted tokens, every run of each arm; a panel per subject."""
    drawing = _figure(4.2 * len(found), 3.4)
    panels = drawing.subplots(1, len(found), squeeze=False)[0]
    for panel, one in zip(panels, found, strict=True):
        for arm, runs in one.nats.items():
            for index, run in enumerate(runs):
                line = {
                    "color": COLOURS[arm],
                    "linewidth": 1.1,
                    "label": f"{arm}{f', {len(runs)} runs' * (len(runs) > 1)}" if not index else None,
                }
                panel.plot(100 * np.array(one.shares), np.array(run) / NATS_PER_DECADE, **line)
        panel.set_title(one.subject, fontsize=9)
        panel.set_xlabel("pads among counted tokens, % (rows of 8 to 128)")
        panel.yaxis.set_major_formatter(lambda decades, _: f"$10^{{{decades:g}}}$")
        panel.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("perplexity, pads counted")
    drawing.suptitle(
        "The perplexity of the same models moves with the share of pads, up or down with the run",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    return _svg(drawing)


def _figure(width: float, height: float) -> "Figure":
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def _svg(drawing: "Figure") -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
