"""Numbers as people read them: no more digits than their interval supports, a true minus, powers of ten written out.

    finding -> [number] -> page

The exact stored value stays beside each of them in the page, in the `value` of its <data> element.
"""

import math

from seeds.report.finding import NOTHING, Finding

SIGNIFICANT = 3  # digits of a figure without an interval
LARGEST, SMALLEST = 1e7, 1e-4  # beyond them, powers of ten
DECIMALS = 6  # at most
MOST_OF_PERCENT = 2  # decimals
TWO_DIGITS = 9.95  # per cent; what is below rounds to less than ten, and needs no third digit
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNITS = ("bytes", "kB", "MB", "GB")


def text(value: float, decimals: int | None = None) -> str:
    """A number with so many decimals; without, with three significant digits or all of its whole part. Below 1e-15 it is 0."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else "∞"
    value = 0.0 if abs(value) < NOTHING else value
    size = abs(value)
    if size and not SMALLEST <= size < LARGEST and not (decimals is not None and size < SMALLEST):
        mantissa, _, power = f"{value:.2e}".partition("e")
        ten = power_of_ten(int(power))
        return ten if mantissa == "1.00" else f"{mantissa} × {ten}".replace("-", "−")
    if decimals is None:
        told = f"{value:,.{max(0, min(DECIMALS, _decimals(size, SIGNIFICANT)))}f}"
        told = told.rstrip("0").rstrip(".") if "." in told else told
    else:
        told = f"{value:,.{decimals}f}"
    told = told.replace("-", "−")
    return told.removeprefix("−") if not told.strip("−0.,") else told


def power_of_ten(power: int) -> str:
    """Ten to a power."""
    return f"10{str(power).translate(SUPERSCRIPTS)}"


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
    """A share in per cent: two significant digits below ten, three from there on; an upper limit is rounded `up`."""
    size = abs(100 * share)
    needed = _decimals(size, 2) if size < TWO_DIGITS else _decimals(max(10.0, size), 3)
    places = max(0, min(MOST_OF_PERCENT, needed))
    shown = math.ceil(round(100 * share * 10**places, 9)) / 10**places if up else 100 * share
    return f"{text(shown, places)} %"


def level(share: float) -> str:
    """The level of an interval in per cent, with two decimals at most."""
    return f"{round(100 * share, 2):g} %"


def size(count: float) -> str:
    """Bytes in the largest unit that leaves at least one."""
    power = min(len(UNITS) - 1, int(math.log(count, 1000))) if count >= 1 else 0
    return f"{text(count / 1000**power)} {UNITS[power]}"


def _decimals(size: float, digits: int) -> int:
    """Decimals that show so many significant digits of a size."""
    return digits - 1 - math.floor(math.log10(size)) if size else 0
