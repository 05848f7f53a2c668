"""The plot of the report: what a seed of a given size keeps without training."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seeds.report import Finding

TITLE = (
    "What a seed keeps: 1 is the original, 0 is chance.\nFor language chance is a unigram, so a uniform guess lies below it."
)
MARKERS = {"moments": "o", "moments+vectors": "s", "moments:global": "v", "pca": "D"}


def retention_over_size(findings: Sequence["Finding"]) -> bytes | None:
    """Retention against how many times smaller the seed is, every codec of every subject, as SVG; None without data.

    Figures are the notes `retention` and `times_smaller` of the rows; their intervals are in the tables.
    """
    points = [f for f in findings if "times_smaller" in f.notes and "retention" in f.notes]
    if not points:
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    subjects = sorted({f.subject for f in points})
    with mpl.rc_context({"svg.hashsalt": "seeds", "font.size": 9}):
        drawing = Figure(figsize=(8.0, 4.6), layout="constrained")
        axes = drawing.add_subplot()
        for index, name in enumerate(subjects):
            seen: set[str] = set()
            for f in (p for p in points if p.subject == name):
                kind = "pca" if f.codec.startswith("pca") else f.codec
                x, y = float(f.notes["times_smaller"]), float(f.notes["retention"])
                label = name if not seen else None
                seen.add(kind)
                axes.plot(x, y, MARKERS.get(kind, "x"), color=f"C{index}", label=label, markersize=6, alpha=0.8)
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(
            xscale="log",
            xlabel="times smaller than the float32 weights (file on disk)",
            ylabel="retention without training, calibrated",
        )
        axes.set_title(TITLE, loc="left", fontsize=10)
        first = axes.legend(title="subject", loc="upper right", frameon=False)
        axes.add_artist(first)
        shapes = [axes.plot([], [], m, color="0.4", label=k)[0] for k, m in MARKERS.items()]
        axes.legend(handles=shapes, title="codec", loc="center right", frameon=False)
        axes.margins(0.05, 0.08)
        buffer = io.BytesIO()
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
