"""A finding: one row's verdict in plain JSON types, with the runs behind it.

subject -> ... -> verdict -> [finding] -> claims.json
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from seeds.claims import PUBLISHED, Row
from seeds.quantity import Quantity, Raw
from seeds.verdict import Verdict

DIGITS = 6  # of a stored figure
NOTHING = 1e-15  # what is smaller in size is shown as zero, and stored as it is
RAW_DIGITS = 9  # of a run: figures are differences and ratios of them


@dataclass(frozen=True, slots=True)
class Finding:
    """One row's verdict; infinite limits, and levels that are none, are None.

    Args:
        value, low, high: the quantity and its interval at `level`; of rows of one run each ("published") the mean and the
            range of the runs, and no interval.
        assay: value and lower limit of the control, where the claim has one.
        notes: further figures, each under its own name and unit.
        view: of the row.
        raw, control_raw: the runs that `value` and the control follow from (`seeds.quantity.Raw`); None if nothing was
            measured.
        examples: scored ones that the interval is over, of the smallest part; None where it is over runs alone, or nothing.
        test: node id of the test that found it.
        session: name of the `seeds.report.session.Session` in which it was found.
    """

    claim: str
    row: str
    subject: str
    codec: str
    outcome: str
    expected: str | None
    value: float | None
    low: float | None
    high: float | None
    level: float | None
    region: str
    runs: int | None
    assay: list[float | None] | None
    reason: str
    notes: dict[str, float | int | str] = field(default_factory=dict)
    view: str = ""
    raw: Raw | None = None
    control_raw: Raw | None = None
    examples: int | None = None
    test: str = ""
    session: str = ""

    @property
    def place(self) -> tuple[str, str]:
        return self.claim, self.row

    @property
    def figure(self) -> str:
        """The value with its interval, or the mean and the range of single runs, as text."""
        if self.value is None:
            return self.reason
        if self.low is not None and self.low == self.high:
            return plainly(self.value)
        ends = f"{ending(self.low, '-inf')}{' to ' if self.view == PUBLISHED else ', '}{ending(self.high, 'inf')}"
        return f"{plainly(self.value)} ({ends})" if self.view == PUBLISHED else f"{plainly(self.value)} [{ends}]"

    @classmethod
    def of(cls, row: Row, verdict: Verdict, notes: Mapping[str, float | int | str], test: str = "") -> Self:
        """A row's verdict as plain data.

        Raises:
            ValueError: a note, or the figure of a run, is no finite number.
        """
        i, control = verdict.interval, verdict.assay
        level = None if verdict.singly else round(1 - 2 * verdict.rule.alpha, 6)
        return cls(
            row.claim, row.id, row.subject, row.codec, str(verdict.outcome), row.expected and str(row.expected),
            _plain(i.value), _plain(i.low), _plain(i.high), level, row.rule.region, verdict.runs,
            [_plain(control.value), _plain(control.low)] if control else None, verdict.reason,
            {name: _note(value, f"the note {name} of {row.id}") for name, value in notes.items()},
            row.view, _raw(verdict.measured, row.id), _raw(verdict.control, f"the control of {row.id}"),
            verdict.measured and verdict.measured.examples, test,
        )  # fmt: skip


def ending(value: float | None, infinite: str) -> str:
    """One end of an interval as text."""
    return infinite if value is None else plainly(value)


def plainly(value: float) -> str:
    """A number as text with four digits; what is left of rounding is zero."""
    return f"{0.0 if abs(value) < NOTHING else value:.4g}"


def _plain(value: float) -> float | None:
    return _rounded(value, DIGITS) if math.isfinite(value) else None


def _note(value: float | int | str, what: str) -> float | int | str:
    plain = value.item() if isinstance(value, np.generic) else value
    return _finite(plain, DIGITS, what) if isinstance(plain, float) else plain


def _raw(quantity: Quantity | None, what: str) -> Raw | None:
    return None if quantity is None else _shortened(quantity.raw(), what)


def _shortened(raw: Raw, what: str) -> Raw:
    if isinstance(raw, dict):
        return {name: [_shortened(part, what) for part in parts] for name, parts in raw.items()}
    told = f"a run of {what}"
    return [_finite(one, RAW_DIGITS, told) for one in raw] if isinstance(raw, list) else _finite(raw, RAW_DIGITS, told)


def _finite(value: float, digits: int, what: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}; a stored number is finite")
    return _rounded(value, digits)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
