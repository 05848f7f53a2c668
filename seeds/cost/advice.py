"""Advice: the plan as people read it, and as JSON; what `python -m seeds plan` prints.

calibration, expectation, link -> plan -> [advice]
"""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seeds.cost.plan import Option
    from seeds.interval import Interval

HEAD = ("", "delivery", "bytes", "steps", "download", "open", "fine-tune", "total [95 %]", "quality [95 %]", "runs there")


def plan_command(options: argparse.Namespace) -> int:
    """Prints which delivery is soonest at the wanted quality on a link and this machine."""
    from seeds.cost.calibration import calibrated, default_path
    from seeds.cost.expectation import affordable, subjects
    from seeds.cost.plan import check, plan
    from seeds.errors import SubjectUnavailable
    from seeds.subject import subject
    from seeds.wire.link import Link, bandwidth, latency

    one = subject(options.subject)
    if one.name not in subjects():
        raise SubjectUnavailable(f"no expectations for {one.name!r}; allowed: {', '.join(subjects())}")
    check(options.samples, options.quality)
    link = Link(bandwidth(options.bandwidth), latency(options.latency))
    path = Path(options.calibration) if options.calibration else default_path()
    usable = affordable(one.name, options.samples)
    seconds = calibrated(one, usable, path, options.again)
    found = plan(one, link, options.samples, options.quality, seconds)
    if options.json:
        print(json.dumps({"subject": one.name, "link": str(link), "options": [as_json(option) for option in found]}, indent=1))
        return 0
    print(f"{one.name} over {link}, to {options.quality:.0%} of what the original knows above chance")
    print(f"{_samples(options.samples, usable)}; seconds of this machine, one thread ({path})")
    print()
    for line in table(found):
        print(line)
    return 0


def _samples(asked: int, used: int) -> str:
    told = f"{asked} labelled samples"
    if not used:
        return f"{told}: too few for what was measured, so nothing is fine-tuned"
    return told if used == asked else f"{told}; qualities are those measured with {used}"


def table(options: "list[Option]") -> list[str]:
    """One line per delivery, soonest first; those that never reach the quality say what they reach."""
    rows = [HEAD, *(_row(rank, option) for rank, option in enumerate(options, 1))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(rank: int, option: "Option") -> tuple[str, ...]:
    there, runs = option.runs_there
    quality = f"{option.quality.value:.3f} [{option.quality.low:.3f}, {option.quality.high:.3f}]"
    told = f"{there} of {runs}"
    if option.steps is None:
        return "-", option.sent.name, f"{option.size_bytes:,}", "-", "-", "-", "-", "never", quality, told
    total = option.total_s
    parts = (seconds(part.value) for part in (option.download_s, option.open_s, option.tune_s))
    span = f"{seconds(total.value)} [{seconds(total.low)}, {seconds(total.high)}]"
    return str(rank), option.sent.name, f"{option.size_bytes:,}", str(option.steps), *parts, span, quality, told


def seconds(value: float) -> str:
    """Seconds to three digits, in the unit that fits; "never" if infinite."""
    if math.isinf(value):
        return "never"
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if value >= 2 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s" if value >= 0.9995 else f"{1e3 * value:.3g} ms"


def as_json(option: "Option") -> dict:
    """An option in plain JSON types; `steps` and `total_s` are null where the quality is never reached."""
    never = option.steps is None
    return {
        "delivery": option.sent.name,
        "says": option.sent.says,
        "size_bytes": option.size_bytes,
        "samples": option.samples,
        "rate": option.rate,
        "steps": option.steps,
        "quality": _ends(option.quality),
        "runs_there": list(option.runs_there),
        "download_s": _ends(option.download_s),
        "open_s": _ends(option.open_s),
        "tune_s": None if never else _ends(option.tune_s),
        "total_s": None if never else _ends(option.total_s),
    }


def _ends(found: "Interval") -> list[float]:
    return [float(f"{end:.6g}") for end in (found.value, found.low, found.high)]
