"""The line of a claim: what its rows come to together.

findings -> [line] -> terminal, tables, page
"""

from collections.abc import Iterable, Mapping, Sequence

from seeds.claims import PUBLISHED, SOUND, Claim
from seeds.report.backing import unbacked
from seeds.report.finding import Finding
from seeds.verdict import Outcome, summary

UNSTORED = "by rows without stored runs"  # what is said of a line that rests on them
VISION = "digits-"  # what the names of its subjects begin with; all others read text


def grouped(findings: Iterable[Finding], claims: Mapping[str, Claim]) -> dict[str, list[Finding]]:
    """The findings of each claim that has any, in the order in which claims and rows are stated."""
    found = {f.place: f for f in findings}  # the last one of a row counts
    order = {place: i for i, place in enumerate((c.name, row.id) for c in claims.values() for row in c.rows)}
    ranked = sorted(found.values(), key=lambda f: (order.get(f.place, len(order)), f.row))
    return {name: rows for name in claims if (rows := [f for f in ranked if f.claim == name])}


def claim_lines(rows: Sequence[Finding]) -> list[str]:
    """The universal claim over its rows: all of them, then vision and text apart where both are there.

    Of a claim with two protocols, the rows of each.
    """
    if twice := protocols(rows):
        return [f"{name}: {outcome} ({told})" for name, (outcome, told) in twice.items()]
    groups = {"all": list(rows)}
    vision = [f for f in rows if f.subject.startswith(VISION)]
    if 0 < len(vision) < len(rows):
        groups |= {"vision": vision, "text": [f for f in rows if not f.subject.startswith(VISION)]}
    lines = []
    for name, members in groups.items():
        outcome, told = overall(members)
        lines.append(f"{name}: {outcome} ({told})")
    return lines


def overall(rows: Sequence[Finding]) -> tuple[Outcome, str]:
    """The outcome of all rows together, and how many hold."""
    return summary([Outcome(f.outcome) for f in rows])


def rests_on_unstored(rows: Sequence[Finding]) -> bool:
    """Whether the outcome would be another one without the rows whose runs are not stored."""
    return overall([f for f in rows if not unbacked(f)])[0] is not overall(rows)[0]


def protocols(rows: Sequence[Finding]) -> dict[str, tuple[Outcome, str]]:
    """The lines of a claim that is measured under two protocols; none of any other."""
    groups = {view: [f for f in rows if f.view == view] for view in (PUBLISHED, SOUND)}
    return {view: overall(members) for view, members in groups.items() if members}
