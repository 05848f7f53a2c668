"""The answer of the page: sentences written out by hand for rows made by hand, so that no rule is repeated here."""

from dataclasses import replace

import pytest

from seeds.claims import PUBLISHED
from seeds.report import answer
from seeds.report.finding import Finding
from seeds.verdict import Outcome
from tests.pages import CLAIMS, results

ROW = results().findings[0]


def row(claim: str, name: str, outcome: Outcome = Outcome.HOLDS, **fields) -> Finding:
    """A row of that claim; its codec and subject stand in its name: "net moments"."""
    subject, _, codec = name.partition(" ")
    told = {"view": "", "value": 0.0, "low": -0.1, "high": 0.01, "level": 0.99, "notes": {}, **fields}
    return replace(ROW, claim=claim, row=name, subject=subject, codec=codec, outcome=str(outcome), **told)


def sentences(*rows: Finding, claims=CLAIMS) -> list[str]:
    """The answer as text."""
    by_claim: dict[str, list[Finding]] = {}
    for f in rows:
        by_claim.setdefault(f.claim, []).append(f)
    return ["".join(piece.text for piece in sentence) for sentence in answer.sentences(by_claim, claims)]


def accuracy(name: str, high: float | None, view: str = "calibrated", **fields) -> Finding:
    return row("zeroshot-accuracy", name, high=high, view=view, **fields)


# -- what a seed keeps by itself ------------------------------------------------------------------------------------------


def test_the_largest_upper_limits_are_named_of_every_seed_of_moments_and_of_both_views():
    said, *_ = sentences(
        accuracy("mlp moments", 0.0131),
        accuracy("mlp moments:global", 0.0157),
        accuracy("cnn moments+vectors", 0.0142),
        accuracy("cnn moments", 0.0366, view="raw"),
        accuracy("bert moments+vectors", 0.06225, view="raw"),
        row("zeroshot-perplexity", "gpt moments", high=-0.4),
        accuracy("tiny moments", 0.9, outcome=Outcome.NO_ASSAY),
        accuracy("mlp pca:10", 0.99),
        row("zeroshot-structure", "mlp moments", high=0.98),
    )
    assert said == (
        "Not by itself: untrained, seeds of means and standard deviations keep at most 1.6 % of what the original knows, once "
        "calibrated, and at most 6.3 % of its accuracy as they come (the largest upper limits of 6 rows on 4 networks, of "
        "intervals at 99 %)."
    )


def test_an_infinite_upper_limit_is_the_largest():
    said, *_ = sentences(accuracy("mlp moments", 0.01), accuracy("cnn moments", None, outcome=Outcome.UNDECIDED))
    assert said.startswith("Not decided: untrained, seeds of means and standard deviations keep a share without upper limit of")


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ([Outcome.HOLDS, Outcome.HOLDS], "Not by itself"), ([Outcome.HOLDS, Outcome.UNDECIDED], "Not decided"),
        ([Outcome.HOLDS, Outcome.REFUTED], "In part"), ([Outcome.UNDECIDED, Outcome.REFUTED], "In part"),
    ],
)  # fmt: skip
def test_the_title_is_answered_in_a_word_that_the_rows_choose(outcomes, told):
    said, *_ = sentences(*(accuracy(f"net{i} moments", 0.01, outcome=o) for i, o in enumerate(outcomes)))
    assert said.startswith(f"{told}: untrained")


def test_levels_that_differ_are_both_told():
    said, *_ = sentences(accuracy("mlp moments", 0.01), accuracy("mlp moments", 0.02, view="raw", level=0.9753))
    assert said.endswith("(the largest upper limits of 2 rows on 1 network, of intervals at 99 % and 97.53 %).")


# -- what larger seeds keep -------------------------------------------------------------------------------------------------


def test_the_best_components_are_named_for_each_size_with_their_bytes():
    notes = [(0.5, 3.0, 2000, 0.6), (0.9, 1.5, 4000, 1.0), (0.3, 2.0, 3000, 0.4), (0.104, 12.5, 800, None)]
    _, said, *_ = sentences(*(
        row("zeroshot-structure", f"net{i} pca+vectors", value=r - 0.01, low=r - 0.2, high=high, **seed(r, t, s))
        for i, (r, t, s, high) in enumerate(notes)
    ))  # fmt: skip
    assert said == (
        "With PCA components, the best seed at least 2 times smaller than the weights keeps 50.0 % of what net0 knows (a lead "
        "over moments of 49.0 % [30.0 %, 60.0 %]), in 2 kB instead of 6 kB, the largest over 3 networks; at least 10 times "
        "smaller, the best keeps 10.4 % of what net3 knows (a lead over moments of 9.4 % [−9.6 %, ∞]), in 800 bytes instead of "
        "10 kB, the largest over 1 network (intervals at 99 %)."
    )


def seed(retention: float, times_smaller: float, size_bytes: int) -> dict:
    return {"notes": {"retention": retention, "times_smaller": times_smaller, "size_bytes": size_bytes}}


def test_the_best_of_any_codec_is_named_with_its_interval_and_with_what_it_is_the_largest_of():
    """Of all claims on what is kept, and of seeds that are small enough and could speak; not of accuracy as it comes."""
    ladder = "zeroshot-ladder"
    *_, said, _ = sentences(
        row(ladder, "cnn signs+vectors", value=0.9, low=0.85, high=0.95, **seed(0.9, 20, 5000)),
        row(ladder, "mlp signs+vectors", value=0.7, low=0.65, high=0.75, **seed(0.7, 16, 5000)),
        row(ladder, "cnn float16", **seed(0.99, 9.9, 5000)),
        row(ladder, "bert signs+vectors", outcome=Outcome.NO_ASSAY, **seed(0.97, 20, 5000)),
        row("zeroshot-structure", "gpt pca+vectors", **seed(0.2, 10, 5000)),
        accuracy("cnn moments", 0.1, **seed(0.01, 100, 500)),
        accuracy("tiny moments", 0.1, view="raw", **seed(0.98, 100, 500)),
    )
    assert said == (
        "Of any codec, the best seed at least 10 times smaller keeps, untrained and calibrated, 90.0 % [85.0 %, 95.0 %] of "
        "what cnn knows: signs+vectors, 20 times smaller, in 5 kB instead of 100 kB, the largest over 4 seeds of 3 networks "
        "(intervals at 99 %)."
    )


# -- verdicts -----------------------------------------------------------------------------------------------------------------


def test_claims_are_counted_by_their_sound_rows_and_out_of_all_claims():
    *_, said = sentences(
        row("zeroshot-accuracy", "net moments"),
        row("seed-size", "net moments", Outcome.REFUTED),
        row("zeroshot-structure", "net pca", Outcome.NO_SEED),
        row("audit-accuracy", "net pca", Outcome.REFUTED, view="sound"),
        row("audit-accuracy", "net pca one", Outcome.HOLDS, view=PUBLISHED),
        row("audit-original", "net original", Outcome.BY_RUN, view=PUBLISHED),
        row("audit-original", "other original", Outcome.HOLDS, view=PUBLISHED),
        row("audit-before-training", "net fresh", Outcome.BY_RUN, view=PUBLISHED),
        row("audit-before-training", "other fresh", Outcome.REFUTED, view=PUBLISHED),
        claims={f"claim-{i}": CLAIMS["seed-size"] for i in range(9)},
    )
    assert said == (
        "Of 9 claims, 4 were measured: 1 holds, 2 are refuted and 1 asks for seeds that do not exist; by the report’s own "
        "protocol, 1 of 3 headlines depends on which single run is shown."
    )


def test_verdicts_that_rest_on_rows_without_stored_runs_are_counted_apart():
    *_, said = sentences(
        row("zeroshot-accuracy", "net moments", Outcome.REFUTED),
        row("seed-size", "net moments"),
        row("seed-size", "net pca", Outcome.REFUTED, raw=None),
        row("zeroshot-structure", "net pca", Outcome.REFUTED),
        row("zeroshot-structure", "other pca", Outcome.REFUTED, raw=None),
        claims={f"claim-{i}": CLAIMS["seed-size"] for i in range(3)},
    )
    assert said == "Of 3 claims, 3 are refuted (of these, 1 by rows whose runs are not stored)."


def test_without_rows_each_sentence_says_that_nothing_was_measured():
    assert [said.count("measured") for said in sentences()] == [1, 1, 1, 1]
    *_, said = sentences(row("seed-size", "net moments"), claims={"seed-size": CLAIMS["seed-size"]})
    assert said == "Of 1 claim, 1 holds."


def test_every_outcome_can_be_counted():
    assert set(answer.SAID) == set(Outcome)


def test_a_number_has_its_value_and_leads_to_its_row():
    named = accuracy("mlp moments", 0.0131)
    pieces = answer.sentences({named.claim: [named]}, CLAIMS)[0]
    assert [(p.text, p.value, p.up) for p in pieces if p.row is named] == [("1.4 %", 0.0131, True), ("99 %", 0.99, False)]
    assert [p.text for p in pieces if p.value is None and any(c.isdigit() for c in p.text)] == []
