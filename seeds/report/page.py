"""The page: reports/index.html, one file that needs no network, from the stored rows alone.

    claims.json, figures -> [page] -> reports/index.html

The same rows and figures give the same bytes. A figure of a row, wherever it stands (table, plot, answer), is in a <data>
element with its stored value, in its row or with the row's id; a row lists its runs in full; whatever does not follow from them
is marked. Counts are counted here; drawings bring their data as CSV. The templates hold the layout and no figure.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from seeds.claims import PUBLISHED, SOUND, Claim
from seeds.figures.figure import Figure
from seeds.report import answer, backing, forest, number, published, raw, runs, words
from seeds.report.claims_file import digest
from seeds.report.finding import Finding
from seeds.report.inline import Inline, inlined
from seeds.report.line import UNSTORED, grouped, overall, protocols, rests_on_unstored
from seeds.verdict import Outcome

if TYPE_CHECKING:
    from jinja2 import Environment

    from seeds.report.claims_file import Results

TEMPLATES = Path(__file__).with_name("templates")
FIRST_ROWS = 12  # of a figure's data; all of them are in its CSV
BESIDE = ("README.md", "claims.json", "claims.schema.json", "zero_shot_results.json", "LOG.md")  # in the page's folder
CSV_SAFE = ",:;+/()"  # characters that a data: address takes as they are


@dataclass(frozen=True, slots=True)
class RowView:
    """One row as the templates show it.

    Args:
        pytest: the line that measures the row alone, and `needs`: what it needs besides the clone.
        each: what its numbers are of ("figure", "control"), how it follows from them, and the numbers.
    """

    finding: Finding
    anchor: str
    pytest: str
    needs: str
    runs: int
    each: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rows of a claim under one protocol, and what they come to.

    Args:
        told: how many rows hold; under the report's own protocol, how many single runs.
        share: of the rows that hold, among those that could speak, or of single runs; empty if nothing is judged.
        range: the rows with the least and the largest figure, to be shown with so many `places`.
        widest: the row with the widest interval.
        flag: what is said beside an outcome that rests on rows without stored runs; empty of any other.
    """

    view: str
    outcome: Outcome
    told: str
    share: float | str
    rows: tuple[RowView, ...]
    plot: forest.Forest
    means: str
    range: tuple[Finding, Finding] | None
    places: int | None
    widest: Finding | None
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """What the controls of a claim's rows come to.

    Args:
        succeeded: how many of those `measured`.
        missing: rows that have no original, and so no control.
        least: the row whose control has the lowest lower limit: units differ from row to row, so that a range would mix them.
    """

    succeeded: int
    measured: int
    missing: int
    least: Finding


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One line of the table. `published` is there where the claim is measured under the report's own protocol, too."""

    claim: Claim
    anchor: str
    pytest: str
    sound: Protocol
    published: Protocol | None
    control: Control | None
    figures: tuple["FigureView", ...]
    warnings: int

    @property
    def verdict(self) -> str:
        """What the rows of a sound protocol come to; empty if there are none."""
        return str(self.sound.outcome) if self.sound.rows else ""

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        return (self.published, self.sound) if self.published else (self.sound,)


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure: drawn once, in the section of figures; claims that it belongs to show the same drawing again."""

    figure: Figure
    anchor: str
    svg: Inline
    csv: str


def html(results: "Results", claims: Mapping[str, Claim], figures: Sequence[Figure]) -> str:
    """The whole page.

    Args:
        figures: all stand in a section of their own, in this order; claims that they name show them, too.

    Raises:
        StoreError: a figure is no SVG.
    """
    by_claim = grouped(results.findings, claims)
    drawn = [_figure(f, index) for index, f in enumerate(figures)]
    shown = [_claim(claims[name], findings, drawn) for name, findings in by_claim.items()]
    environment = _environment()
    script = environment.get_template("page.js").render().strip()
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    present = {f.outcome for rows in by_claim.values() for f in rows}
    return environment.get_template("page.html.j2").render(
        claims=shown,
        answer=answer.sentences(by_claim, claims),
        marks_shown=[outcome for outcome in Outcome if outcome in present],
        data=digest(results.findings),
        tally=_tally(shown),
        subjects=sorted({f.subject for rows in by_claim.values() for f in rows}),
        rows=sum(map(len, by_claim.values())),
        runs=sum(raw.count(f.raw) for rows in by_claim.values() for f in rows),
        unbacked=backing.counted(unbacked) if (unbacked := sum(c.warnings for c in shown)) else "",
        figures=drawn,
        rows_of=Counter(f.session for rows in by_claim.values() for f in rows),
        sessions={name: asdict(one) for name, one in sorted(results.sessions.items())},
        audited={"url": published.URL, "repository": published.REPOSITORY, "commit": published.COMMIT},
        beside=BESIDE, script=script, allowed=allowed, first_rows=FIRST_ROWS,
    )  # fmt: skip


def _claim(claim: Claim, findings: Sequence[Finding], drawn: Sequence[FigureView]) -> ClaimView:
    twice = protocols(findings)
    published = _protocol(claim, [f for f in findings if f.view == PUBLISHED], PUBLISHED) if PUBLISHED in twice else None
    sound = _protocol(claim, [f for f in findings if f.view != PUBLISHED], SOUND if twice else "")
    figures = tuple(f for f in drawn if claim.name in f.figure.claims)
    warnings = sum(bool(row.warnings) for p in (published, sound) if p for row in p.rows)
    line = f"pytest --claim {claim.name}{' --full' * any(row.full for row in claim.rows)}"
    return ClaimView(claim, f"claim-{claim.name}", line, sound, published, _control(claim, findings), figures, warnings)


def _protocol(claim: Claim, findings: Sequence[Finding], view: str) -> Protocol:
    if not findings:
        return Protocol(
            view, Outcome.NO_ASSAY, "not measured", "", (), forest.forest([], claim.rule), "Not measured.", None, None, None
        )
    outcome, told = overall(findings)
    spoke = [f for f in findings if Outcome(f.outcome) not in words.SPEAKS_NOT] or findings
    valued = sorted((f for f in spoke if f.value is not None), key=lambda f: (f.value, f.row))
    closed = [f for f in valued if f.low is not None and f.high is not None and f.low < f.high]
    widest = max(closed, key=lambda f: ((f.high or 0) - (f.low or 0), f.row), default=None)
    rows = tuple(_row(f, claim) for f in findings)
    plot, means = forest.forest(findings, claim.rule), words.verdict(outcome, findings)
    ends = (valued[0], valued[-1]) if valued else None
    share = sum(f.outcome == Outcome.HOLDS for f in spoke) / len(spoke) if claim.rule.judges else ""
    if view == PUBLISHED and (each := [claim.rule.above < one < claim.rule.below for f in findings for one in _runs(f)]):
        told, share = f"{sum(each)} of {len(each)} single runs hold", sum(each) / len(each)
    places = None if plot.log or not valued else number.between(valued[0].value or 0.0, valued[-1].value or 0.0)
    flag = UNSTORED if rests_on_unstored(findings) else ""
    return Protocol(view, outcome, told, share, rows, plot, means, ends, places, widest, flag)


def _runs(f: Finding) -> list[float]:
    return [] if f.raw is None else raw.per_run(f.raw)


def _row(f: Finding, claim: Claim) -> RowView:
    stated = next((row for row in claim.rows if row.id == f.row), None)
    line = f'pytest "{f.test}"{" --full" * bool(stated and stated.full)}' if f.test else ""
    needs = words.needs(stated) if stated and line else ""
    measured = (("Figure", f.raw), ("Control", f.control_raw))
    each = tuple((name, runs.rule(one), tuple(runs.lines(one))) for name, one in measured if one is not None)
    return RowView(f, f"row-{f.claim}--{f.row}", line, needs, raw.count(f.raw), each, tuple(backing.warnings(f)))


def _control(claim: Claim, findings: Sequence[Finding]) -> Control | None:
    gap = claim.rule.assay_gap
    lower = {f.place: f.assay[1] for f in findings if f.assay and f.assay[1] is not None}
    measured = [f for f in findings if f.place in lower]
    if not measured:
        return None
    missing = sum(f.outcome == Outcome.NO_ASSAY and f.place not in lower for f in findings)
    succeeded = sum(gap is None or lower[f.place] > gap for f in measured)
    return Control(succeeded, len(measured), missing, min(measured, key=lambda f: (lower[f.place], f.row)))


def _figure(figure: Figure, index: int) -> FigureView:
    data = f"data:text/csv;charset=utf-8,{quote(figure.csv(), safe=CSV_SAFE)}"
    return FigureView(figure, f"figure-{figure.name}", inlined(figure.svg, f"g{index}", figure.title), data)


def _tally(shown: Sequence[ClaimView]) -> list[tuple[Outcome, list[ClaimView]]]:
    """Claims by their outcome under a sound protocol, in the order of outcomes."""
    return [(outcome, found) for outcome in Outcome if (found := [c for c in shown if c.verdict == outcome])]


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["typeset"] = words.typeset
    environment.globals |= {
        "FAMILIES": words.FAMILIES, "MEANINGS": words.MEANINGS, "OF_A_CLAIM": words.OF_A_CLAIM, "GLOSSARY": words.GLOSSARY,
        "text": number.text, "decimals": number.decimals, "level": number.level, "rule": words.rule, "slug": _slug,
    }  # fmt: skip
    return environment


def _slug(outcome: str) -> str:
    """An outcome as the name of a class."""
    return outcome.lower().replace(" ", "-")
