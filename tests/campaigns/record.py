"""Record: what one run of pytest found, test by test, and in what another run differs from it.

    pytest -p tests.campaigns.recorder -> [record] -> flaky, matrix -> reports/

Knows nothing about why a run was made. Figures are those that a test hands to the report, with the digits it hands over (six
of a verdict's).
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seeds.file import write_whole

Figure = float | str | bool | None
ABSENT = "absent"  # stands for a test or a figure that one run does not have; None is a limit that is infinite


@dataclass(frozen=True, slots=True)
class Result:
    """One test: passed, failed or skipped.

    Args:
        reason: why it was skipped, or the line with which it failed.
        verdict: the outcome of a row; None where the test judges none.
        figures: what it handed to the report, by name.
    """

    outcome: str
    reason: str = ""
    verdict: str | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One run.

    Args:
        versions: of Python and of every installed package.
        order: the tests that each worker began, in turn; one entry, "", without workers.
        tests: by node id.
    """

    arguments: tuple[str, ...]
    versions: Mapping[str, str]
    elapsed_s: float
    exit_status: int
    order: Mapping[str, tuple[str, ...]]
    tests: Mapping[str, Result]

    @property
    def counts(self) -> Counter[str]:
        return Counter(result.outcome for result in self.tests.values())

    @property
    def verdicts(self) -> dict[str, str]:
        return {name: result.verdict for name, result in self.tests.items() if result.verdict is not None}


@dataclass(frozen=True, slots=True)
class Difference:
    """Something of one test that two runs did not find alike.

    Args:
        what: "outcome", "verdict", or the name of a figure.
        first, second: what each found.
    """

    test: str
    what: str
    first: Figure
    second: Figure

    @property
    def relative(self) -> float:
        """Distance of two figures in units of the larger one; infinite where one of them is no number."""
        if not (_is_number(self.first) and _is_number(self.second)):
            return math.inf
        first, second = float(self.first or 0), float(self.second or 0)
        return abs(first - second) / max(abs(first), abs(second))


def _is_number(figure: Figure) -> bool:
    return isinstance(figure, int | float) and not isinstance(figure, bool)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Figure]]:
    """The leaves of plain JSON data, each with its path as its name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{name}.{i}")
    else:
        yield name, value


def differences(first: Record, second: Record) -> list[Difference]:
    """All that differs: tests that only one run has, outcomes, verdicts and, of tests that ran in both, figures."""
    found = []
    for test in sorted({*first.tests, *second.tests}):
        one, other = first.tests.get(test), second.tests.get(test)
        found += _of(test, "outcome", one.outcome if one else ABSENT, other.outcome if other else ABSENT)
        if one and other and "skipped" not in (one.outcome, other.outcome):
            found += _of(test, "verdict", one.verdict, other.verdict)
            for name in sorted({*one.figures, *other.figures}):
                found += _of(test, name, one.figures.get(name, ABSENT), other.figures.get(name, ABSENT))
    return found


def _of(test: str, what: str, first: Figure, second: Figure) -> list[Difference]:
    return [] if first == second else [Difference(test, what, first, second)]


def save(record: Record, path: Path) -> None:
    """As JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(asdict(record), indent=1, allow_nan=False) + "\n").encode())


def load(path: Path) -> Record:
    """The record in a file."""
    plain = json.loads(path.read_text("utf-8"))
    tests = {name: Result(**result) for name, result in plain.pop("tests").items()}
    return Record(**plain, tests=tests)
