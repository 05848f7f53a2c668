"""The plots of cost: quality against seconds on every link, and time and memory over model size.

race, record -> [plot] -> reports/benchmarks/
"""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seeds.cost.arrival import SPEEDS, TARGETS
from seeds.cost.delivery import DELIVERIES

if TYPE_CHECKING:
    from seeds.cost.race import Entrant
    from seeds.cost.record import Record

COLOURS = dict(zip(DELIVERIES, ("k", "0.55", "C9", "C0", "C4", "C2", "C1", "C3", "C6"), strict=True))
MARKERS = dict(zip(DELIVERIES, "osv^D....", strict=True))
LOWEST = -0.05  # quality below a guess is not shown


def quality_over_seconds(entrants: Sequence["Entrant"]) -> bytes:
    """Quality against seconds since the request, one panel per link, one line or point per delivery, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    one = entrants[0]
    with mpl.rc_context({"svg.hashsalt": "seeds", "font.size": 9}):
        drawing = Figure(figsize=(10.0, 6.2), layout="constrained")
        panels = drawing.subplots(2, 3, sharex=True, sharey=True).ravel()
        for panel, speed in zip(panels, SPEEDS, strict=True):
            for entrant in entrants:
                _line(panel, entrant, speed)
            for target in TARGETS:
                panel.axhline(target, color="0.7", linewidth=0.8, linestyle=":")
            panel.set(xscale="log", title=_spaced(speed), ylim=(LOWEST, 1.09))
        for panel in panels[3:]:
            panel.set_xlabel("seconds since the request")
        drawing.supylabel("share of what the original knows (0 is a guess)")
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
        runs = max(e.known.runs for e in entrants)
        dotted = " and ".join(f"{target:.0%}" for target in TARGETS)
        title = (
            f"{one.subject} with {one.samples} labelled samples: mean of {runs} runs. A point arrives ready, a line is tuned\n"
            f"from what it knows on arrival for up to 300 steps. Dotted: {dotted} of the original."
        )
        drawing.suptitle(title, fontsize=10, x=0.01, ha="left")
        return _svg(drawing)


def _line(panel, entrant: "Entrant", speed: str) -> None:
    moments, qualities = zip(*entrant.curve(speed), strict=True)
    name = entrant.delivery
    panel.plot(
        moments, [max(q, LOWEST) for q in qualities], color=COLOURS[name], marker=MARKERS[name],
        markersize=5 if len(moments) == 1 else 2.5, linewidth=1.2, label=name, linestyle="-" if len(moments) > 1 else "",
    )  # fmt: skip


def _spaced(speed: str) -> str:
    number = speed.rstrip("kMGbps")
    return f"{number} {speed[len(number)]}bit/s"


def over_size(records: Sequence["Record"]) -> bytes | None:
    """Seconds and peak memory against parameters, a line per way, as SVG; None without data."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    ways: dict[str, list[Record]] = {}
    for one in records:
        if {"way", "parameters", "seconds"} <= one.facts.keys():
            ways.setdefault(str(one.facts["way"]), []).append(one)
    if not ways:
        return None
    with mpl.rc_context({"svg.hashsalt": "seeds", "font.size": 9}):
        drawing = Figure(figsize=(9.0, 4.0), layout="constrained")
        time_panel, memory_panel = drawing.subplots(1, 2, sharex=True)
        for index, (way, points) in enumerate(ways.items()):
            points.sort(key=lambda r: r.facts["parameters"])
            sizes = [r.facts["parameters"] for r in points]
            time_panel.plot(sizes, [r.facts["seconds"] for r in points], "o-", color=f"C{index}", label=way, markersize=4)
            peaks = [r.facts.get("peak_anonymous_bytes", math.nan) / 1e9 for r in points]
            if not all(map(math.isnan, peaks)):
                memory_panel.plot(sizes, peaks, "o-", color=f"C{index}", markersize=4)
        time_panel.set(xscale="log", yscale="log", xlabel="parameters on disk, float32", ylabel="seconds, one thread")
        memory_panel.set(xscale="log", xlabel="parameters on disk, float32", ylabel="peak memory of the process, GB")
        memory_panel.set_ylim(bottom=0)
        drawing.legend(*time_panel.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
        title = (
            "Time and peak anonymous memory over model size. sum: reads every value once; pca: ten components; svd: the\n"
            "report's own method, all matrices in memory; write: assembled into a file. 0.15 GB are the interpreter's."
        )
        drawing.suptitle(title, fontsize=10, x=0.01, ha="left")
        return _svg(drawing)


def _svg(drawing) -> bytes:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
