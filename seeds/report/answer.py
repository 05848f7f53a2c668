"""The answer: three sentences whose every number is found in the rows by a rule, and leads to its row.

    findings -> [answer] -> page

A sentence whose rows were not measured says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seeds.claims import PUBLISHED
from seeds.report import number
from seeds.report.finding import Finding
from seeds.report.line import overall
from seeds.verdict import Outcome

KNOWS_NOTHING = ("zeroshot-accuracy", "zeroshot-perplexity")  # claims whose figure is retention
STRUCTURE = "zeroshot-structure"  # whose note `retention` is that of the largest PCA seed of a size
MOMENTS, PCA, RAW = "moments", "pca", "raw"
SMALLER = (2, 10)  # times
SAID = {
    Outcome.HOLDS: ("holds", "hold"),
    Outcome.REFUTED: ("is refuted", "are refuted"),
    Outcome.UNDECIDED: ("is undecided", "are undecided"),
    Outcome.NO_ASSAY: ("could not be tested", "could not be tested"),
    Outcome.RECORDED: ("is recorded without a verdict", "are recorded without a verdict"),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of a sentence; a number comes with the row that it is from, or with the outcome that it counts."""

    text: str
    row: Finding | None = None
    outcome: str = ""
    family: str = ""


Sentence = tuple[Piece, ...]


def sentences(by_claim: Mapping[str, Sequence[Finding]], families: Mapping[str, str]) -> tuple[Sentence, ...]:
    """What was found, in three sentences."""
    return _verdicts(by_claim, families), _moments(by_claim), _components(by_claim)


def _verdicts(by_claim: Mapping[str, Sequence[Finding]], families: Mapping[str, str]) -> Sentence:
    sound = [overall([f for f in rows if f.view != PUBLISHED])[0] for rows in by_claim.values()]
    if not sound:
        return (Piece("No claim has been measured."),)
    repeated = [rows for name, rows in by_claim.items() if families[name] == "audit"]
    pieces = [Piece(f"Of the report's {len(sound)} claims, ")]
    counts = [(outcome, sound.count(outcome)) for outcome in SAID if outcome in sound]
    for place, (outcome, count) in enumerate(counts):
        joint = "" if place == 0 else " and " if place == len(counts) - 1 else ", "
        pieces += [Piece(joint), Piece(str(count), outcome=str(outcome)), Piece(f" {SAID[outcome][count > 1]}")]
    if repeated:
        fragile = sum(overall([f for f in rows if f.view == PUBLISHED])[0] is Outcome.BY_RUN for rows in repeated)
        told = f" of its {len(repeated)} headlines {'depends' if fragile == 1 else 'depend'} on which single run is shown"
        pieces += [Piece("; by its own protocol, "), Piece(str(fragile), family="audit"), Piece(told)]
    return (*pieces, Piece("."))


def _moments(by_claim: Mapping[str, Sequence[Finding]]) -> Sentence:
    """The row with the largest upper limit, of all rows of moments that could speak; of two views, the calibrated one."""
    rows = [
        f for name in KNOWS_NOTHING for f in by_claim.get(name, ())
        if f.codec == MOMENTS and not f.row.endswith(f"-{RAW}") and f.high is not None and f.outcome != Outcome.NO_ASSAY
    ]  # fmt: skip
    if not rows:
        return (Piece("What a seed of means and standard deviations keeps was not measured."),)
    most = max(rows, key=lambda f: (f.high or 0.0, f.row))
    subjects = len({f.subject for f in rows})
    return (
        Piece("Untrained, a seed of means and standard deviations keeps at most "),
        Piece(number.percent(max(0.0, most.high or 0.0), up=True), row=most),
        Piece(f" of what the original knows (the largest upper limit of {subjects} networks, {most.subject}'s)."),
    )


def _components(by_claim: Mapping[str, Sequence[Finding]]) -> Sentence:
    """The PCA seed that keeps most, among those that are so many times smaller than the weights."""
    best = {times: row for times in SMALLER if (row := _best(by_claim.get(STRUCTURE, ()), times)) is not None}
    if not best:
        return (Piece("What a seed with PCA components keeps was not measured."),)
    pieces = []
    for place, (times, row) in enumerate(best.items()):
        seed = float(row.notes["size_bytes"])
        pieces += [
            Piece("; at " if place else "The best PCA seed at "),
            Piece(f"least {times} times smaller{', the best' if place else ' than the weights'} keeps "),
            Piece(number.percent(float(row.notes["retention"])), row=row),
            Piece(f" of what {row.subject} knows, in "),
            Piece(number.size(seed), row=row),
            Piece(f" instead of {number.size(seed * float(row.notes['times_smaller']))}"),
        ]
    return (*pieces, Piece("."))


def _best(rows: Sequence[Finding], times: int) -> Finding | None:
    told = [f for f in rows if f.codec.startswith(PCA) and {"retention", "times_smaller", "size_bytes"} <= f.notes.keys()]
    fit = [f for f in told if float(f.notes["times_smaller"]) >= times]
    return max(fit, key=lambda f: (float(f.notes["retention"]), f.row), default=None)
