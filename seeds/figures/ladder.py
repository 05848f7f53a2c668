"""The ladder: what each description of the weights keeps without training, from most bytes to none.

findings -> [ladder] -> figure
"""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from seeds.figures.figure import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    VERMILLION,
    Figure,
    Sheet,
    panels,
    sheet,
)
from seeds.figures.retention import points
from seeds.figures.words import TIMES, counted, factor, listed, runs_and_examples, span
from seeds.report.number import percent
from seeds.verdict import Outcome

if TYPE_CHECKING:
    from seeds.report.finding import Finding

NAME = "ladder"
CLAIM = "zeroshot-ladder"
COLUMNS = (
    "subject", "codec", "file (bytes)", "float32 weights over file (times)", "retention (share of the original's)", "low",
    "high", "level of the interval (share)", "runs", "examples", "outcome", "claim", "row",
)  # fmt: skip
LOOKS = {Outcome.REFUTED: (VERMILLION, "s"), Outcome.UNDECIDED: (ORANGE, "D"), Outcome.HOLDS: (BLUE, "o")}
OTHER = (MUTED, "X")
ACROSS = 2  # panels


def ladder(findings: Sequence["Finding"]) -> Figure | None:
    """Retention of each codec that was judged, with its interval, a panel for each subject; None without the ladder's rows."""
    rungs = _rungs(findings)
    if not any(f.claim == CLAIM for f in rungs):
        return None
    subjects = list(dict.fromkeys(f.subject for f in rungs))
    codecs = _by_bytes(rungs)
    height = 1.3 + (0.6 + 0.2 * len(codecs)) * -(-len(subjects) // ACROSS)
    with sheet(NAME, COLUMNS, height) as page:
        grid = panels(page.drawing, len(subjects), ACROSS)
        for panel, subject in zip(grid, subjects, strict=True):
            _panel(page, panel, codecs, [f for f in rungs if f.subject == subject])
            panel.set_title(subject)
        grid[0].set_yticks(range(len(codecs)), codecs)
        grid[0].set_ylim(-0.7, len(codecs) - 0.3)
        for panel in grid[-ACROSS:]:
            panel.set_xlabel("retention without training, calibrated")
        _legend(page, grid[0], rungs)
        claims = dict.fromkeys((CLAIM, *(f.claim for f in rungs)))
        return page.figure(_title(rungs, subjects), _caption(rungs, subjects), _alt(rungs, codecs), tuple(claims))


def _rungs(findings: Sequence["Finding"]) -> list["Finding"]:
    """Rows whose figure is a retention: all of the ladder's, and of other claims one for each further seed."""
    mine = [f for f in findings if f.claim == CLAIM and f.value is not None]
    taken = {(f.subject, f.codec) for f in mine}
    others = [p.finding for p in points(findings) if p.has_interval and (p.finding.subject, p.finding.codec) not in taken]
    return [f for subject in dict.fromkeys(f.subject for f in mine) for f in (*mine, *others) if f.subject == subject]


def _by_bytes(rungs: Sequence["Finding"]) -> list[str]:
    """Codecs, those with fewest bytes first; of several networks the median of what is kept of the weights counts."""
    kept: dict[str, list[float]] = {}
    for f in rungs:
        kept.setdefault(f.codec, []).append(_share(f))
    return sorted(kept, key=lambda codec: (median(kept[codec]), codec))


def _share(f: "Finding") -> float:
    """Bytes of the file over those of the weights; a rung without a file has none."""
    return 1 / float(f.notes["times_smaller"]) if "times_smaller" in f.notes else 0.0


def _panel(page: Sheet, panel: Any, codecs: Sequence[str], rungs: Sequence["Finding"]) -> None:
    for level, line in ((0, "-"), (1, ":")):
        panel.axvline(level, color=MUTED, linewidth=0.8, linestyle=line, zorder=0.5)
    for f in rungs:
        assert f.value is not None
        row = (
            f.subject, f.codec, f.notes.get("size_bytes"), f.notes.get("times_smaller"), f.value, f.low, f.high, f.level,
            f.runs, f.examples, f.outcome, f.claim, f.row,
        )  # fmt: skip
        colour, marker = LOOKS.get(Outcome(f.outcome), OTHER)
        at = (f.value, codecs.index(f.codec))
        page.dot(panel, at, (f.low, f.high), row, upright=False, colour=colour, marker=marker)
        panel.annotate(
            _size(f), (1, at[1]), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7,
            color=MUTED, va="center",
        )  # fmt: skip
    panel.margins(x=0.06)
    panel.grid(True, axis="y", linestyle=":")


def _size(f: "Finding") -> str:
    """How much smaller the file is, beside its rung."""
    return f"{factor(float(f.notes['times_smaller']))}{TIMES}" if "times_smaller" in f.notes else "0 bytes"


def _legend(page: Sheet, panel: Any, rungs: Sequence["Finding"]) -> None:
    region = next(f.region for f in rungs if f.claim == CLAIM)
    says = {Outcome.REFUTED: f"keeps more (not {region})", Outcome.UNDECIDED: "undecided", Outcome.HOLDS: f"retention {region}"}
    shown = [outcome for outcome in LOOKS if any(f.outcome == outcome for f in rungs)]
    marks = [panel.plot([], [], LOOKS[o][1], color=LOOKS[o][0], label=says[o])[0] for o in shown]
    if any(Outcome(f.outcome) not in LOOKS for f in rungs):
        marks += panel.plot([], [], OTHER[1], color=OTHER[0], label="not judged")
    marks += panel.plot([], [], color=INK, linewidth=0, label=f"{TIMES}: times smaller than the weights")
    page.drawing.legend(handles=marks, loc="outside lower center", ncols=len(marks), handletextpad=0.2, columnspacing=1.2)


# -- words ----------------------------------------------------------------------------------------------------------------


def _title(rungs: Sequence["Finding"], subjects: Sequence[str]) -> str:
    refuted: dict[str, set[str]] = {}
    for f in rungs:
        if f.outcome == Outcome.REFUTED:
            refuted.setdefault(f.codec, set()).add(f.subject)
    codecs = len({f.codec for f in rungs})
    if not refuted:
        return f"None of {codecs} descriptions of the weights is shown to keep anything without training"
    some = [f"{codec} in {len(found)}" for codec, found in sorted(refuted.items(), key=lambda kept: (-len(kept[1]), kept[0]))]
    told = f"{listed(some)} of {counted(len(subjects), 'network')}"
    return f"Of {counted(codecs, 'description')} of the weights, shown to keep something untrained: {told}"


def _caption(rungs: Sequence["Finding"], subjects: Sequence[str]) -> str:
    runs, levels = [f.runs for f in rungs if f.runs], [100 * f.level for f in rungs if f.level]
    return (
        f"Each rung is a description of the weights, most bytes at the top (median over {len(subjects)} networks); 1 is the "
        "original, 0 is chance, and below 0 a language model is worse than a unigram. "
        f"{len(rungs)} rows, {span(runs)} runs each (of deterministic codecs one), intervals at "
        f"{span(levels, '{:.3g}')} % over {runs_and_examples(rungs)}."
    )


def _alt(rungs: Sequence["Finding"], codecs: Sequence[str]) -> str:
    told = []
    for codec in reversed(codecs):
        kept = [f.value for f in rungs if f.codec == codec and f.value is not None]
        told.append(f"{codec} {' to '.join(dict.fromkeys(map(percent, (min(kept), max(kept)))))}")
    more = [f"{f.codec} of {f.subject}" for f in rungs if f.outcome == Outcome.REFUTED]
    kept = f"Shown to keep something: {listed(more) or 'none'}"
    return f"Dots with intervals: retention of {len(codecs)} codecs, most bytes first: {listed(told)}. {kept}."
