"""Tables that GitHub renders: a line per claim, and every row.

claims.json -> [tables] -> reports/README.md, README.md
"""

from collections.abc import Iterable, Mapping, Sequence

from seeds.claims import PUBLISHED, SOUND, Claim
from seeds.report import raw
from seeds.report.finding import Finding, ending, plainly
from seeds.report.line import UNSTORED, grouped, overall, protocols, rests_on_unstored

HEAD = """\
# What was found

Each row keeps the last figure that was measured of it. Made by `make report` and `python -m seeds report`; do not edit. The
same to look at, with every run: `index.html`, which `python -m seeds report --open` opens. The data:
[claims.json](claims.json), of [this schema](claims.schema.json). Intervals are at 1 - 0.1 / (rows of the claim); rows of
fine-tuning are looked at up to three times, each with a third of 0.1. All budgets and learning curves:
[finetune/](finetune/README.md); the report's protocol, fault by fault: [audit/](audit/README.md); seconds and bytes:
[benchmarks/](benchmarks/README.md).
"""


def page(findings: Iterable[Finding], claims: Mapping[str, Claim]) -> str:
    """Markdown: a summary of all claims, then every row."""
    by_claim = grouped(findings, claims)
    lines = [*HEAD.splitlines(), "", *summary_table(by_claim, claims)]
    if any({"retention", "times_smaller"} <= f.notes.keys() for f in findings):
        lines += ["", "![Retention over seed size](figures/retention.svg)"]
    for name, rows in by_claim.items():
        claim = claims[name]
        lines += ["", f"## {name}", "", f"{claim.source.capitalize()}: {claim.says} ({claim.figure}).", ""]
        lines += [f"Measured: {claim.unit}. {claim.rule.says.capitalize()}: {claim.reason}.", ""]
        lines += ["| row | verdict | figure | control | runs | |", "|---|---|---|---|---|---|"]
        for f in rows:
            control = ending(f.assay[0], "-inf") if f.assay else ""
            notes = ", ".join(f"{k.replace('_', ' ')} {readable(v)}" for k, v in f.notes.items())
            lines.append(f"| {f.row} | **{f.outcome}** | {f.figure} | {control} | {_runs(f)} | {notes} |")
    return "\n".join(lines) + "\n"


def _runs(f: Finding) -> str:
    return str(raw.count(f.raw) or "") if f.raw is not None or f.runs is None else f"{f.runs}, not kept"


def readable(value: float | int | str) -> str:
    """A note as text."""
    return plainly(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def summary_table(by_claim: Mapping[str, Sequence[Finding]], claims: Mapping[str, Claim]) -> list[str]:
    """One Markdown line per claim; those that are measured under two protocols in a table of their own."""
    lines = ["| the report says | its figure | verdict | rows | runs |", "|---|---|---|---|---|"]
    twice = {name: lines_of for name, rows in by_claim.items() if (lines_of := protocols(rows))}
    for name, rows in by_claim.items():
        if name not in twice:
            _, told = overall(rows)
            lines.append(f"| {_stated(claims[name])} | {_marked(rows)} | {told} | {runs(rows):,} |")
    if twice:
        lines += [
            "",
            "| the report says | its figure | by its own protocol, run by run | by a sound one | runs |",
            "|---|---|---|---|---|",
        ]
    for name, by_view in twice.items():
        rows = {v: [f for f in by_claim[name] if f.view == v] for v in (PUBLISHED, SOUND)}
        told = (f"{_marked(rows[v])}, {by_view[v][1]}" if v in by_view else "not measured" for v in rows)
        lines.append(f"| {_stated(claims[name])} | {' | '.join(told)} | {runs(by_claim[name]):,} |")
    return lines


def _marked(rows: Sequence[Finding]) -> str:
    """The outcome of these rows; one that rests on rows without stored runs says so."""
    return f"**{overall(rows)[0]}**" + f" ({UNSTORED})" * rests_on_unstored(rows)


def _stated(claim: Claim) -> str:
    return f"{claim.says} | {claim.figure}"


def runs(rows: Iterable[Finding]) -> int:
    """Raw runs behind the rows."""
    return sum(raw.count(f.raw) for f in rows)
