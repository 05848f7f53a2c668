"""Raw runs: reading what `Quantity.raw` gives, so that a stored figure can be checked against the runs it follows from.

quantity -> finding -> [raw] -> page
"""

import math
from statistics import fmean

from seeds.quantity import Raw

# Six digits of a figure are stored, rounded by 5e-6 of it at most, and nine of each run: where runs cancel, the figure is known
# to a billionth of what they are. They are differences of scores around one themselves: of 0.17 - 1/6 only rounding is left.
FIGURE, RUN, NOTHING = 6e-6, 2e-9, 1e-12


def value(raw: Raw) -> float:
    """The figure that the runs give."""
    if isinstance(raw, dict):
        ((rule, parts),) = raw.items()
        found = [value(part) for part in parts]
        if rule == "ratio":
            return found[0] / found[1] if found[1] else math.copysign(math.inf, found[0])
        return min(found) if rule == "smallest" else found[0]
    return fmean(raw) if isinstance(raw, list) else raw


def follows(stored: float | None, raw: Raw | None) -> bool:
    """Whether a stored figure is the one that its runs give, up to rounding; nothing follows from no runs."""
    if raw is None or stored is None:
        return stored is None
    found = value(raw)
    return math.isclose(stored, found, rel_tol=FIGURE, abs_tol=max(NOTHING, RUN * _size(raw)))


def count(raw: Raw | None) -> int:
    """How many runs there are: of the largest of its parts; 0 if nothing was measured, 1 for a figure without runs."""
    if isinstance(raw, dict):
        return max(count(part) for parts in raw.values() for part in parts)
    return len(raw) if isinstance(raw, list) else int(raw is not None)


def per_run(raw: Raw) -> list[float]:
    """The figure of each run: of a ratio, each run's top over the mean bottom; of several parts, of the one that counts."""
    if isinstance(raw, dict):
        ((rule, parts),) = raw.items()
        if rule == "ratio":
            bottom = value(parts[1])
            return [one / bottom for one in per_run(parts[0])] if bottom else []
        return per_run(min(parts, key=value) if rule == "smallest" else parts[0])
    return list(raw) if isinstance(raw, list) else [raw]


def _size(raw: Raw) -> float:
    """How large the figure is without cancellation: what rounding of its runs is relative to."""
    if isinstance(raw, dict):
        ((rule, parts),) = raw.items()
        bottom = abs(value(parts[1])) if rule == "ratio" else 1.0
        return max(_size(part) for part in (parts[:1] if rule == "ratio" else parts)) / (bottom or 1.0)
    return max(map(abs, raw)) if isinstance(raw, list) else abs(raw)
