"""The table at the end of a run, for a terminal.

findings -> [terminal]
"""

from collections.abc import Iterable, Mapping

from seeds.claims import Claim
from seeds.report.finding import Finding, ending
from seeds.report.line import claim_lines, grouped
from seeds.verdict import Outcome


def table(findings: Iterable[Finding], claims: Mapping[str, Claim]) -> list[str]:
    """Lines for a terminal: each claim with its line, then its rows."""
    by_claim = grouped(findings, claims)
    lines = []
    for name, rows in by_claim.items():
        claim = claims[name]
        lines += [
            "",
            f"{name}: {claim.says}",
            f"  {claim.source}: {claim.figure}",
            f"  measured: {claim.unit}; {claim.rule.says}",
        ]
        width = max(len(f.row) for f in rows)
        for f in rows:
            lines.append(f"    {f.row:<{width}}  {_mark(f):<13} {f.figure:<32} {_assay(f)}".rstrip())
            lines += [f"    {'':<{width}}  {f.reason}"] if f.outcome == Outcome.UNDECIDED else []
        lines += [f"  {told}" for told in claim_lines(rows)]
    open_rows = [f for rows in by_claim.values() for f in rows if f.outcome == Outcome.UNDECIDED]
    return [*lines, "", f"{len(open_rows)} of {sum(map(len, by_claim.values()))} rows are UNDECIDED"] if lines else lines


def _mark(f: Finding) -> str:
    return f.outcome if f.expected in (f.outcome, None) else f"{f.outcome}!"


def _assay(f: Finding) -> str:
    parts = [] if f.assay is None else [f"control {ending(f.assay[0], '-inf')}"]
    parts += [f"{f.runs} runs"] if f.runs else []
    return ", ".join(parts)
