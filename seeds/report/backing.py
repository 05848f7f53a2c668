"""Backing: what of a row does not follow from the runs stored with it.

    finding, raw -> [backing] -> line, README, page

Rows of a time when runs were not kept have figures and none to look at. This module knows which, and no verdicts.
"""

from collections.abc import Iterator

from seeds.quantity import Raw
from seeds.report import raw
from seeds.report.finding import Finding


def unbacked(f: Finding) -> list[str]:
    """Which of a row's numbers have no runs at all stored with them: "figure", "control"."""
    return [name for name, stored, each in _told(f) if stored is not None and each is None]


def warnings(f: Finding) -> Iterator[str]:
    """What of a row does not follow from its stored runs, up to the rounding that `seeds.report.raw` allows."""
    if names := unbacked(f):
        yield f"No runs are stored for the {' and the '.join(names)}."
    for name, stored, each in _told(f):
        if stored is not None and each is not None and not raw.follows(stored, each):
            yield f"The {name} {stored:g} does not follow from the stored runs: they give {raw.value(each):.6g}."


def counted(rows: int) -> str:
    """How many rows have such warnings, as a sentence begins."""
    return f"{rows} {'row has a figure' if rows == 1 else 'rows have figures'} that no stored runs back"


def _told(f: Finding) -> tuple[tuple[str, float | None, Raw | None], ...]:
    return (("figure", f.value, f.raw), ("control", f.assay[0] if f.assay else None, f.control_raw))
