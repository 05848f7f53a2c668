"""Figures: what was found, drawn, each with its numbers beside it.

    findings, pieces, races, records -> [figures] -> reports/figures/

A table answers the question that it was made for. A drawing shows what nobody asked: where a codec lies between an exact
copy and a guess, which budget is enough, from which link on a download is sooner. So that nobody has to believe a drawing,
each is made from stored JSON alone, has intervals wherever rows have them, says in its title what was found, in words that
are chosen by the data, and has every number that it draws in a CSV of the same name. Without data there is no figure.
A module draws from findings or stored pieces and knows no folder; only `every`, below, knows where they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seeds.figures.figure import Figure

if TYPE_CHECKING:
    from seeds.report.finding import Finding


def every(reports: Path, findings: Sequence["Finding"]) -> list[Figure]:
    """All figures that there are data for, in the order in which they are read.

    Args:
        reports: the folder of the stored pieces, races and records.
        findings: the rows of the claims.
    """
    from seeds import grid
    from seeds.audit.findings import HeadsFinding, LedgerFinding, PadsFinding, of_kind, read_all
    from seeds.cost import race, record
    from seeds.cost.page import RACE
    from seeds.figures import audit, budgets, cost, ladder, retention

    audited = read_all(reports / "audit")
    settings = [grid.read(path) for path in sorted((reports / "finetune").glob("*.json"))]
    timed = sorted((reports / "benchmarks").glob("*.json"))
    races = [race.read(path) for path in timed if path.name.startswith(RACE)]
    records = [one for path in timed if not path.name.startswith(RACE) for one in record.read(path)]
    drawn = (
        retention.retention(findings), ladder.ladder(findings),
        *(draw(pieces) for pieces in settings for draw in (budgets.curves, budgets.budgets)),
        audit.heads(of_kind(audited, HeadsFinding)), audit.ledger(of_kind(audited, LedgerFinding)),
        audit.pads(of_kind(audited, PadsFinding)), *map(cost.quality, races), cost.scale(records),
    )  # fmt: skip
    return [one for one in drawn if one is not None]
