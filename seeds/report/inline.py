"""Inline SVG: a figure's file made fit to stand inside the page, in its colours and its type.

    figure -> [inline] -> page

A file brings its own paper, title, ids and a style for everything; on a page these would be a white box in the dark, a second
title, twins and a leak. What could run or load is dropped, whoever drew it. This module knows nothing of what is drawn.
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from seeds.errors import StoreError
from seeds.figures.figure import GRID, INK, MUTED, PAPER

VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}
DROPPED = {"script", "style", "metadata", "foreignObject", "a", "title", "desc", "animate", "set", "iframe"}
IMAGE = "data:image/png;base64,"
UNDER_TITLE = 6.0  # points that stay free above a drawing whose title is gone


@dataclass(frozen=True, slots=True)
class Inline:
    """What is inside the <svg> element, its viewBox, and its width in points."""

    content: str
    box: str
    width: float


def inlined(svg: bytes, prefix: str, title: str) -> Inline:
    """A drawing without paper and `title`, with `prefix` before each of its ids.

    Raises:
        StoreError: it is no SVG with a viewBox.
    """
    try:
        root = ElementTree.fromstring(svg)
        left, top, width, height = map(float, root.attrib["viewBox"].split())
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise StoreError(f"the figure {prefix} is no <svg> with a viewBox of four numbers: {error}") from None
    _clean(root, prefix)
    _remove(root, lambda element: _is_paper(element, width, height))
    if (line := _title(root, title)) is not None:
        _remove(root, lambda element: element is line)
        cut = _height(line) + UNDER_TITLE - top
        top, height = top + cut, height - cut
    content = "".join(ElementTree.tostring(child, encoding="unicode") for child in root)
    return Inline(content, f"{left:g} {top:g} {width:g} {height:g}", width)


def _clean(element: ElementTree.Element, prefix: str) -> None:
    element.tag = _local(element.tag)
    element.attrib = dict(kept for item in element.attrib.items() if (kept := _attribute(*item, prefix)))
    for child in list(element):
        if not isinstance(child.tag, str) or _local(child.tag) in DROPPED:
            element.remove(child)
        else:
            _clean(child, prefix)


def _attribute(name: str, value: str, prefix: str) -> tuple[str, str] | None:
    """One attribute as it may stand on the page, or None."""
    name = _local(name)
    if name == "href":
        return (name, f"#{prefix}-{value[1:]}") if value.startswith("#") else (name, value) if value.startswith(IMAGE) else None
    if name == "id":
        return name, f"{prefix}-{value}"
    if name.startswith("on") or name in ("base", "src"):
        return None
    value = re.sub(r"url\(['\"]?#([^)'\"]+)['\"]?\)", rf"url(#{prefix}-\1)", value)
    if re.search(r"url\((?!#)|@import", value):
        return None
    for colour, variable in VARIABLES.items():
        value = re.sub(rf"{colour}\b", variable, value, flags=re.IGNORECASE)
    return ("style", f"{name}: {value}") if name in ("fill", "stroke") and "var(" in value else (name, value)


def _is_paper(element: ElementTree.Element, width: float, height: float) -> bool:
    """Whether this is the rectangle that covers the whole drawing."""
    numbers = {float(one) for one in re.findall(r"-?\d+(?:\.\d+)?", element.get("d", ""))}
    return element.tag == "path" and numbers == {0.0, width, height}


def _title(root: ElementTree.Element, title: str) -> ElementTree.Element | None:
    """The group of lines that are the title."""
    words = title.split()
    return next((group for group in root.iter("g") if len(group) and " ".join(group.itertext()).split() == words), None)


def _height(group: ElementTree.Element) -> float:
    """Where the last line of a group of text lies."""
    moved = [re.match(r"translate\([-\d.]+ ([-\d.]+)\)", line.get("transform", "")) for line in group.iter("text")]
    placed = [line.get("y", "0") for line in group.iter("text")]  # a single line is placed without moving it
    return max((float(found[1] if found else y) for found, y in zip(moved, placed, strict=True)), default=0.0)


def _remove(root: ElementTree.Element, unwanted) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if unwanted(child):
                parent.remove(child)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
