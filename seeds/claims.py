"""Claims: the report's statements as data, and the rows on which each is checked.

`claims.toml` holds every claim, its rule and the report's figure; `expected.toml` the outcome that each row had when it
was last looked into. A row is one claim on one subject with one codec. This module reads them and knows no networks.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seeds.verdict import Outcome, Rule, Verdict

LARGEST_PCA = "pca+vectors"  # in rows with a factor: the highest rank of that size
NO_CODEC = (LARGEST_PCA, "original", "fresh")  # what rows name besides codecs: no row is made of them for the asking
PUBLISHED, SOUND = "published", "sound"  # views: under the report's own protocol, run by run, and under a sound one
LEVEL = 0.05  # of a claim's line; its rows share it
FAMILIES = {  # by the first word of a claim's name
    "zeroshot": "zeroshot", "seed": "zeroshot", "finetune": "finetune", "budget": "finetune", "audit": "audit", "cost": "cost",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the report, restated, with the rule fixed before measuring.

    Args:
        kind: "claim", or "goal" where the report's companion files state the figure as something to reach.
    """

    name: str
    says: str
    figure: str
    unit: str
    reason: str
    rule: Rule
    kind: str = "claim"
    rows: tuple["Row", ...] = field(repr=False, default=())

    @property
    def family(self) -> str:
        """The marker of its tests: zeroshot, finetune, audit or cost."""
        return FAMILIES[self.name.partition("-")[0]]

    @property
    def source(self) -> str:
        """Who says it, in words."""
        return "the report, as a goal" if self.kind == "goal" else "the report"


@dataclass(frozen=True, slots=True)
class Row:
    """One claim on one subject with one codec.

    Args:
        view: "raw" or "calibrated", "published" or "sound"; empty where the claim has one figure only.
        data: task to measure on; empty for the subject's own.
        factor: how many times smaller than the original the seed must be; 0 where the codec fixes the size.
        runs: independent runs; 1 or more. Rows of fine-tuning may be decided earlier, at the looks of `seeds.lab`.
        samples, steps: the budget of fine-tuning; 0 for claims without.
        full: whether the row is measured with `--full` only.
        long: whether it is left out of the whole suite, and measured where its family, claim or subject is asked for.
        timed: whether seconds are in the figure, so that another machine may leave the row undecided.
        expected: the outcome found before; None for rows that are not in expected.toml, which only report.
    """

    claim: str
    subject: str
    codec: str
    runs: int
    rule: Rule
    view: str = ""
    data: str = ""
    factor: int = 0
    samples: int = 0
    steps: int = 0
    full: bool = False
    long: bool = False
    timed: bool = False
    expected: Outcome | None = None

    @property
    def id(self) -> str:
        """Unique within the claim, and usable with `pytest -k`."""
        size = f"{self.factor}x" if self.factor else ""
        return "-".join(part for part in (self.subject, self.codec, self.view, self.data, size) if part)

    def allows(self, verdict: Verdict) -> bool:
        """Whether the outcome is the expected one; any is, where none is expected.

        A timed row fails where another machine contradicts this one, and not where one of them cannot decide.
        """
        both = {verdict.outcome, self.expected}
        if self.timed and Outcome.UNDECIDED in both and both <= {Outcome.HOLDS, Outcome.REFUTED, Outcome.UNDECIDED}:
            return True
        return self.expected is None or verdict.outcome is self.expected

    def explain(self, verdict: Verdict) -> str:
        """Why a row fails, with the line that reproduces it."""
        return (
            f"{self.claim} on {self.id}: expected {self.expected}, found {verdict.explain()}\n"
            f"reproduce: pytest --claim {self.claim} --subject {self.subject} --codec {self.codec}{' --full' * self.full}"
        )


def load(claims_path: Path, expected_path: Path) -> dict[str, Claim]:
    """Every claim by name, rows in the order of the file, with a level shared by the rows of each claim.

    Raises:
        ValueError: the name of a claim does not begin with that of a family.
    """
    expected = tomllib.loads(expected_path.read_text()) if expected_path.exists() else {}
    claims = {}
    for name, table in tomllib.loads(claims_path.read_text()).items():
        if name.partition("-")[0] not in FAMILIES:
            raise ValueError(f"{claims_path}: the claim {name!r} is of no family; names begin with {', '.join(FAMILIES)}")
        drafts = [row for group in table["rows"] for row in _expand(name, group)]
        rule = Rule(
            above=table.get("above", -math.inf),
            below=table.get("below", math.inf),
            alpha=LEVEL / len(drafts),
            assay_gap=table.get("assay_gap"),
        )
        known = expected.get(name, {})
        rows = []
        for row in drafts:
            outcome = known.get(row.id)
            view_rule = replace(rule, needs_calibration=row.view == "raw")
            given = {"samples": table.get("samples", 0), "steps": table.get("steps", 0), "timed": table.get("timed", False)}
            rows.append(replace(row, rule=view_rule, expected=Outcome(outcome) if outcome else None, **given))
        texts = {key: table[key] for key in ("says", "figure", "unit", "reason")}
        claims[name] = Claim(name, **texts, rule=rule, kind=table.get("kind", "claim"), rows=tuple(rows))
    return claims


def measured(rows: Sequence[Row], full: bool, whole: bool) -> list[Row]:
    """Rows that a run measures: those for `--full` if it is given, and long ones unless it is the whole suite."""
    return [row for row in rows if full or not (row.full or (row.long and whole))]


def narrowed(rows: Sequence[Row], subjects: Sequence[str], codecs: Sequence[str], runs: int | None) -> list[Row]:
    """Rows of the named subjects and codecs; a codec that the claim does not list makes new rows that only report.

    Fewer runs than stated make a row report only, too.
    """
    kept = [row for row in rows if not subjects or row.subject in subjects]
    if codecs:
        listed = [row for row in kept if row.codec in codecs]
        pattern: dict[tuple, Row] = {}
        for row in kept:
            pattern.setdefault((row.subject, row.view, row.data), row)
        own = [
            replace(row, codec=codec, expected=None, full=False)
            for row in pattern.values()
            for codec in codecs
            if not row.factor
            and row.view not in (PUBLISHED, SOUND)
            and codec not in NO_CODEC
            and (row.subject, codec) not in {(r.subject, r.codec) for r in rows}
        ]
        kept = listed + own
    if runs is not None:
        kept = [replace(row, runs=runs, expected=row.expected if runs >= row.runs else None) for row in kept]
    return kept


def _expand(claim: str, group: dict) -> list[Row]:
    """All combinations that one `[[claim.rows]]` table lists."""
    unjudged = Rule(-math.inf, math.inf, LEVEL)
    when = {"full": group.get("full", False), "long": group.get("long", False)}
    return [
        Row(claim, subject, codec, group["runs"], unjudged, view, group.get("data", ""), factor, **when)
        for subject in group["subjects"]
        for codec in group["codecs"]
        for view in group.get("views", [""])
        for factor in group.get("factors", [0])
    ]
