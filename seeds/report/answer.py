"""The answer: four sentences whose every number is found in the rows by a rule, and leads to its row.

    findings -> [answer] -> page

First what a seed keeps by itself, which answers the question of the title; then what larger seeds keep, those with components
and those of any codec; then the verdicts. A best seed comes with its interval and with what it is the largest of. A sentence
whose rows were not measured says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seeds.claims import PUBLISHED, Claim
from seeds.report import number
from seeds.report.finding import Finding
from seeds.report.line import overall, rests_on_unstored
from seeds.report.words import SPEAKS_NOT
from seeds.verdict import Outcome

KNOWS_NOTHING = ("zeroshot-accuracy", "zeroshot-perplexity")  # claims whose figure is retention
STRUCTURE = "zeroshot-structure"  # whose note `retention` is that of the largest PCA seed of a size
RETENTIONS = (*KNOWS_NOTHING, STRUCTURE, "zeroshot-ladder")  # claims with seeds of every codec
MOMENTS, PCA, RAW = "moments", "pca", "raw"  # how names of codecs begin, and the view of accuracy as it comes
SMALLER = (2, 10)  # times, for seeds with components
MUCH_SMALLER = 10  # times, for seeds of any codec
SAID = {
    Outcome.HOLDS: ("holds", "hold"),
    Outcome.REFUTED: ("is refuted", "are refuted"),
    Outcome.UNDECIDED: ("is undecided", "are undecided"),
    Outcome.BY_RUN: ("depends on the run", "depend on the run"),
    Outcome.NO_ASSAY: ("could not be tested", "could not be tested"),
    Outcome.NO_SEED: ("asks for seeds that do not exist", "ask for seeds that do not exist"),
    Outcome.RECORDED: ("is recorded without a verdict", "are recorded without a verdict"),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of a sentence; a number comes with its `value`, and leads to the row that it is from or filters the table.

    Args:
        up: whether the text is rounded up, as an upper limit is.
        filter: what it counts, as the address of the table has it: "verdict=HOLDS".
    """

    text: str
    value: float | None = None
    row: Finding | None = None
    up: bool = False
    filter: str = ""


Sentence = tuple[Piece, ...]


def sentences(by_claim: Mapping[str, Sequence[Finding]], claims: Mapping[str, Claim]) -> tuple[Sentence, ...]:
    """What was found, in four sentences.

    Args:
        by_claim: findings of the claims that have any.
        claims: all of them, measured or not.
    """
    return _moments(by_claim), _components(by_claim), _any_codec(by_claim), _verdicts(by_claim, claims)


def _moments(by_claim: Mapping[str, Sequence[Finding]]) -> Sentence:
    """The rows with the largest upper limits, of all seeds of moments that could speak: calibrated, and as they come."""
    rows = [
        f for name in KNOWS_NOTHING for f in by_claim.get(name, ())
        if f.codec.startswith(MOMENTS) and f.view != PUBLISHED and Outcome(f.outcome) not in SPEAKS_NOT
    ]  # fmt: skip
    calibrated, raw = [f for f in rows if f.view != RAW], [f for f in rows if f.view == RAW]
    if not calibrated:
        return (Piece("What a seed of means and standard deviations keeps was not measured."),)
    named = [max(each, key=_upper) for each in (calibrated, raw) if each]
    pieces = [Piece(f"{_plainly(calibrated)}: untrained, seeds of means and standard deviations keep "), *_limit(named[0])]
    pieces.append(Piece(" of what the original knows, once calibrated"))
    if raw:
        pieces += [Piece(", and "), *_limit(named[1]), Piece(" of its accuracy as they come")]
    pieces += [Piece(f" (the largest upper limit{'s' * (len(named) > 1)} of "), *_counted(len(rows), "row"), Piece(" on ")]
    pieces += [*_networks(rows), Piece(", of intervals at "), *_levels(named), Piece(").")]
    return tuple(pieces)


def _plainly(rows: Sequence[Finding]) -> str:
    """The answer to the title, as far as seeds of moments give it: they replace nothing where every row holds."""
    outcomes = {f.outcome for f in rows}
    return "In part" if Outcome.REFUTED in outcomes else "Not by itself" if outcomes == {Outcome.HOLDS} else "Not decided"


def _upper(f: Finding) -> tuple[float, str]:
    return float("inf") if f.high is None else f.high, f.row


def _limit(f: Finding) -> Sentence:
    if f.high is None:
        return (Piece("a share without upper limit", row=f),)
    return Piece("at most "), Piece(number.percent(max(0.0, f.high), up=True), f.high, f, up=True)


def _levels(rows: Sequence[Finding]) -> Sentence:
    """The levels of these rows, each once."""
    by_level = {f.level: f for f in rows if f.level is not None}
    told = [Piece(number.level(level), level, f) for level, f in by_level.items()]
    return (told[0], Piece(" and "), told[1]) if len(told) == 2 else tuple(told)


def _counted(count: int, thing: str) -> Sentence:
    return Piece(str(count), count), Piece(f" {thing}{'s' * (count != 1)}")


def _components(by_claim: Mapping[str, Sequence[Finding]]) -> Sentence:
    """The PCA seed that keeps most, among those that are so many times smaller than the weights."""
    seeds = [f for f in _sized(by_claim, (STRUCTURE,)) if f.codec.startswith(PCA)]
    best = {times: fit for times in SMALLER if (fit := _smaller(seeds, times))}
    if not best:
        return (Piece("What a seed with PCA components keeps was not measured."),)
    pieces = []
    for place, (times, fit) in enumerate(best.items()):
        pieces += [
            Piece("; at " if place else "With PCA components, the best seed at "),
            Piece(f"least {times} times smaller{', the best' if place else ' than the weights'} keeps "),
            *_kept(fit[0]), Piece(", "), *_sizes(fit[0]), Piece(", the largest over "), *_networks(fit),
        ]  # fmt: skip
    return (*pieces, *_at_levels([fit[0] for fit in best.values()]))


def _any_codec(by_claim: Mapping[str, Sequence[Finding]]) -> Sentence:
    """The seed that keeps most of all that are many times smaller than the weights, whatever its codec."""
    fit = _smaller(_sized(by_claim, RETENTIONS), MUCH_SMALLER)
    if not fit:
        return (Piece("What a much smaller seed of any codec keeps was not measured."),)
    best, times = fit[0], float(fit[0].notes["times_smaller"])
    return (
        Piece(f"Of any codec, the best seed at least {MUCH_SMALLER} times smaller keeps, untrained and calibrated, "),
        *_kept(best),
        Piece(f": {best.codec}, "), Piece(number.text(times), times, best),
        Piece(" times smaller, "), *_sizes(best), Piece(", the largest over "), *_counted(len(fit), "seed"), Piece(" of "),
        *_networks(fit), *_at_levels([best]),
    )  # fmt: skip


def _sized(by_claim: Mapping[str, Sequence[Finding]], names: Sequence[str]) -> list[Finding]:
    """Rows of these claims that could speak and tell what a seed keeps, calibrated, and its size."""
    rows = [f for name in names for f in by_claim.get(name, ()) if f.view not in (RAW, PUBLISHED)]
    told = {"retention", "times_smaller", "size_bytes"}
    return [f for f in rows if told <= f.notes.keys() and Outcome(f.outcome) not in SPEAKS_NOT]


def _smaller(rows: Sequence[Finding], times: int) -> list[Finding]:
    """Those that are so many times smaller, the one that keeps most first."""
    fit = [f for f in rows if float(f.notes["times_smaller"]) >= times]
    return sorted(fit, key=lambda f: (float(f.notes["retention"]), f.row), reverse=True)


def _kept(f: Finding) -> Sentence:
    """What a seed keeps, with its interval; where the row's figure is its lead over moments, with that and its interval."""
    kept = float(f.notes["retention"])
    share, known = Piece(number.percent(kept), kept, f), Piece(f" of what {f.subject} knows")
    if f.value is None or f.claim != STRUCTURE:
        return share, Piece(" "), *_interval(f), known
    return (
        share,
        known,
        Piece(" (a lead over moments of "),
        Piece(number.percent(f.value), f.value, f),
        Piece(" "),
        *_interval(f),
        Piece(")"),
    )


def _interval(f: Finding) -> Sentence:
    low, high = (
        Piece(sign + "∞") if end is None else Piece(number.percent(end), end, f) for end, sign in ((f.low, "−"), (f.high, ""))
    )
    return Piece("["), low, Piece(", "), high, Piece("]")


def _sizes(f: Finding) -> Sentence:
    seed = float(f.notes["size_bytes"])
    weights = seed * float(f.notes["times_smaller"])
    return Piece("in "), Piece(number.size(seed), seed, f), Piece(" instead of "), Piece(number.size(weights), weights, f)


def _networks(rows: Sequence[Finding]) -> Sentence:
    return _counted(len({f.subject for f in rows}), "network")


def _at_levels(rows: Sequence[Finding]) -> Sentence:
    told = _levels(rows)
    return (Piece(" (intervals at "), *told, Piece(").")) if told else (Piece("."),)


def _verdicts(by_claim: Mapping[str, Sequence[Finding]], claims: Mapping[str, Claim]) -> Sentence:
    """Claims by their outcome under a sound protocol, and the headlines that one run decides."""
    lines = [rows for every in by_claim.values() if (rows := [f for f in every if f.view != PUBLISHED])]
    sound = [overall(rows)[0] for rows in lines]
    unstored = [overall(rows)[0] for rows in lines if rests_on_unstored(rows)]
    if not sound:
        return (Piece("No claim has been measured."),)
    pieces = [Piece("Of "), *_counted(len(claims), "claim"), Piece(", ")]
    if len(sound) < len(claims):
        pieces += [Piece(str(len(sound)), len(sound)), Piece(f" {'was' if len(sound) == 1 else 'were'} measured: ")]
    counts = [(outcome, sound.count(outcome)) for outcome in SAID if outcome in sound]
    for place, (outcome, count) in enumerate(counts):
        joint = "" if place == 0 else " and " if place == len(counts) - 1 else ", "
        pieces += [Piece(joint), Piece(str(count), count, filter=f"verdict={outcome}"), Piece(f" {SAID[outcome][count > 1]}")]
        if resting := unstored.count(outcome):
            pieces += [Piece(" (of these, "), Piece(str(resting), resting), Piece(" by rows whose runs are not stored)")]
    return (*pieces, *_headlines(by_claim), Piece("."))


def _headlines(by_claim: Mapping[str, Sequence[Finding]]) -> Sentence:
    """How many claims that were measured under the report's own protocol come to depend on the run there, as in the table."""
    own = [rows for every in by_claim.values() if (rows := [f for f in every if f.view == PUBLISHED])]
    if not own:
        return ()
    fragile = sum(overall(rows)[0] is Outcome.BY_RUN for rows in own)
    return (
        Piece("; by the report’s own protocol, "),
        Piece(str(fragile), fragile, filter="family=audit"),
        Piece(" of "),
        *_counted(len(own), "headline"),
        Piece(f" {'depends' if fragile == 1 else 'depend'} on which single run is shown"),
    )
