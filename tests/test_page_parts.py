"""What the page is made of: drawings made fit for it, scales, numbers and words."""

import math
import re
from dataclasses import replace

import pytest

from seeds.claims import PUBLISHED, SOUND
from seeds.errors import StoreError
from seeds.report import forest, number, raw, runs, scale, words
from seeds.report.inline import inlined
from seeds.verdict import Outcome, Rule
from tests.pages import CLAIMS, FIGURE, SVG, results

# -- drawings -------------------------------------------------------------------------------------------------------------


def test_a_drawing_takes_the_page_s_colours_and_leaves_its_paper_title_and_style():
    drawn = inlined(SVG.encode(), "p", FIGURE.title)
    assert "var(--ink)" in drawn.content
    assert "var(--grid)" in drawn.content
    assert not re.search("#ffffff|var\\(--paper\\)|<style|DOCTYPE|What was|xlink|xmlns", drawn.content, re.IGNORECASE)
    assert re.findall(r'id="([^"]*)"', drawn.content) == ["p-cut", "p-line"]
    assert 'clip-path="url(#p-cut)"' in drawn.content
    assert 'href="#p-line"' in drawn.content
    assert drawn.box == "0 28 200 72"  # above it, the title was


def test_a_title_of_one_line_leaves_no_gap_either():
    """matplotlib places it by attributes, and two lines by moving them."""
    short = SVG.replace('<text transform="translate(4 10)">What was</text><text transform="translate(4 22)">found</text>', "{}")
    drawn = inlined(short.replace("{}", '<text x="4" y="10">What was found</text>').encode(), "p", FIGURE.title)
    assert drawn.box == "0 16 200 84"


def test_a_drawing_cannot_run_or_load_anything():
    hostile = SVG.replace(
        "</svg>",
        """<script>alert(1)</script><g onload="alert(1)"><image href="http://x.test/a.png"/><a href="javascript:alert(1)">
        <text>in</text></a></g><path style="fill: url(http://x.test/#a)"/><foreignObject><p>in</p></foreignObject></svg>""",
    )
    content = inlined(hostile.encode(), "p", "").content
    assert not re.search("script|onload|x.test|foreign|alert", content)


@pytest.mark.parametrize("svg", [b"no svg", b"<svg/>", b"<svg viewBox='0 0 a b'/>"], ids=["text", "no-box", "no-numbers"])
def test_what_is_no_drawing_is_refused_by_name(svg):
    with pytest.raises(StoreError, match="the figure made-up is no <svg>"):
        inlined(svg, "made-up", "")


# -- scales ---------------------------------------------------------------------------------------------------------------


def test_scales_hold_all_that_is_shown():
    linear = scale.over([-0.2, 0.4], [-0.5, 0.6], [0.05, float("-inf")])
    assert not linear.log
    assert 0 < linear.at(-0.5) < linear.at(0.05) < linear.at(0.6) < 1
    ratios = scale.over([0.0, 2.0, 37_000.0], [1.0, 40_000.0], [100])
    assert ratios.log
    assert ratios.at(0.0) == 0.0
    assert ratios.at(200.0) - ratios.at(20.0) == pytest.approx(ratios.at(2000.0) - ratios.at(200.0))
    assert [label for _, label in ratios.ticks()] == ["10", "100", "1,000", "10,000"]
    for axis in (linear, ratios, scale.over([1.0], [], []), scale.over([], [], [])):
        assert 1 <= len(axis.ticks()) <= 2 * scale.TICKS
        assert all(0 <= at <= 1 for at, _ in axis.ticks())


def test_shares_that_touch_zero_have_a_linear_axis_and_times_a_logarithmic_one():
    assert not scale.over([0.007, 0.7], [0.0, 1.0], [0.05]).log
    assert scale.over([0.007, 0.7], [0.001, 1.0], [0.05]).log
    assert scale.over([0.0, 50.0], [-1e-6, 60.0], [1.0]).log


def plot(**fields):
    """A forest of three rows from 1 to 500, the first of them changed."""
    first = replace(results().findings[0], value=1.0, low=0.9, high=1.1, raw=[1.0])
    others = [replace(first, row=f"row-{n}", value=n, low=0.9 * n, high=1.1 * n) for n in (20.0, 500.0)]
    return forest.forest([replace(first, **fields), *others], Rule(1.0, math.inf, 0.05))


def test_an_interval_without_end_and_one_that_reaches_zero_have_marks_of_their_own():
    endless, zero, dot = plot(high=None), plot(low=0.0), plot(raw=[1.5, 0.5, 1.0, 0.0])
    assert plot().log
    assert [(m.off, m.zero) for m in plot().marks] == [((), False)] * 3
    assert (endless.marks[0].off, endless.marks[0].zero) == (("high",), False)
    assert (zero.marks[0].off, zero.marks[0].zero) == ((), True)
    assert dot.marks[0].zero
    assert "Arrow" in endless.legend
    assert "Arrow" not in zero.legend
    assert "Bar" in zero.legend


def test_dots_are_explained_only_where_there_are_some():
    assert "Small dots" not in plot(raw=[1.0]).legend
    assert "Small dots: single runs." in plot(raw=[0.9, 1.1]).legend


# -- words and numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "places", "told"),
    [
        (0.05, None, "0.05"), (37_079.8, None, "37,080"), (-0.000215, None, "−0.000215"), (4.34755e-11, None, "4.35 × 10⁻¹¹"),
        (1e-10, None, "10⁻¹⁰"), (2.25e13, None, "2.25 × 10¹³"), (0.0, None, "0"), (816, None, "816"), (-0.0004, 2, "0.00"),
        (-3e-17, None, "0"), (4e-16, 3, "0.000"), (2e-12, None, "2.00 × 10⁻¹²"),
        (0.93, 3, "0.930"), (float("inf"), 2, "∞"), (float("-inf"), None, "−∞"), (1234.5, 1, "1,234.5"),
    ],
)  # fmt: skip
def test_numbers_read_well(value, places, told):
    assert number.text(value, places) == told


def test_an_interval_decides_how_many_digits_a_figure_has():
    f = replace(results().findings[0], value=0.00930344, low=-0.0104115, high=0.0291842)
    assert number.decimals(f) == 3
    assert number.decimals(replace(f, low=0.2, high=0.2)) is None
    assert number.decimals(replace(f, low=None)) is None


def test_sizes_and_shares_read_well():
    assert [number.size(n) for n in (816, 53_084, 2_739_000)] == ["816 bytes", "53.1 kB", "2.74 MB"]
    assert [number.percent(n) for n in (0.0134, 0.976, 0.0089, 0.0)] == ["1.3 %", "97.6 %", "0.89 %", "0 %"]
    assert [number.percent(n) for n in (-0.0996, 1.0, 2.5)] == ["−10.0 %", "100 %", "250 %"]
    assert [number.percent(n, up=True) for n in (0.0131, 0.1241, 0.05, 0.0)] == ["1.4 %", "12.5 %", "5.0 %", "0 %"]  # limits
    assert [number.level(n) for n in (0.99, 0.994737, 0.975)] == ["99 %", "99.47 %", "97.5 %"]
    assert number.power_of_ten(-3) == "10⁻³"


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.name)
def test_every_outcome_is_explained(outcome):
    rows = [replace(results().findings[0], outcome=str(outcome))]
    assert words.verdict(outcome, rows).startswith(f"{outcome}: ")
    assert words.MEANINGS[outcome]
    assert words.OF_A_CLAIM[outcome]


def test_the_rule_of_a_claim_is_told_with_its_margins_and_its_control():
    assert words.rule(CLAIMS["zeroshot-accuracy"]).startswith("A row holds if its whole interval lies below 0.05: a twentieth")
    assert words.rule(CLAIMS["zeroshot-accuracy"]).endswith("A row speaks only if its control is surely above 0.3.")
    assert "lies between −0.05 and 0.05" in words.rule(CLAIMS["finetune-ablation"])
    assert "lies above 100:" in words.rule(CLAIMS["seed-size"])
    assert words.rule(CLAIMS["cost-runtime"]).startswith("Nothing is judged")


def test_runs_that_are_judged_one_by_one_are_told_so_without_interval_or_control():
    told = words.rule(CLAIMS["audit-accuracy"], PUBLISHED)
    assert told.startswith("Each run is judged by itself, without interval or control: it agrees if its figure lies below 0.05")
    assert "interval lies" in words.rule(CLAIMS["audit-accuracy"], SOUND)
    rows = [replace(results().findings[0], outcome=o, view=PUBLISHED) for o in ("REFUTED", "DEPENDS ON THE RUN", "HOLDS")]
    assert words.verdict(Outcome.REFUTED, rows) == (
        "REFUTED: in 1 of 3 rows no run agrees with the claim. In 1 more, some runs agree and some do not."
    )
    assert words.verdict(Outcome.HOLDS, rows[2:]) == "HOLDS: every run of the one row agrees with the claim."
    assert words.verdict(Outcome.BY_RUN, rows[1:]).startswith("DEPENDS ON THE RUN: in 1 of 2 rows some runs agree")


def test_words_promise_nothing_that_the_row_does_not():
    for explained in (words.MEANINGS, words.OF_A_CLAIM):
        assert "second" not in explained[Outcome.RECORDED]  # a claim without region may be of anything
    timed = [replace(results().findings[0], outcome="UNDECIDED", reason="other machines lie on either side of the margin")]
    assert "more runs" not in words.verdict(Outcome.UNDECIDED, timed)  # the row's own reason stands below it
    assert "all verdicts of a claim together err in at most 5 %" in words.GLOSSARY["interval"]


def test_a_row_needs_the_hub_where_its_examples_come_from_there():
    from seeds.subject import SUBJECTS
    from seeds.task import task

    rows = [row for claim in CLAIMS.values() for row in claim.rows]
    needed = {bool(words.needs(row)) for row in rows}
    assert needed == {True, False}
    for row in rows:
        make = task(row.data or SUBJECTS[row.subject].task_name).splits
        assert bool(words.needs(row)) == (make.__module__ == "seeds.hub"), (row.claim, row.id)


@pytest.mark.parametrize(
    ("told", "rule", "lines"),
    [
        (0.1, "one number, without a random part", [("runs", "0.1")]),
        ([0.1, 2e-9], "the mean of the runs", [("runs", "0.1 2e-09")]),
        (
            {"ratio": [[0.1, 0.3], 0.9]}, "the mean of the top over the mean of the bottom",
            [("top", "0.1 0.3"), ("bottom", "0.9")],
        ),
        (
            {"smallest": [0.2, {"ratio": [[0.1], [0.4]]}]}, "the smallest of its parts",
            [("part 1", "0.2"), ("part 2, top", "0.1"), ("part 2, bottom", "0.4")],
        ),
    ],
    ids=["number", "mean", "ratio", "parts"],
)  # fmt: skip
def test_runs_are_listed_by_what_they_are(told, rule, lines):
    assert runs.rule(told) == rule
    assert list(runs.lines(told)) == lines
    assert raw.count(told) >= 1
