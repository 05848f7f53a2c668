"""Words: what outcomes mean, and what a claim's verdict says, for readers who have never seen this project.

    claims.toml, finding -> [words] -> page

Nothing here knows a figure that is not in a rule or a row.
"""

import math
from collections.abc import Sequence

from seeds.claims import PUBLISHED, Claim, Row
from seeds.report import number
from seeds.report.finding import Finding
from seeds.verdict import Outcome, Rule

FAMILIES = {
    "zeroshot": "Without training",
    "finetune": "Fine-tuning",
    "audit": "The report's own protocol",
    "cost": "Bytes and seconds",
}

SPEAKS_NOT = (Outcome.NO_ASSAY, Outcome.NO_SEED)

MEANINGS = {
    Outcome.HOLDS: "the whole interval lies inside the claim's region",
    Outcome.REFUTED: "the whole interval lies outside that region",
    Outcome.UNDECIDED: "the interval crosses the margin, other machines lie on either side of it, or there are too few runs",
    Outcome.BY_RUN: "judged one run at a time, as a report of one run is: some runs agree with the claim and some do not",
    Outcome.NO_ASSAY: "the control failed, or there is no original: nothing could have been lost",
    Outcome.NO_SEED: "the row asks for a size that no seed of this network has",
    Outcome.RECORDED: "measured, and not judged: the claim has no region",
}

OF_A_CLAIM = {  # of all its rows together
    Outcome.HOLDS: "every row that could speak holds",
    Outcome.REFUTED: "at least one row is refuted, which is enough against a claim about all networks",
    Outcome.UNDECIDED: "no row is refuted, and at least one is undecided",
    Outcome.BY_RUN: "no row is refuted, and at least one depends on the run",
    Outcome.NO_ASSAY: "no row could speak",
    Outcome.NO_SEED: "every row asks for a size that no seed has",
    Outcome.RECORDED: "no row is judged",
}

HUB = {"gpt2": "WikiText-2", "wikitext-2": "WikiText-2", "bert-tiny": "IMDB"}  # data that no package brings

GLOSSARY = {
    "seed": "the compact summary of a model's weights: mean and deviation of each tensor, or more. Never a random number",
    "codec": "a rule that turns weights into a seed and a seed into weights, such as moments or pca:10",
    "subject": "a trained network with its task and held-out examples. A verdict speaks of these networks only",
    "original, assembled, fresh": "the trained weights; weights rebuilt from a seed; the default random initialisation",
    "retention": (
        "quality of the assembled model above chance, over that of the original: 1 is the original, 0 is chance, and below "
        "chance it is negative. For language chance is a unigram"
    ),
    "calibrated": (
        "after fitting one temperature, and for classifiers a bias per class, on examples that are never scored: tells a "
        "model that knows nothing from one that says it too loudly"
    ),
    "control": (
        "what must succeed for a row to speak, mostly the original's own quality above chance; its lower limit has to exceed "
        "the claim's gap"
    ),
    "run": "one repetition with its own random numbers. A figure without a random part has one",
    "interval": (
        "in brackets, two-sided; a verdict tests an end of it at a level shared by the rows of a claim, so that all verdicts "
        "of a claim together err in at most 5 %. In round brackets: the range of single runs, which is no interval"
    ),
}  # fmt: skip


def typeset(told: str) -> str:
    """Text of claims and rows with true arrows and apostrophes, and no break between a number and its per cent sign."""
    return told.replace("->", "→").replace("'", "’").replace(" %", "\N{NO-BREAK SPACE}%")


def region(rule: Rule) -> str:
    """Where a figure must lie, in words."""
    above, below = number.text(rule.above), number.text(rule.below)
    if math.isfinite(rule.above) and math.isfinite(rule.below):
        return f"between {above} and {below}"
    return f"above {above}" if math.isfinite(rule.above) else f"below {below}" if rule.judges else "not judged"


def rule(claim: Claim, view: str = "") -> str:
    """The rule of a claim; of rows under the report's own protocol, that one."""
    if not claim.rule.judges:
        return f"Nothing is judged: {claim.reason}."
    if view == PUBLISHED:
        return (
            f"Each run is judged by itself, without interval or control: it agrees if its figure lies {region(claim.rule)}. A "
            "row holds if all of its runs agree, and is refuted if none does."
        )
    control = "" if claim.rule.assay_gap is None else (
        f" A row speaks only if its control is surely above {number.text(claim.rule.assay_gap)}."
    )  # fmt: skip
    return f"A row holds if its whole interval lies {region(claim.rule)}: {claim.reason}.{control}"


def needs(row: Row) -> str:
    """What a row's test needs that neither the clone nor its packages bring, in words; empty if nothing."""
    data = HUB.get(row.data or row.subject)
    return f"Needs {data} of the hub: from its local cache, or over the network with --hub; skipped without." if data else ""


def verdict(outcome: Outcome, rows: Sequence[Finding]) -> str:
    """What the outcome of these rows together says here."""
    if outcome is Outcome.BY_RUN or (rows and rows[0].view == PUBLISHED):
        return _singly(outcome, rows)
    spoke = [f for f in rows if f.outcome not in SPEAKS_NOT]
    counted = {each: sum(f.outcome == each for f in spoke) for each in Outcome}
    n, refuted, open_rows = len(spoke), counted[Outcome.REFUTED], counted[Outcome.UNDECIDED]
    told = {
        Outcome.HOLDS: f"HOLDS: {_all(n)} that could speak {_lie(n)} inside the region. This is no proof of exactly nothing.",
        Outcome.REFUTED: (
            f"REFUTED: {refuted} of {_rows(n)} that could speak {_lie(refuted)} wholly outside the region, and a claim about "
            "all networks falls with one."
        ),
        Outcome.UNDECIDED: (
            f"UNDECIDED: no row contradicts the claim, but {open_rows} of {_rows(n)} cannot be told from the margin; each says "
            "why."
        ),
        Outcome.NO_ASSAY: "NO ASSAY: no row could speak: no control succeeded.",
        Outcome.NO_SEED: "NO SUCH SEED: no seed of the asked size exists.",
        Outcome.RECORDED: "RECORDED: measured, and not judged.",
    }[outcome]
    silent = len(rows) - n
    return told + (f" {silent} of {len(rows)} rows could not speak." if silent and n else "")


def _singly(outcome: Outcome, rows: Sequence[Finding]) -> str:
    """The same of rows whose runs were judged one by one."""
    refuted, varied = (sum(f.outcome == each for f in rows) for each in (Outcome.REFUTED, Outcome.BY_RUN))
    also = f" In {varied} more, some runs agree and some do not." if varied else ""
    told = {
        Outcome.HOLDS: f"HOLDS: every run of {_all(len(rows))} agrees with the claim.",
        Outcome.REFUTED: f"REFUTED: in {refuted} of {_rows(len(rows))} no run agrees with the claim.{also}",
        Outcome.BY_RUN: (
            f"DEPENDS ON THE RUN: in {varied} of {_rows(len(rows))} some runs agree with the claim and some do not, so a "
            "report of one run says whatever its run happened to be."
        ),
    }
    return told.get(outcome, f"{outcome}: no run could be judged.")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _all(count: int) -> str:
    return "the one row" if count == 1 else f"all {count} rows"


def _lie(count: int) -> str:
    return "lies" if count == 1 else "lie"
