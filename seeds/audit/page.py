"""The page of the audit: the published and the sound protocol side by side, and the ledger.

verdicts of the audit's claims, findings -> [page] -> reports/audit/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seeds import hub
from seeds.audit import findings
from seeds.audit.findings import (
    AuditFinding,
    FaultFinding,
    FiguresFinding,
    HeadsFinding,
    LedgerFinding,
    PadsFinding,
    of_kind,
)
from seeds.audit.heads import Heads, extreme
from seeds.audit.slices import TOKENS
from seeds.claims import PUBLISHED, SOUND, Claim
from seeds.file import alone, write_whole
from seeds.report import claims_file
from seeds.report.finding import Finding

HEAD: str = """\
# The report's protocol, fault by fault

Generated, do not edit. *Published* is the report's own protocol with all its faults; as the report has one run and no
interval, each of our runs is judged by itself: mean (smallest to largest), and how many hold. *Sound* has none of the
faults: value [interval], judged like every other claim. `seeds/audit/protocol.py` says what the switches are.

Reviews: {reviews} of each class, cut at {tokens} tokens ({few} under heads and tiny budgets). WikiText-2: {rows} rows with
text and half as many without, cut and padded to {tokens}; {calibration} and half as many to calibrate on. Documentation: half
of the paragraphs of its tasks. The original weights of GPT-2 and BERT-tiny are in no row unless it says so: without a hub
only their moments are at hand."""
LEDGER: str = """
## The ledger

Shapley shares of the faults in the difference between both protocols, with 95 % intervals over runs. *Alone*: turned on in
the sound protocol; *last*: with all the others there. Material (bold): surely beyond a twentieth of the effect, which is
little where shares cancel. The two ends have intervals over examples where nothing is drawn; effect and shares
take the examples as given.

![Shares](../figures/audit-ledger.svg)"""
FAULTS: str = """
## Each fault is found

Turned on in the sound protocol, a check finds it by its evidence. *Changes*: verdicts of the sound protocol that it alone
changes. *Without it*: verdicts of the published one that leaving it out changes, judged run by run while `one run` is there.
The first row of each headline stands for it; `tiny-budget` is left out.

| | fault | evidence | changes | without it |
|---|---|---|---|---|"""
HEADS: str = """
## Untrained heads

![Accuracies](../figures/audit-heads.svg)

| bodies | within 1 % of 0 or 1 on one class | balanced | times as spread | ends, balanced | as far apart as two originals |
|---|---|---|---|---|---|"""
PADS: str = """
## Perplexity over the share of pads

![Perplexity](../figures/audit-pads.svg)"""
FIGURES: str = """
## Single figures

Sizes and magnitudes that follow from one another, or do not. Sizes of seeds are in KB of 1,024 bytes.

| figure | | stated | found | |
|---|---|---|---|---|"""
PREFIX = "audit-"  # of the claims that are measured twice


def write(verdicts: Path, claims: Mapping[str, Claim], folder: Path) -> list[Path]:
    """Writes the page of all stored findings.

    Args:
        verdicts: folder of the claims' JSON file.
    """
    with alone(folder):
        stored = claims_file.read(verdicts).findings
        audited = {name: [f for f in stored if f.claim == name] for name in claims if name.startswith(PREFIX)}
        write_whole(folder / "README.md", page(findings.read_all(folder), audited, claims).encode())
    return [folder / "README.md"]


def page(every: Sequence[AuditFinding], audited: Mapping[str, Sequence[Finding]], claims: Mapping[str, Claim]) -> str:
    """Markdown: the headlines twice, the ledger, the faults one by one, the heads and the pads."""
    sizes = {"reviews": hub.REVIEWS, "few": hub.REVIEW_TOKENS, "tokens": TOKENS, **hub.ROWS}
    lines = HEAD.format(**{"rows": sizes.pop("test")} | sizes).splitlines()
    sections = (
        _side_by_side(audited, claims), _ledgers(of_kind(every, LedgerFinding)), _faults(of_kind(every, FaultFinding)),
        _heads(of_kind(every, HeadsFinding)), _pads(of_kind(every, PadsFinding)), _figures(of_kind(every, FiguresFinding)),
    )  # fmt: skip
    return "\n".join([*lines, *(line for section in sections for line in section)]) + "\n"


def _side_by_side(audited: Mapping[str, Sequence[Finding]], claims: Mapping[str, Claim]) -> list[str]:
    lines = ["", "## The headlines, twice"]
    for name, rows in audited.items():
        if not rows:
            continue
        claim = claims[name]
        lines += ["", f"### {name}", "", f"The report: {claim.says} ({claim.figure}). Measured: {claim.unit};"]
        lines += [f"holds if {claim.rule.region}.", "", "| | published, run by run | | sound | |", "|---|---|---|---|---|"]
        pairs: dict[tuple[str, str], dict[str, Finding]] = {}
        for row in rows:
            pairs.setdefault((row.subject, row.codec), {})[row.view] = row
        for (subject, codec), views in pairs.items():
            cells = [_cells(views.get(view)) for view in (PUBLISHED, SOUND)]
            lines.append(f"| {subject}, {codec} | {' | '.join(cells)} |")
    return lines


def _cells(row: Finding | None) -> str:
    if row is None:
        return "not measured | "
    told = f"**{row.outcome}**" + (f", {row.reason}" if row.view == PUBLISHED else "")
    perplexities = [row.notes.get(f"{end}_perplexity") for end in ("least", "largest")]
    extra = f"; perplexity {perplexities[0]:.3g} to {perplexities[1]:.3g}" if all(perplexities) else ""
    if (louder := row.notes.get("nats_over_fresh_as_they_come")) is not None:
        extra += f"; as they come {louder:.3g} nats over fresh"
    extra += f"; seed {times:,.3g} times smaller" if (times := row.notes.get("times_smaller")) else ""
    return f"{row.figure}{extra} | {told}"


def _ledgers(found: Sequence[LedgerFinding]) -> list[str]:
    lines = LEDGER.splitlines() if found else []
    for one in found:
        lines += ["", f"### {one.subject}: {one.unit}", ""]
        ends = {"Sound": one.sound, "published": one.published, "effect": one.effect}
        lines += [f"{', '.join(f'{name} {_interval(e)}' for name, e in ends.items())}; {one.runs} runs.", ""]
        lines += ["| fault | share | alone | last |", "|---|---|---|---|"]
        for s in one.shares:
            lines.append(f"| {_words(s.fault, s.material)} | {_interval(s.share)} | {s.alone[0]:.3g} | {s.last[0]:.3g} |")
    return lines


def _faults(found: Sequence[FaultFinding]) -> list[str]:
    lines = FAULTS.splitlines() if found else []
    for f in found:
        changes, without = ("<br>".join(told).replace(PREFIX, "") or "nothing" for told in (f.changes, f.without))
        lines.append(f"| {f.subject} | {_words(f.fault, f.material)} | {f.evidence} | {changes} | {without} |")
    return lines


def _heads(found: Sequence[HeadsFinding]) -> list[str]:
    lines = HEADS.splitlines() if found else []
    for f in found:
        one_class, balanced = np.array(f.one_class), np.array(f.balanced)
        spread = Heads(f.arm, one_class, balanced).times_as_spread
        pairs = f"{f.apart[0]:.0%} of pairs, balanced {f.apart[1]:.0%}"
        ends = f"{balanced.min():.3f}, {balanced.max():.3f}"
        lines.append(f"| {f.arm} | {extreme(one_class):.1%} | {extreme(balanced):.1%} | {spread:.1f} | {ends} | {pairs} |")
    return lines


def _pads(found: Sequence[PadsFinding]) -> list[str]:
    return PADS.splitlines() if found else []


def _figures(found: Sequence[FiguresFinding]) -> list[str]:
    lines = FIGURES.splitlines() if found else []
    for name, says, stated, value, unit in (line for one in found for line in one.lines):
        told = "" if stated is None else f"{stated:,.6g}"
        lines.append(f"| {name} | {says} | {told} | {value:,.6g} | {unit} |")
    return lines


def _interval(ends: tuple[float, float, float]) -> str:
    return f"{ends[0]:.3g} [{ends[1]:.3g}, {ends[2]:.3g}]"


def _words(fault: str, material: bool | None) -> str:
    words = fault.replace("_", " ")
    return f"**{words}**" if material else words
