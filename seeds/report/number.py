"""Numbers as people read them: no more digits than their interval supports, a true minus, powers of ten written out.

    finding -> [number] -> page

The exact stored value stays beside each of them in the page, in the `value` of its <data> element.
"""

import math

from seeds.report.finding import Finding

SIGNIFICANT = 3  # digits of a figure without an interval
LARGEST, SMALLEST = 1e7, 1e-4  # beyond them, powers of ten
DECIMALS = 6  # at most
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNITS = ("bytes", "kB", "MB", "GB")


def text(value: float, decimals: int | None = None) -> str:
    """A number with so many decimals; without, with three significant digits or all of its whole part."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else "∞"
    size = abs(value)
    if size and not SMALLEST <= size < LARGEST and not (decimals is not None and size < SMALLEST):
        mantissa, _, power = f"{value:.2e}".partition("e")
        ten = f"10{str(int(power)).translate(SUPERSCRIPTS)}"
        return ten if mantissa == "1.00" else f"{mantissa} × {ten}".replace("-", "−")
    if decimals is None:
        told = f"{value:,.{max(0, min(DECIMALS, _decimals(size, SIGNIFICANT)))}f}"
        told = told.rstrip("0").rstrip(".") if "." in told else told
    else:
        told = f"{value:,.{decimals}f}"
    told = told.replace("-", "−")
    return told.removeprefix("−") if not told.strip("−0.,") else told


def decimals(f: Finding) -> int | None:
    """Decimals that a row's interval supports, two digits of its half-width; None where the figure speaks for itself."""
    if f.value is None or f.low is None or f.high is None or f.low == f.high:
        return None
    needed = _decimals((f.high - f.low) / 2, 2)
    return None if needed > DECIMALS else max(0, needed)


def between(low: float, high: float) -> int | None:
    """Decimals that tell two figures apart."""
    return max(0, min(DECIMALS, _decimals((high - low) / 2, 2))) if high > low else None


def end(value: float | None, side: str, places: int | None) -> str:
    """One limit of an interval: None is infinite, towards the `low` or the `high` side."""
    return text({"low": -math.inf, "high": math.inf}[side] if value is None else value, places)


def percent(share: float, up: bool = False) -> str:
    """A share in per cent with two significant digits, and no more than one decimal; an upper limit is rounded `up`."""
    places = max(0, min(1, _decimals(abs(100 * share), 2)))
    shown = math.ceil(100 * share * 10**places) / 10**places if up else 100 * share
    return f"{text(shown, places)} %"


def size(count: float) -> str:
    """Bytes in the largest unit that leaves at least one."""
    power = min(len(UNITS) - 1, int(math.log(count, 1000))) if count >= 1 else 0
    return f"{text(count / 1000**power)} {UNITS[power]}"


def _decimals(size: float, digits: int) -> int:
    """Decimals that show so many significant digits of a size."""
    return digits - 1 - math.floor(math.log10(size)) if size else 0
