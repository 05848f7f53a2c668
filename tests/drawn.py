"""What is drawn in an SVG: marks, lines and intervals by the rows of the CSV that they show, and words with their boxes."""

import csv
import io
import re
from dataclasses import dataclass
from xml.etree import ElementTree

from seeds.figures.figure import Figure


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one named group shows: the first and last of its rows, and its points in the drawing, left to right or as drawn."""

    first: int
    last: int
    points: tuple[tuple[float, float], ...]


def table(raw: bytes) -> list[list[str]]:
    """The lines of a CSV."""
    return list(csv.reader(io.StringIO(raw.decode())))


def root(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg)


def local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def drawn(figure: Figure, kind: str = "rows") -> list[Drawn]:
    """Groups of marks and lines ("rows") or of intervals ("interval"), in the order of their rows."""
    found = []
    for group in root(figure).iter():
        if match := re.fullmatch(rf"{kind}-(\d+)(?:-(\d+))?", group.get("id", "")):
            first = int(match[1])
            found.append(Drawn(first, int(match[2] or first), tuple(_points(group))))
    return sorted(found, key=lambda one: one.first)


def band(figure: Figure, line: Drawn) -> list[tuple[float, float]]:
    """Lower and upper end of a line's band at each of its points."""
    (group,) = [one for one in root(figure).iter() if one.get("id") == f"band-{line.first}-{line.last}"]
    (path,) = [one for one in group.iter() if local(one) == "path"]
    (use,) = [one for one in group.iter() if local(one) == "use"]
    corners = [(x, y + float(use.get("y", "nan"))) for x, y in _corners(path)]
    at = [[y for corner, y in corners if abs(corner - x) < 0.02] for x, _ in line.points]
    return [(max(ys), min(ys)) for ys in at]


def _points(group: ElementTree.Element) -> list[tuple[float, float]]:
    """Places of marks; of a line without any, its corners."""
    marks = [(float(use.get("x", "nan")), float(use.get("y", "nan"))) for use in group.iter() if local(use) == "use"]
    if marks:
        return marks
    (path,) = [one for one in group.iter() if local(one) == "path"]
    return _corners(path)


def _corners(path: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = list(map(float, re.findall(r"-?\d+(?:\.\d+)?", path.get("d", ""))))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class Word:
    """One line of text with the box that it takes in the widest of its typefaces."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def words(figure: Figure) -> list[Word]:
    """Every line of text; of mathematical text one for each part."""
    return [_word(one) for one in root(figure).iter() if local(one) == "text" and "".join(one.itertext()).strip()]


def _word(element: ElementTree.Element) -> Word:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    style, text = element.get("style", ""), "".join(element.itertext()).strip()
    size = float(found[1]) if (found := re.search(r"font-size: ([\d.]+)px", style)) else 8.0
    weight = "bold" if "font-weight: 700" in style else "normal"
    width = TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans", weight=weight)).get_extents().width
    turned = element.get("transform", "")
    moved = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", turned)
    x, y = (float(moved[1]), float(moved[2])) if moved else (float(element.get("x", 0)), float(element.get("y", 0)))
    anchor = found[1] if (found := re.search(r"anchor: (\w+)", style)) else "start"
    before = {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    if "rotate(-90" in turned:
        return Word(text, x - 0.75 * size, y - width + before, x, y + before)
    return Word(text, x - before, y - 0.75 * size, x - before + width, y)


def every_row_is_drawn_once(one: Figure) -> None:
    groups = drawn(one)
    assert [row for group in groups for row in range(group.first, group.last + 1)] == list(range(len(one.rows)))
    for group in groups:
        corners = 4 if one.name.startswith(("budgets", "audit-heads")) else 1  # bars and cells, or marks and lines
        assert len(group.points) == corners * (group.last - group.first + 1), (one.name, group.first)
