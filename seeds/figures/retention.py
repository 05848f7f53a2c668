"""What a seed keeps without training, over how much smaller it is: every codec of every subject, with the Pareto front.

findings -> [retention] -> figure
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from seeds.figures.words import factor, limits, listed, runs_and_examples, span
from seeds.report.number import percent

if TYPE_CHECKING:
    from seeds.report.finding import Finding

NAME = "retention"
COLUMNS = (
    "subject", "codec", "kind", "file (bytes)", "float32 weights over file (times)", "retention (share of the original's)",
    "low", "high", "level of the interval (share)", "runs", "examples", "on the front", "claim", "row",
)  # fmt: skip
KINDS = {  # how the kinds of codecs look: the name before any argument
    "moments": (BLUE, "o"), "pca": (GREEN, "D"), "signs": (VERMILLION, "s"), "spectrum": (PURPLE, "^"),
    "permuted": (GREY, "X"), "covariance": (ORANGE, "P"),
}  # fmt: skip
OTHER = (SKY, "v")
SIZES = (100, 10, 2)  # times smaller, that the title speaks of
VISIBLE = 0.02  # retention: a lower step has no name
ACROSS = 2  # panels


@dataclass(frozen=True, slots=True)
class Point:
    """What one codec keeps of one subject; no limits where no row has judged the retention itself."""

    finding: "Finding"
    low: float | None
    high: float | None

    @property
    def size(self) -> float:
        """How many times smaller the file is than the weights."""
        return float(self.finding.notes["times_smaller"])

    @property
    def kept(self) -> float:
        return float(self.finding.notes["retention"])

    @property
    def kind(self) -> str:
        return kind(self.finding.codec)

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None


def kind(codec: str) -> str:
    """A codec's rule, without argument, noise and vectors."""
    return codec.partition(":")[0].partition("+")[0]


def look(codec: str) -> dict[str, Any]:
    """Colour and shape of a codec's kind."""
    colour, marker = KINDS.get(kind(codec), OTHER)
    return {"colour": colour, "marker": marker}


def points(findings: Sequence["Finding"]) -> list[Point]:
    """A point for each subject, codec and size; of several rows on one seed the first that judges its retention.

    The note `retention` is calibrated; a row has an interval of it where its own figure is the same.
    """
    found: dict[tuple[str, str, Any], Point] = {}
    for f in findings:
        if not {"times_smaller", "retention"} <= f.notes.keys():
            continue
        judged = f.value == f.notes["retention"]
        one = Point(f, *((f.low, f.high) if judged else (None, None)))
        place = (f.subject, f.codec, f.notes["times_smaller"])
        if place not in found or (one.has_interval and not found[place].has_interval):
            found[place] = one
    return list(found.values())


def front(every: Sequence[Point]) -> list[Point]:
    """Those that no other beats: none is as small or smaller and keeps more, or smaller and keeps as much. Largest first."""
    best: list[Point] = []
    for one in sorted(every, key=lambda p: (-p.size, -p.kept)):
        if not best or one.kept > best[-1].kept:
            best.append(one)
    return best[::-1]


def retention(findings: Sequence["Finding"]) -> Figure | None:
    """Retention over size, a panel for each subject; None without data."""
    every = points(findings)
    if not every:
        return None
    subjects = list(dict.fromkeys(p.finding.subject for p in every))
    rows = -(-len(subjects) // ACROSS)
    with sheet(NAME, COLUMNS, 1.2 + 2.35 * rows) as page:
        grid = panels(page.drawing, len(subjects), ACROSS)
        for panel, subject in zip(grid, subjects, strict=True):
            _panel(page, panel, subject, [p for p in every if p.finding.subject == subject])
        page.drawing.supylabel("retention without training, calibrated", fontsize=9)
        for panel in grid[-ACROSS:]:
            panel.set_xlabel("times smaller than the weights")
        _legend(page, grid[0], every)
        claims = sorted({p.finding.claim for p in every})
        return page.figure(_title(every), _caption(every), _alt(every, subjects), claims)


def _panel(page: Sheet, panel: Any, subject: str, every: Sequence[Point]) -> None:
    best = front(every)
    for level, line in ((0, "-"), (1, ":")):
        panel.axhline(level, color=MUTED, linewidth=0.8, linestyle=line, zorder=0.5)
    panel.step([p.size for p in best], [p.kept for p in best], where="pre", color=INK, linewidth=0.9, zorder=1)
    for p in sorted(every, key=lambda p: (-p.size, p.finding.codec)):
        f = p.finding
        level, examples = (f.level, f.examples) if p.has_interval else (None, None)
        row = (
            subject, f.codec, p.kind, f.notes.get("size_bytes"), p.size, p.kept, p.low, p.high, level, f.runs, examples,
            "yes" if p in best else "no", f.claim, f.row,
        )  # fmt: skip
        page.dot(panel, (p.size, p.kept), (p.low, p.high), row, upright=True, **look(f.codec))
    _name(panel, best)
    weights_kb = every[0].size * float(every[0].finding.notes["size_bytes"]) / 1e3
    panel.margins(x=0.14)
    panel.set(xscale="log", title=f"{subject}, {weights_kb:,.0f} kB of weights")
    panel.minorticks_off()
    panel.xaxis.set_major_formatter(lambda times, _: f"{times:g}")


def _name(panel: Any, best: Sequence[Point]) -> None:
    """Names the points of a front, apart from steps that nobody would see: the largest and the smallest above."""
    for place, p in enumerate(best):
        is_last = place == len(best) - 1
        if not is_last and p.kept - best[place + 1].kept < VISIBLE:
            continue
        shift, anchor = ((0, 6), ("center", "bottom")) if is_last else ((8, 0), ("left", "center"))
        if not place:
            shift, anchor = (-2, 6), ("left", "bottom")
        panel.annotate(
            p.finding.codec, (p.size, p.kept), shift, textcoords="offset points", fontsize=7.5, zorder=4, ha=anchor[0],
            va=anchor[1],
        )  # fmt: skip


def _legend(page: Sheet, panel: Any, every: Sequence[Point]) -> None:
    shown = [name for name in (*KINDS, *sorted({p.kind for p in every} - KINDS.keys())) if any(p.kind == name for p in every)]
    looks = [KINDS.get(name, OTHER) for name in shown]
    marks = [
        panel.plot([], [], marker, color=colour, label=name)[0] for name, (colour, marker) in zip(shown, looks, strict=True)
    ]
    marks += panel.plot([], [], color=INK, linewidth=0.9, label="front")
    page.drawing.legend(handles=marks, loc="outside lower center", ncols=len(marks), handletextpad=0.3, columnspacing=1.2)


# -- words ----------------------------------------------------------------------------------------------------------------


def _title(every: Sequence[Point]) -> str:
    parts = []
    for size in SIZES:
        if small := [p for p in every if p.size >= size]:
            best = max(small, key=lambda p: p.kept)
            of = "" if parts else " of what the original knows"
            interval = limits(best.low, best.high, percent)
            parts.append(f"{size} times smaller {percent(best.kept)} {interval}{of} ({best.finding.codec})")
    if not parts:
        return f"Untrained, none of {len(every)} seeds is {SIZES[-1]} times smaller than the weights"
    return f"Best mean of untrained seeds: {listed(parts)}"


def _caption(every: Sequence[Point]) -> str:
    runs = [p.finding.runs for p in every if p.finding.runs]
    judged = [p.finding for p in every if p.has_interval]
    levels = [100 * f.level for f in judged if f.level]
    subjects = len({p.finding.subject for p in every})
    return (
        f"Smaller is to the right, better is up: {len(every)} seeds of {subjects} networks; 1 is the original, 0 is chance (of "
        "language a unigram, so that a uniform guess lies below), and no seed beats one on the stepped line in both. "
        f"Drawn seeds have {span(runs)} runs, others are deterministic; bars: intervals at {span(levels, '{:.3g}')} % "
        f"over {runs_and_examples(judged)}, of the {len(levels)} seeds whose retention is judged."
    )


def _alt(every: Sequence[Point], subjects: Sequence[str]) -> str:
    told = []
    for subject in subjects:
        best = front([p for p in every if p.finding.subject == subject])
        steps = listed([f"{p.finding.codec} keeps {percent(p.kept)} at {factor(p.size)} times smaller" for p in best])
        told.append(f"{subject}: {steps}")
    return f"Scatter plot of retention over times smaller, a panel for each network. On the front, {'; '.join(told)}."
