"""Words: numbers as titles and captions say them.

findings -> figure: [words], drawing
"""

from collections.abc import Sequence

TIMES = "\N{MULTIPLICATION SIGN}"


def percent(share: float) -> str:
    """A share in percent, to two digits below ten."""
    return f"{100 * share:.{2 if abs(share) < 0.0995 else 3}g} %".replace("-", "\N{MINUS SIGN}")


def factor(times: float) -> str:
    """How many times smaller, without exponents."""
    return f"{times:,.0f}" if times >= 100 else f"{times:.3g}"


def listed(parts: Sequence[str]) -> str:
    """Parts as a reader would list them."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def counted(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def span(values: Sequence[float], form: str = "{:.0f}") -> str:
    """The least and the largest of some numbers, or the one that all are; "no" of none."""
    ends = sorted({form.format(value) for value in (min(values), max(values))}, key=float) if values else ["no"]
    return " to ".join(ends)
