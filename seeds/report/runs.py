"""Runs: every number that a figure follows from, named so that a reader can recompute it.

    finding -> [runs] -> page

Numbers are given in full, as they are stored. This module knows the shapes of `seeds.quantity.Raw` and no figures.
"""

from collections.abc import Iterator

from seeds.quantity import Raw

RULES = {
    "ratio": "the mean of the top over the mean of the bottom",
    "smallest": "the smallest of its parts",
    "first": "the first of its parts; the others only widen its interval",
}
PARTS = {"ratio": ("top", "bottom")}


def rule(raw: Raw) -> str:
    """How the figure follows from the numbers."""
    if isinstance(raw, dict):
        return RULES[next(iter(raw))]
    return "the mean of the runs" if isinstance(raw, list) else "one number, without a random part"


def lines(raw: Raw, name: str = "") -> Iterator[tuple[str, str]]:
    """Each list of runs with its name: ("top", "0.1 0.2") of a ratio, ("part 2, bottom", "0.9") of one that is a part."""
    if isinstance(raw, dict):
        ((kind, parts),) = raw.items()
        for place, part in enumerate(parts):
            called = PARTS[kind][place] if kind in PARTS else f"part {place + 1}"
            yield from lines(part, f"{name}, {called}" if name else called)
    else:
        yield name or "runs", " ".join(f"{one!r}" for one in (raw if isinstance(raw, list) else [raw]))
