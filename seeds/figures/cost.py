"""Cost: quality against seconds on every link, and time and memory over model size.

races, records -> [cost] -> figures
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from seeds.cost.advice import seconds
from seeds.cost.arrival import SPEEDS, TARGETS
from seeds.cost.delivery import DELIVERIES
from seeds.figures.figure import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Figure,
    Sheet,
    panels,
    sheet,
)
from seeds.figures.words import counted, listed, span

if TYPE_CHECKING:
    from seeds.cost.race import Entrant
    from seeds.cost.record import Record

RACE_CLAIMS = ("cost-download-slower", "cost-download-competitive", "cost-server-bytes", "cost-bandwidth")
RACE_COLUMNS = (
    "subject", "labelled samples", "link", "delivery", "steps", "since the request (s)", "quality (share of the original's)",
    "low (95 %)", "high (95 %)", "runs", "download",
)  # fmt: skip
SCALE_COLUMNS = (
    "way", "parameters", "least time (s)", "median time (s)", "largest time (s)", "rounds", "peak anonymous memory (bytes)",
    "threads",
)  # fmt: skip
LOOKS = dict(zip(DELIVERIES, (
    (INK, "o"), (MUTED, "v"), (SKY, "^"), (BLUE, "s"), (PURPLE, "D"),  # ready on arrival
    (VERMILLION, "-"), (GREEN, "--"), (ORANGE, "-."), (GREY, ":"),  # fine-tuned
), strict=True))  # fmt: skip
WAYS = {
    "sum": (BLUE, "o", "reads every value once"), "moments": (VERMILLION, "s", "mean and deviation of each tensor"),
    "pca": (GREEN, "D", "ten components"), "svd": (GREY, "X", "the report's own method, all matrices in memory"),
    "assemble": (PURPLE, "^", "a seed into a model"), "write": (ORANGE, "v", "a seed into a file"),
}  # fmt: skip
OTHER = (SKY, "P", "another way")
LOWEST, HIGHEST = -0.06, 1.12  # quality; what is worse than a guess is in the CSV


def quality(entrants: Sequence["Entrant"]) -> Figure | None:
    """Quality against seconds since the request, a panel for each link, a mark or line for each delivery; None without any."""
    if not entrants:
        return None
    with sheet(f"cost-quality-{entrants[0].subject}", RACE_COLUMNS, 6.6) as page:
        grid = panels(page.drawing, len(SPEEDS), 2)
        for panel, speed in zip(grid, SPEEDS, strict=True):
            for entrant in entrants:  # what is sent sooner lies on top
                _arrives(page, panel, entrant, speed)
            for target in TARGETS:
                panel.axhline(target, color=MUTED, linewidth=0.7, linestyle=":", zorder=0.5)
            panel.set(xscale="log", title=_spaced(speed), ylim=(LOWEST, HIGHEST))
            panel.minorticks_off()
            panel.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
        for panel in grid[-2:]:
            panel.set_xlabel("time since the request (s)")
        page.drawing.supylabel("quality (share of the original's; 0 is a guess)", fontsize=9)
        page.drawing.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, columnspacing=1.4)
        return page.figure(_race_title(entrants), _race_caption(entrants), _race_alt(entrants), RACE_CLAIMS)


def _arrives(page: Sheet, panel: Any, entrant: "Entrant", speed: str) -> None:
    """A delivery that is ready on arrival is a mark with its interval; one that is tuned is a line with its band."""
    colour, shape = LOOKS[entrant.delivery]
    rows = []
    for (since_s, share), steps in zip(entrant.curve(speed), entrant.known.steps, strict=True):
        found = entrant.known.at(steps)
        came = "measured" if entrant.downloads[speed].is_measured else "computed"
        rows.append((
            entrant.subject, entrant.samples, speed, entrant.delivery, steps, since_s, share, found.low, found.high,
            entrant.known.runs, came,
        ))  # fmt: skip
    times, shares, lows, highs = (list(column) for column in zip(*(row[5:9] for row in rows), strict=True))
    if len(rows) == 1:
        page.dot(panel, (times[0], shares[0]), (lows[0], highs[0]), rows[0], upright=True, colour=colour, marker=shape)
        panel.plot([], [], shape, color=colour, label=entrant.delivery)
        return
    page.band(panel, times, lows, highs, colour)
    page.put(panel.plot(times, shares, color=colour, linestyle=shape, label=entrant.delivery)[0], rows)


def by_way(records: Sequence["Record"]) -> dict[str, list["Record"]]:
    """Records of a way to read or write a model of known size, by that way."""
    ways: dict[str, list[Record]] = {}
    for one in records:
        if {"way", "parameters"} <= one.facts.keys():
            ways.setdefault(str(one.facts["way"]), []).append(one)
    return ways


def scale(records: Sequence["Record"]) -> Figure | None:
    """Seconds and peak memory over parameters, a line for each way to read or write a model; None without records of it."""
    ways = by_way(records)
    if not ways:
        return None
    with sheet("cost-scale", SCALE_COLUMNS, 3.5) as page:
        time, memory = panels(page.drawing, 2, 2, sharey=False)
        for way, points in ways.items():
            points.sort(key=lambda r: r.facts["parameters"])
            colour, marker, _ = WAYS.get(way, OTHER)
            _grows(page, time, memory, way, points, {"color": colour, "marker": marker, "markersize": 4})
        time.set(xscale="log", yscale="log", xlabel="parameters (float32, on disk)", ylabel="least time of a round (s)")
        memory.set(xscale="log", xlabel="parameters (float32, on disk)", ylabel="peak memory of the process (GB)")
        memory.set_ylim(bottom=0)
        for panel in (time, memory):
            panel.minorticks_off()
            panel.xaxis.set_major_formatter(lambda size, _: f"{size / 1e6:,g} M")
        time.yaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
        page.drawing.legend(*time.get_legend_handles_labels(), loc="outside lower center", ncols=len(ways))
        return page.figure(_scale_title(ways), _scale_caption(ways), _scale_alt(ways))


def _grows(page: Sheet, time: Any, memory: Any, way: str, points: Sequence["Record"], look: dict[str, Any]) -> None:
    sizes = [r.facts["parameters"] for r in points]
    time.vlines(sizes, [r.min_s for r in points], [r.max_s for r in points], color=look["color"], linewidth=1.2, alpha=0.65)
    page.put(time.plot(sizes, [r.min_s for r in points], label=way, **look)[0], [
        (way, r.facts["parameters"], r.min_s, r.median_s, r.max_s, r.rounds, _peak(r), r.facts.get("threads")) for r in points
    ])  # fmt: skip
    known = [(size, peak / 1e9) for size, peak in zip(sizes, map(_peak, points), strict=True) if peak is not None]
    if known:
        memory.plot(*zip(*known, strict=True), **look)


def _peak(one: "Record") -> int | None:
    return one.facts.get("peak_anonymous_bytes")


# -- words ----------------------------------------------------------------------------------------------------------------


def _spaced(speed: str) -> str:
    number = speed.rstrip("kMGbps")
    return f"{number} {speed[len(number)]}bit/s"


def _soonest(entrants: Sequence["Entrant"], speed: str, target: float) -> str | None:
    """The delivery whose median run has the quality first; None where no run of any is ever there."""
    found = {one.delivery: one.to_quality_s(speed, target).value for one in entrants}
    first = min(found, key=lambda name: found[name])
    return first if math.isfinite(found[first]) else None


def _race_title(entrants: Sequence["Entrant"]) -> str:
    first = [(speed, _soonest(entrants, speed, TARGETS[0])) for speed in SPEEDS]
    told = []
    for name, group in groupby(first, key=lambda pair: pair[1]):
        speeds = [_spaced(speed) for speed, _ in group]
        told.append(f"{name or 'none'} {f'at {speeds[0]}' if len(speeds) == 1 else f'from {speeds[0]} to {speeds[-1]}'}")
    return f"Soonest at {100 * TARGETS[0]:.0f} % of {entrants[0].subject}, each by its median run: {listed(told)}"


def _race_caption(entrants: Sequence["Entrant"]) -> str:
    one = entrants[0]
    targets = listed([f"{100 * target:.0f} %" for target in TARGETS])
    tuned = [e.known for e in entrants if len(e.known.steps) > 1]
    steps = max((known.steps[-1] for known in tuned), default=0)
    computed = sum(not d.is_measured for e in entrants for d in e.downloads.values())
    cut = any(share < LOWEST for e in entrants for _, share in e.curve(next(iter(SPEEDS))))
    return (
        "Higher and further left is better: a mark arrives ready, a line is fine-tuned from what it knows on arrival, for up "
        f"to {steps} steps on {one.samples} labelled samples (mean of {span([k.runs for k in tuned])} runs). 95 % intervals "
        f"and bands over runs and examples; dotted: {targets} of the original. {computed} of "
        f"{sum(len(e.downloads) for e in entrants)} downloads were computed, not made."
        f"{' What is worse than a guess is cut off.' * cut}"
    )


def _race_alt(entrants: Sequence["Entrant"]) -> str:
    told = []
    for speed in SPEEDS:
        if (name := _soonest(entrants, speed, TARGETS[0])) is not None:
            one = next(e for e in entrants if e.delivery == name)
            told.append(f"{_spaced(speed)} {name} after {seconds(one.to_quality_s(speed, TARGETS[0]).value)}")
    first = f"First at {100 * TARGETS[0]:.0f} %: {listed(told) or 'no delivery at any speed'}"
    return f"Quality over time for {len(entrants)} deliveries, a panel for each link. {first}."


def _largest(points: Sequence["Record"]) -> "Record":
    return max(points, key=lambda r: r.facts["parameters"])


def _scale_title(ways: dict[str, list["Record"]]) -> str:
    size = max(_largest(points).facts["parameters"] for points in ways.values())
    there = {way: _largest(points) for way, points in ways.items() if _largest(points).facts["parameters"] == size}
    told = [f"{way} {one.min_s:.2g} s" + (f" and {p / 1e9:.2g} GB" if (p := _peak(one)) else "") for way, one in there.items()]
    return f"{size / 1e6:,.0f} million parameters take: {', '.join(told)}"


def _scale_caption(ways: dict[str, list["Record"]]) -> str:
    records = [r for points in ways.values() for r in points]
    threads = [r.facts["threads"] for r in records if "threads" in r.facts]
    own = max((r.facts.get("interpreter_bytes", 0) for r in records), default=0)
    says = "; ".join(f"{way}: {WAYS.get(way, OTHER)[2]}" for way in ways)
    return (
        "A line that rises a decade per decade takes time in step with the model; one that is flat on the right never holds "
        f"the model whole. Least time of {span([r.rounds for r in records])} rounds with bars up to the largest, "
        f"{counted(max(threads, default=1), 'thread')}.{f' {own / 1e9:.2g} GB are the interpreter.' * bool(own)} {says}."
    )


def _scale_alt(ways: dict[str, list["Record"]]) -> str:
    told = []
    for way, points in ways.items():
        first, last = min(points, key=lambda r: r.facts["parameters"]), _largest(points)
        sizes = f"{first.facts['parameters'] / 1e6:,.3g} to {last.facts['parameters'] / 1e6:,.4g} million parameters"
        told.append(f"{way} {first.min_s:.2g} to {last.min_s:.2g} s from {sizes}")
    return f"Two panels over model size, seconds and peak memory, {counted(len(ways), 'line')}. {'; '.join(told)}."
