"""Findings of the audit, each in plain values, as they are stored and shown: ledgers, faults, heads, pads, figures.

ledger, checks, heads, language, counting, noise -> [findings] -> page, figures
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, TypeVar

from seeds.file import alone, write_whole


@dataclass(frozen=True, slots=True)
class LedgerFinding:
    """A ledger: figures are (value, low, high), shares one of `ShareFinding` per fault."""

    kind: ClassVar[str] = "ledger"
    subject: str
    unit: str
    runs: int
    sound: tuple[float, float, float]
    published: tuple[float, float, float]
    effect: tuple[float, float, float]
    shares: "tuple[ShareFinding, ...]"

    def __post_init__(self) -> None:
        parts = (s if isinstance(s, ShareFinding) else ShareFinding(**s) for s in self.shares)
        object.__setattr__(self, "shares", tuple(parts))


@dataclass(frozen=True, slots=True)
class ShareFinding:
    """One fault's part of an effect: (value, low, high) of its share, and of what it changes first and last."""

    fault: str
    share: tuple[float, float, float]
    alone: tuple[float, float, float]
    last: tuple[float, float, float]
    material: bool


@dataclass(frozen=True, slots=True)
class FaultFinding:
    """One fault, turned on in the sound protocol.

    Args:
        evidence: what the check says that finds it.
        changes: verdicts that it changes there: "claim: before -> after".
        without: verdicts of the published protocol that leaving it out changes, likewise.
    """

    kind: ClassVar[str] = "fault"
    subject: str
    fault: str
    material: bool | None
    evidence: str
    changes: tuple[str, ...]
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeadsFinding:
    """Accuracies of untrained heads, (bodies, heads) each.

    Args:
        gap: between two runs of the report's original, as a fraction.
        apart: share of pairs of bodies whose heads differ by that much: on one class, and balanced.
    """

    kind: ClassVar[str] = "heads"
    subject: str
    arm: str
    one_class: list[list[float]]
    balanced: list[list[float]]
    gap: float
    apart: list[float]


@dataclass(frozen=True, slots=True)
class PadsFinding:
    """Nats per counted token over the share of pads: `nats` by arm, (runs, lengths)."""

    kind: ClassVar[str] = "pads"
    subject: str
    shares: list[float]
    nats: dict[str, list[list[float]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the page: what the report states and what was found beside it, in the same unit.

    Args:
        stated: the report's figure; None where it gives none.
    """

    name: str
    says: str
    stated: float | None
    found: float
    unit: str

    @property
    def row(self) -> list[str | float | None]:
        """Its fields in plain JSON types, to six digits."""
        return [self.name, self.says, self.stated, float(f"{self.found:.6g}"), self.unit]


@dataclass(frozen=True, slots=True)
class FiguresFinding:
    """Single figures of the report: (name, what it says, stated or None, found, unit) each."""

    kind: ClassVar[str] = "figures"
    subject: str
    lines: list[list[str | float | None]]


Kind = TypeVar("Kind")
KINDS = {k.kind: k for k in (LedgerFinding, FaultFinding, HeadsFinding, PadsFinding, FiguresFinding)}
AuditFinding = LedgerFinding | FaultFinding | HeadsFinding | PadsFinding | FiguresFinding
WHICH = ("fault", "arm")  # fields that tell findings of one kind and subject apart


def plain(one: AuditFinding) -> dict:
    """The finding in plain JSON types, with its kind."""
    return {"kind": one.kind} | asdict(one)


def from_plain(stored: dict) -> AuditFinding:
    """The finding that `plain` gave.

    Raises:
        ValueError: it is of no known kind, or lacks a field.
    """
    if stored.get("kind") not in KINDS:
        raise ValueError(f"kind {stored.get('kind')!r} of an audit's finding is unknown; allowed: {', '.join(KINDS)}")
    kind = KINDS[stored["kind"]]
    if missing := [f.name for f in fields(kind) if f.name not in stored]:
        raise ValueError(
            f"a stored {stored['kind']} of the audit lacks {', '.join(missing)}; delete its file and measure again"
        )
    return kind(**{f.name: stored[f.name] for f in fields(kind)})


def add(found: Iterable[AuditFinding], folder: Path) -> list[Path]:
    """Writes findings, one JSON file for each kind and subject; stored ones that were not found now stay."""
    by_path: dict[Path, list[AuditFinding]] = {}
    for one in found:
        by_path.setdefault(folder / f"{one.kind}-{one.subject}.json", []).append(one)
    with alone(folder):
        for path, fresh in by_path.items():
            merged = {_which(one): one for one in [*read(path), *fresh]}
            write_whole(path, (json.dumps([plain(merged[key]) for key in sorted(merged)], indent=1) + "\n").encode())
    return list(by_path)


def read(path: Path) -> list[AuditFinding]:
    """The findings of one file; none if it is not there."""
    return [from_plain(one) for one in json.loads(path.read_text())] if path.exists() else []


def read_all(folder: Path) -> list[AuditFinding]:
    """Every finding in a folder, files in alphabetical order."""
    return [one for path in sorted(folder.glob("*.json")) for one in read(path)]


def of_kind(found: Sequence[AuditFinding], kind: type[Kind]) -> list[Kind]:
    """Those of one kind, in their order."""
    return [one for one in found if isinstance(one, kind)]


def _which(one: AuditFinding) -> str:
    return next((getattr(one, name) for name in WHICH if hasattr(one, name)), "")
