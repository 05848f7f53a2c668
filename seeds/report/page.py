"""The page: reports/index.html, one file that needs no network, from the stored rows alone.

    claims.json, figures -> [page] -> reports/index.html

The same rows and figures give the same bytes. Every number on the page is in a <data> element with its stored value, beside
the id of its row; whatever does not follow from the runs that are stored with it is marked. The templates hold the layout and
no figure; this module prepares what they show.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from seeds.claims import PUBLISHED, SOUND, Claim
from seeds.figures.figure import Figure
from seeds.report import answer, forest, number, raw, words
from seeds.report.finding import Finding
from seeds.report.inline import Inline, inlined
from seeds.report.line import grouped, overall, protocols
from seeds.verdict import Outcome

if TYPE_CHECKING:
    from jinja2 import Environment

    from seeds.report.claims_file import Results

TEMPLATES = Path(__file__).with_name("templates")
FIRST_ROWS = 12  # of a figure's data; all of them are in its CSV
BESIDE = ("README.md", "claims.json", "claims.schema.json", "zero_shot_results.json", "LOG.md")  # in the page's folder
CSV_SAFE = ",:;+/()"  # characters that a data: address takes as they are
SPEAKS_NOT = (Outcome.NO_ASSAY, Outcome.NO_SEED)


@dataclass(frozen=True, slots=True)
class RowView:
    """One row as the templates show it."""

    finding: Finding
    anchor: str
    figure: str
    pytest: str
    runs: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rows of a claim under one protocol, and what they come to.

    Args:
        share: of the rows that hold, among those that could speak; empty if none could.
        range: the rows with the least and the largest figure, to be shown with so many `places`.
        widest: the row with the widest interval.
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


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One line of the table. `published` is there where the claim is measured under the report's own protocol, too."""

    claim: Claim
    anchor: str
    sound: Protocol
    published: Protocol | None
    control: tuple[int, int, Finding, Finding] | None
    figures: tuple["FigureView", ...]
    warnings: int

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
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        claims=shown,
        answer=answer.sentences(by_claim, {name: claims[name].family for name in by_claim}),
        tally=_tally(shown),
        subjects=sorted({f.subject for rows in by_claim.values() for f in rows}),
        rows=sum(map(len, by_claim.values())),
        runs=sum(raw.count(f.raw) for rows in by_claim.values() for f in rows),
        warnings=sum(c.warnings for c in shown),
        figures=drawn,
        rows_of=Counter(f.session for rows in by_claim.values() for f in rows),
        sessions={name: asdict(one) for name, one in sorted(results.sessions.items())},
        beside=BESIDE, script=script, digest=digest, first_rows=FIRST_ROWS,
    )  # fmt: skip


def _claim(claim: Claim, findings: Sequence[Finding], drawn: Sequence[FigureView]) -> ClaimView:
    twice = protocols(findings)
    published = _protocol(claim, [f for f in findings if f.view == PUBLISHED], PUBLISHED) if PUBLISHED in twice else None
    sound = _protocol(claim, [f for f in findings if f.view != PUBLISHED], SOUND if twice else "")
    figures = tuple(f for f in drawn if claim.name in f.figure.claims)
    warnings = sum(bool(row.warnings) for p in (published, sound) if p for row in p.rows)
    return ClaimView(claim, f"claim-{claim.name}", sound, published, _control(findings), figures, warnings)


def _protocol(claim: Claim, findings: Sequence[Finding], view: str) -> Protocol:
    outcome, told = overall(findings)
    spoke = [f for f in findings if f.outcome not in SPEAKS_NOT] or findings
    valued = sorted((f for f in spoke if f.value is not None), key=lambda f: (f.value, f.row))
    closed = [f for f in valued if f.low is not None and f.high is not None and f.low < f.high]
    widest = max(closed, key=lambda f: ((f.high or 0) - (f.low or 0), f.row), default=None)
    rows = tuple(_row(f, claim) for f in findings)
    plot, means = forest.forest(findings, claim.rule), words.verdict(outcome, findings)
    ends = (valued[0], valued[-1]) if valued else None
    share = sum(f.outcome == Outcome.HOLDS for f in spoke) / len(spoke) if claim.rule.judges else ""
    places = None if plot.log or not valued else number.between(valued[0].value or 0.0, valued[-1].value or 0.0)
    return Protocol(view, outcome, told, share, rows, plot, means, ends, places, widest)


def _row(f: Finding, claim: Claim) -> RowView:
    full = any(row.full for row in claim.rows if row.id == f.row)
    line = f'pytest "{f.test}"{" --full" * full}' if f.test else ""
    return RowView(f, f"row-{f.claim}--{f.row}", forest.told(f), line, raw.count(f.raw), tuple(_warnings(f)))


def _warnings(f: Finding) -> Iterator[str]:
    """What of a row does not follow from the runs stored with it, up to the rounding that `seeds.report.raw` allows."""
    told = (("figure", f.value, f.raw), ("control", f.assay[0] if f.assay else None, f.control_raw))
    unbacked = [name for name, stored, runs in told if stored is not None and runs is None]
    if unbacked:
        yield f"No runs are stored for the {' and the '.join(unbacked)}."
    for name, stored, runs in told:
        if stored is not None and runs is not None and not raw.follows(stored, runs):
            yield f"The {name} {stored:g} does not follow from the stored runs: they give {raw.value(runs):.6g}."


def _control(findings: Sequence[Finding]) -> tuple[int, int, Finding, Finding] | None:
    """How many controls succeeded, of how many, and those with the least and the largest figure."""
    asked = [f for f in findings if f.assay is not None or f.outcome == Outcome.NO_ASSAY]
    valued = sorted((f for f in asked if f.assay and f.assay[0] is not None), key=lambda f: (f.assay, f.row))
    if not valued:
        return None
    return sum(f.outcome != Outcome.NO_ASSAY for f in asked), len(asked), valued[0], valued[-1]


def _figure(figure: Figure, index: int) -> FigureView:
    data = f"data:text/csv;charset=utf-8,{quote(figure.csv(), safe=CSV_SAFE)}"
    return FigureView(figure, f"figure-{figure.name}", inlined(figure.svg, f"g{index}", figure.title), data)


def _tally(shown: Sequence[ClaimView]) -> list[tuple[Outcome, list[ClaimView]]]:
    """Claims by their outcome under a sound protocol, in the order of outcomes."""
    return [(outcome, found) for outcome in Outcome if (found := [c for c in shown if c.sound.outcome is outcome])]


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["typeset"] = words.typeset
    environment.globals |= {
        "FAMILIES": words.FAMILIES, "MEANINGS": words.MEANINGS, "OF_A_CLAIM": words.OF_A_CLAIM, "GLOSSARY": words.GLOSSARY,
        "text": number.text, "decimals": number.decimals, "told": forest.told, "rule": words.rule, "slug": _slug,
    }  # fmt: skip
    return environment


def _slug(outcome: str) -> str:
    """An outcome as the name of a class."""
    return outcome.lower().replace(" ", "-")
