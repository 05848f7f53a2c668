"""What the page is made of: drawings made fit for it, scales, numbers and words."""

import re
from dataclasses import replace

import pytest

from seeds.errors import StoreError
from seeds.report import number, scale, words
from seeds.report.inline import inlined
from seeds.verdict import Outcome
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


# -- words and numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "places", "told"),
    [
        (0.05, None, "0.05"), (37_079.8, None, "37,080"), (-0.000215, None, "−0.000215"), (4.34755e-11, None, "4.35 × 10⁻¹¹"),
        (1e-10, None, "10⁻¹⁰"), (2.25e13, None, "2.25 × 10¹³"), (0.0, None, "0"), (816, None, "816"), (-0.0004, 2, "0.00"),
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
    assert [number.percent(n) for n in (0.0134, 0.976, 0.0)] == ["1.3 %", "98 %", "0 %"]
    assert [number.percent(n, up=True) for n in (0.0131, 0.124, 0.0)] == ["1.4 %", "13 %", "0 %"]  # upper limits


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
