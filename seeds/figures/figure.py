"""A figure: a drawing with its title, caption, alternative text, and every number that is drawn.

    findings, pieces, races, records -> [figure] -> reports/figures/

The palette of Okabe and Ito (2008) is told apart by colour-blind readers; where colours meet, shapes or labels differ as well.
INK, MUTED, GRID and PAPER appear in no other role, so a dark page replaces these four and leaves the rest. Text stays text.
This module knows nothing of what is drawn.
"""

import csv
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seeds.file import write_whole

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure as Drawing

INK, MUTED, GRID, PAPER = "#1a1a1a", "#6b6b6b", "#d9d9d9", "#ffffff"
BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SKY, ORANGE, YELLOW, GREY = "#56b4e9", "#e69f00", "#f0e442", "#8c8c8c"
RAMP = ("#f1f4e9", "#9fd0d4", "#3b96c4", "#0b5a94", "#062f5c")  # low to high, for cells
ON_LIGHT, ON_DARK = "#161616", "#fdfdfd"  # text on cells of the ramp, on a dark page too

WIDTH_IN = 6.8  # a page's column
TITLE_LETTERS = 78  # of a line across that width
DIGITS = 9  # of a number in a CSV: further ones of a mean differ from machine to machine
UNITS = re.compile(
    r"(?<=\d) (?=[%\N{MULTIPLICATION SIGN}]|[kMG]?bit/s|s\b|GB|million)|(?<=\N{MULTIPLICATION SIGN}) "
)  # no line ends here
FONT = "DejaVu Sans, Verdana, Arial, sans-serif"  # widest first: what fits in the first fits in all
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.edgecolor": MUTED, "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "xtick.minor.size": 0, "ytick.minor.size": 0, "axes.facecolor": PAPER, "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "grid.color": GRID, "grid.linewidth": 0.6, "lines.linewidth": 1.3, "lines.markersize": 5, "path.simplify": False,
}  # fmt: skip

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing and what is needed to read and to check it.

    Args:
        name: of its files, `<name>.svg` and `<name>.csv`.
        title: what was found, in one sentence; it is drawn, too.
        caption: what to see, with runs, examples and intervals.
        alt: the drawing in words, for those who do not see it.
        svg: the drawing, an <svg> element.
        columns: of `rows`, with units.
        rows: every number that is drawn, to `DIGITS` digits.
        claims: whose rows it shows; none where it belongs to no claim.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: bytes
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    claims: tuple[str, ...] = ()

    def csv(self) -> bytes:
        """The rows under their columns; an empty field is a number that there is none of."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue().encode()

    def write(self, folder: Path) -> list[Path]:
        """Both files, in a folder that is there.

        Raises:
            StoreError: one cannot be written.
        """
        written = [folder / f"{self.name}.svg", folder / f"{self.name}.csv"]
        for path, raw in zip(written, (self.svg, self.csv()), strict=True):
            write_whole(path, raw)
        return written


def _rounded(value: Value) -> Value:
    """Floats to `DIGITS` digits, and no minus before a zero."""
    return float(f"{value:.{DIGITS}g}") + 0.0 if isinstance(value, float) else value


# -- drawing --------------------------------------------------------------------------------------------------------------


class Sheet:
    """A drawing under way: panels, and the rows that have been drawn in them."""

    def __init__(self, name: str, drawing: "Drawing", columns: Sequence[str]) -> None:
        self.name, self.drawing, self.columns = name, drawing, tuple(columns)
        self.rows: list[tuple[Value, ...]] = []

    def put(self, artist: "Artist", rows: Sequence[tuple[Value, ...]]) -> None:
        """Says which numbers an artist shows: it is named after their places in the CSV, counted from 0."""
        artist.set_gid(f"rows-{len(self.rows)}-{len(self.rows) + len(rows) - 1}")
        self.rows += [tuple(map(_rounded, row)) for row in rows]

    def band(self, panel: Any, along: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> None:
        """The intervals of the line that is put next."""
        drawn = panel.fill_between(along, low, high, color=colour, alpha=0.18, linewidth=0)
        drawn.set_gid(f"band-{len(self.rows)}-{len(self.rows) + len(along) - 1}")

    def dot(
        self, panel: Any, at: tuple[float, float], ends: tuple[float | None, float | None], row: tuple[Value, ...], *,
        upright: bool, colour: str, marker: str = "o",
    ) -> None:  # fmt: skip
        """A mark for one row over its interval, if both ends are known: upright where the number is the second of `at`."""
        if None not in ends:
            line = panel.vlines if upright else panel.hlines
            line(at[0 if upright else 1], *ends, color=colour, linewidth=1.2, alpha=0.65).set_gid(f"interval-{len(self.rows)}")
        mark = panel.plot(*at, marker, color=colour, markeredgecolor=PAPER, markeredgewidth=0.5, markersize=6, zorder=3)[0]
        self.put(mark, [row])

    def figure(self, title: str, caption: str, alt: str, claims: Sequence[str] = ()) -> Figure:
        """The finished figure, with its title drawn."""
        whole = UNITS.sub("\N{NO-BREAK SPACE}", title)
        lines = textwrap.fill(whole, TITLE_LETTERS).replace("\N{NO-BREAK SPACE}", " ")
        self.drawing.suptitle(lines, fontsize=10, fontweight="bold", x=0.008, ha="left", color=INK)
        svg = _svg(self.drawing)
        return Figure(self.name, title, caption, alt, svg, self.columns, tuple(self.rows), tuple(claims))


@contextmanager
def sheet(name: str, columns: Sequence[str], height_in: float, width_in: float = WIDTH_IN) -> Iterator[Sheet]:
    """An empty sheet in the style of all figures; to be drawn on, and finished, inside the block."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        yield Sheet(name, Drawing(figsize=(width_in, height_in), layout="constrained"), columns)


def panels(drawing: "Drawing", count: int, across: int, sharex: bool = True, sharey: bool = True) -> list[Any]:
    """`count` panels, `across` of them side by side."""
    across = min(across, count)
    grid = drawing.subplots(-(-count // across), across, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for panel in grid[count:]:
        panel.set_axis_off()
    for panel in grid[max(count - across, 0) : count]:
        panel.tick_params(labelbottom=True)  # also above a place that is empty
    for panel in grid[:count]:
        panel.grid(True)
        panel.minorticks_off()
    return list(grid[:count])


def _svg(drawing: "Drawing") -> bytes:
    """The drawing as an <svg> element, without date and maker, and half as long as it came."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()  # not by `savefig`, which draws everything twice to lay it out once
    FigureCanvasSVG(drawing).print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = re.sub(r"<[^>]*>", lambda tag: _tidy(tag[0]), text[text.index("<svg") :])  # words stay as they are
    return re.sub(r">\s+<", ">\n<", text.replace("<g/>", "")).encode()


def _tidy(tag: str) -> str:
    for found, instead in (
        (r'^<g id="(?!rows-|interval-|band-)[^"]*"', "<g"),  # names that nothing refers to
        (r"font-family: [^;]*; ", ""),  # said once, next
        (r"^<svg ", f'<svg font-family="{FONT}" '),
        (r"(\.\d\d)\d+", r"\1"),  # hundredths of a point are enough to look at
        (r" ?\n([A-Za-z]) ?", r"\1"),  # of paths
        (r' transform="rotate\(-0 [^"]*"', ""),
    ):
        tag = re.sub(found, instead, tag)
    return tag
