"""Words: numbers as titles and captions say them.

findings -> figure: [words], drawing
"""

from collections.abc import Callable, Sequence

from seeds.report.finding import Finding
from seeds.report.number import text

TIMES = "\N{MULTIPLICATION SIGN}"


def limits(low: float | None, high: float | None, told: Callable[[float], str]) -> str:
    """An interval in brackets, each end as it is `told`; what there is no interval of says so."""
    return "[no interval]" if low is None or high is None else f"[{told(low)}, {told(high)}]"


def hundredths(number: float) -> str:
    """A number to two decimals."""
    return text(number, 2)


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


def runs_and_examples(findings: Sequence[Finding]) -> str:
    """What intervals are over, with how many examples, as far as that is stored."""
    known = [f.examples for f in findings if f.examples]
    return f"runs and {span(known)} examples" if known else "runs and examples"
