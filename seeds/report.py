"""Reports: what rows found, as a table in the terminal and as files under reports/.

    subject -> ... -> quantity -> verdict -> [report]

One JSON file per claim, so that a partial run erases nothing; the table and the plot are made from those files.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seeds.claims import PUBLISHED, SOUND, Claim, Row
from seeds.errors import StoreError
from seeds.file import alone, write_whole
from seeds.verdict import Outcome, Verdict, summary

VISION = "digits-"  # what the names of its subjects begin with; all others read text
START, END = "<!-- verdicts -->\n", "\n<!-- end of verdicts -->"  # of the table in the project's README


@dataclass(frozen=True, slots=True)
class Finding:
    """One row's verdict in plain JSON types; infinite limits are None.

    Args:
        value, low, high: the quantity and its interval at `level`; infinite limits, and levels that are none, are None.
        assay: value and lower limit of the control, where the claim has one.
        notes: further figures, each under its own name and unit.
        view: of the row; of rows of one run each ("published") low and high are the range of the runs, and no interval.
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

    @property
    def place(self) -> tuple[str, str]:
        return self.claim, self.row


def finding(row: Row, verdict: Verdict, notes: Mapping[str, float | int | str]) -> Finding:
    """A row's verdict as plain data."""
    i, control = verdict.interval, verdict.assay
    level = None if verdict.singly else round(1 - 2 * verdict.rule.alpha, 6)
    rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in notes.items()}
    return Finding(
        row.claim, row.id, row.subject, row.codec, str(verdict.outcome), row.expected and str(row.expected),
        _plain(i.value), _plain(i.low), _plain(i.high), level, row.rule.region, verdict.runs,
        [_plain(control.value), _plain(control.low)] if control else None, verdict.reason, rounded,
        row.view,
    )  # fmt: skip


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


# -- the terminal ---------------------------------------------------------------------------------------------------------


def table(findings: Iterable[Finding], claims: Mapping[str, Claim]) -> list[str]:
    """Lines for a terminal: each claim with its line, then its rows."""
    by_claim = _grouped(findings, claims)
    lines = []
    for name, rows in by_claim.items():
        claim = claims[name]
        lines += [
            "",
            f"{name}: {claim.says}",
            f"  {_source(claim)}: {claim.figure}",
            f"  measured: {claim.unit}; {claim.rule.says}",
        ]
        width = max(len(f.row) for f in rows)
        for f in rows:
            lines.append(f"    {f.row:<{width}}  {_mark(f):<13} {figure(f):<32} {_assay(f)}".rstrip())
            lines += [f"    {'':<{width}}  {f.reason}"] if f.outcome == Outcome.UNDECIDED else []
        lines += [f"  {told}" for told in claim_lines(rows)]
    open_rows = [f for rows in by_claim.values() for f in rows if f.outcome == Outcome.UNDECIDED]
    return [*lines, "", f"{len(open_rows)} of {sum(map(len, by_claim.values()))} rows are UNDECIDED"] if lines else lines


def _source(claim: Claim) -> str:
    return "the report, as a goal" if claim.kind == "goal" else "the report"


def figure(f: Finding) -> str:
    """The value with its interval, or the mean and the range of single runs."""
    if f.value is None:
        return f.reason
    if f.low is not None and f.low == f.high:
        return f"{f.value:.4g}"
    if f.view == PUBLISHED:
        return f"{f.value:.4g} ({_end(f.low, '-inf')} to {_end(f.high, 'inf')})"
    return f"{f.value:.4g} [{_end(f.low, '-inf')}, {_end(f.high, 'inf')}]"


def _end(value: float | None, infinite: str) -> str:
    return infinite if value is None else f"{value:.4g}"


def _mark(f: Finding) -> str:
    return f.outcome if f.expected in (f.outcome, None) else f"{f.outcome}!"


def _assay(f: Finding) -> str:
    parts = [] if f.assay is None else [f"control {_end(f.assay[0], '-inf')}"]
    parts += [f"{f.runs} runs"] if f.runs else []
    return ", ".join(parts)


def claim_lines(rows: Sequence[Finding]) -> list[str]:
    """The universal claim over its rows: all of them, then vision and text apart where both are there.

    Of a claim with two protocols, the rows of each.
    """
    if protocols := _protocols(rows):
        return [f"{name}: {outcome} ({told})" for name, (outcome, told) in protocols.items()]
    groups = {"all": list(rows)}
    vision = [f for f in rows if f.subject.startswith(VISION)]
    if 0 < len(vision) < len(rows):
        groups |= {"vision": vision, "text": [f for f in rows if not f.subject.startswith(VISION)]}
    lines = []
    for name, members in groups.items():
        outcome, told = summary([Outcome(f.outcome) for f in members])
        lines.append(f"{name}: {outcome} ({told})")
    return lines


def _protocols(rows: Sequence[Finding]) -> dict[str, tuple[Outcome, str]]:
    """The lines of a claim that is measured under two protocols; none of any other."""
    groups = {view: [Outcome(f.outcome) for f in rows if f.view == view] for view in (PUBLISHED, SOUND)}
    return {view: summary(outcomes) for view, outcomes in groups.items() if outcomes}


def _grouped(findings: Iterable[Finding], claims: Mapping[str, Claim]) -> dict[str, list[Finding]]:
    found = {f.place: f for f in findings}  # the last one of a row counts
    order = {place: i for i, place in enumerate((c.name, row.id) for c in claims.values() for row in c.rows)}
    ranked = sorted(found.values(), key=lambda f: (order.get(f.place, len(order)), f.row))
    return {name: rows for name in claims if (rows := [f for f in ranked if f.claim == name])}


# -- files ----------------------------------------------------------------------------------------------------------------


def write(findings: Iterable[Finding], claims: Mapping[str, Claim], folder: Path, environment: Mapping[str, str]) -> list[Path]:
    """Writes the JSON of each claim that has rows, then the page and the plot from all JSON files in the folder.

    Rows that were not measured now keep what was stored, and rows that are no longer claimed leave. Page and plot are made
    anew whatever was measured: those of a run that was killed are never behind for longer than until the next one.

    Raises:
        StoreError: a file cannot be written, or a stored one that would be added to is damaged.
    """
    with alone(folder):
        return [*_add(findings, claims, folder, environment), *_draw(claims, folder)]


def _add(findings: Iterable[Finding], claims: Mapping[str, Claim], folder: Path, environment: Mapping[str, str]) -> list[Path]:
    written = []
    for name, fresh in _grouped(findings, claims).items():
        claimed = {row.id for row in claims[name].rows}
        stored = [f for f in read(folder / f"{name}.json") if f.row in claimed]
        rows = _grouped([*stored, *fresh], claims)[name]  # a fresh row replaces a stored one
        claim = claims[name]
        content = {
            "claim": name, "says": claim.says, "figure": claim.figure, "unit": claim.unit,
            "region": claim.rule.region, "reason": claim.reason, "line": claim_lines(rows),
            "environment": dict(environment), "rows": [asdict(f) for f in rows],
        }  # fmt: skip
        written.append(folder / f"{name}.json")
        write_whole(written[-1], (json.dumps(content, indent=1) + "\n").encode())
    return written


def _draw(claims: Mapping[str, Claim], folder: Path) -> list[Path]:
    from seeds.plot import retention_over_size

    every = [f for name in claims for f in read(folder / f"{name}.json")]
    write_whole(folder / "README.md", page(every, claims).encode())
    written = [folder / "README.md"]
    if (drawn := retention_over_size(every)) is not None:
        write_whole(folder / "retention.svg", drawn)
        written.append(folder / "retention.svg")
    return written


def read(path: Path) -> list[Finding]:
    """The findings of one claim's JSON file; none if it is not there.

    Raises:
        StoreError: it is not what `write` wrote.
    """
    if not path.exists():
        return []
    try:
        return [Finding(**row) for row in json.loads(path.read_text())["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is no report of rows ({error!r:.200}); restore it, or remove it and measure again") from None


def page(findings: Iterable[Finding], claims: Mapping[str, Claim]) -> str:
    """Markdown: a summary of all claims, then every row."""
    by_claim = _grouped(findings, claims)
    lines = [
        "# What the last full run found",
        "",
        "Made by `make report`; do not edit. Intervals are at 1 - 0.1 / (rows of the claim); rows of fine-tuning are looked at",
        "up to three times, each with a third of 0.1. All budgets and learning curves: [finetune/](finetune/README.md).",
        "",
    ]
    lines += [*summary_table(by_claim, claims), "", "![Retention over seed size](retention.svg)"]
    for name, rows in by_claim.items():
        claim = claims[name]
        lines += ["", f"## {name}", "", f"{_source(claim).capitalize()}: {claim.says} ({claim.figure}).", ""]
        lines += [f"Measured: {claim.unit}. {claim.rule.says.capitalize()}: {claim.reason}.", ""]
        lines += ["| row | verdict | figure | control | runs | |", "|---|---|---|---|---|---|"]
        for f in rows:
            control = _end(f.assay[0], "-inf") if f.assay else ""
            notes = ", ".join(f"{k.replace('_', ' ')} {_readable(v)}" for k, v in f.notes.items())
            lines.append(f"| {f.row} | **{f.outcome}** | {figure(f)} | {control} | {f.runs or ''} | {notes} |")
    return "\n".join(lines) + "\n"


def _readable(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def summary_table(by_claim: Mapping[str, Sequence[Finding]], claims: Mapping[str, Claim]) -> list[str]:
    """One Markdown line per claim."""
    lines = ["| the report says | its figure | verdict | rows |", "|---|---|---|---|"]
    twice = {name: lines_of for name, rows in by_claim.items() if (lines_of := _protocols(rows))}
    for name, rows in by_claim.items():
        if name not in twice:
            outcome, told = summary([Outcome(f.outcome) for f in rows])
            lines.append(f"| {claims[name].says} | {claims[name].figure} | **{outcome}** | {told} |")
    if twice:
        lines += [
            "",
            "| the report says | its figure | by its own protocol, run by run | by a sound one |",
            "|---|---|---|---|",
        ]
    for name, by_view in twice.items():
        told = (f"**{by_view[v][0]}**, {by_view[v][1]}" if v in by_view else "not measured" for v in (PUBLISHED, SOUND))
        lines.append(f"| {claims[name].says} | {claims[name].figure} | {' | '.join(told)} |")
    return lines


def refresh(readme: Path, folder: Path, claims: Mapping[str, Claim]) -> None:
    """Puts the summary table between the markers of the project's README.

    Raises:
        StoreError: it cannot be written, or has not one pair of markers.
    """
    with alone(folder):
        text = readme.read_text()
        before, start, rest = text.partition(START)
        _, end, after = rest.partition(END)
        if not (start and end) or START in rest or END in after:
            raise StoreError(f"{readme} has not one {START.strip()} before one {END.strip()}; restore them")
        write_whole(readme, f"{before}{START}{readme_block(folder, claims)}{END}{after}".encode())


def readme_block(folder: Path, claims: Mapping[str, Claim]) -> str:
    """The summary table that the project's README shows between its markers."""
    found = [f for name in claims for f in read(folder / f"{name}.json")]
    return "\n".join(summary_table(_grouped(found, claims), claims))
