"""The page: every number on it is a stored one, and whatever does not follow from its runs is marked."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise
from urllib.parse import unquote_to_bytes

import pytest

from seeds.claims import PUBLISHED
from seeds.report import raw, words
from seeds.report.claims_file import Results
from seeds.report.finding import Finding
from seeds.report.line import grouped, overall
from seeds.report.page import html
from seeds.verdict import Outcome
from tests import figured
from tests.pages import CLAIMS, FIGURE, REPORTS, changed, read, results, shown, shown_number, stored, tree

DRAWING = re.compile('<svg viewBox="[^"]*" role="img".*?</svg>', re.DOTALL)  # versions of matplotlib draw differently
DATA = pytest.mark.parametrize("data", ["made up", "the repository's"])
PLACE = ("zeroshot-accuracy", "digits-mlp-moments-raw")


@cache
def rows_of(data):
    """The elements of all rows by their ids."""
    return {e.attrs["id"]: e for e in tree(data).all("tbody") if e.attrs.get("id", "").startswith("row-")}


def row_of(data, f: Finding):
    return rows_of(data)[f"row-{f.claim}--{f.row}"]


# -- every number traces to a row -----------------------------------------------------------------------------------------


@DATA
def test_every_number_of_a_row_is_the_stored_one(data):
    for f in stored(data).findings:
        interval = [f.low, f.high] if f.low != f.high else []
        over = [f.examples] if f.level and f.value is not None and interval else []
        stored_numbers = [f.value, *interval, *over, *(f.assay or []), *(v for v in f.notes.values() if not isinstance(v, str))]
        shown = [float(each.attrs["value"]) for each in row_of(data, f).all("data")]
        assert shown == [n for n in stored_numbers if n is not None], f.place


@DATA
def test_every_number_is_the_stored_one_to_its_last_digit(data):
    every = tree(data).all("data")
    assert len(every) > len(stored(data).findings)
    for each in every:
        (shown, half), value = shown_number(each.text), float(each.attrs["value"])
        if "up" in each.attrs.get("class", ""):  # an upper limit: never below what is stored
            assert 0 <= shown - max(0.0, value) < 2 * half * 1.000001, each.text
        else:
            assert shown == pytest.approx(value, abs=half * 1.000001, rel=0), each.text


@DATA
def test_every_row_is_on_the_page_once_with_its_verdict_and_the_number_of_its_runs(data):
    rows = {f"row-{f.claim}--{f.row}": f for f in stored(data).findings}
    found = [e for e in tree(data).all("tbody") if e.attrs.get("id", "").startswith("row-")]
    assert Counter(e.attrs["id"] for e in found) == Counter(rows.keys())
    for e in found:
        f = rows[e.attrs["id"]]
        assert [b.text for b in e.all("span", class_="badge")] == [f.outcome]
        assert e.one("td", class_="count").text == str(raw.count(f.raw) or "")


@DATA
def test_a_claim_shows_what_its_rows_come_to(data):
    for name, rows in grouped(stored(data).findings, CLAIMS).items():
        line = next(e for e in tree(data).all("tbody", class_="claim") if e.all("details", id=f"claim-{name}")).one(
            "tr", class_="line"
        )
        protocols = [[f for f in rows if f.view == PUBLISHED], [f for f in rows if f.view != PUBLISHED]]
        expected = [overall(each) for each in protocols if each]
        assert [b.text for b in line.all("span", class_="badge")] == [outcome for outcome, _ in expected], name
        ours = [cell for cell in line.all("td") if cell.attrs.get("data-label", "").startswith("Ours")]
        (*_, sound) = [cell.all("span", class_="told")[0].text for cell in ours]
        assert protocols[1] == [] or sound == expected[-1][1], name
        assert read(words.typeset(CLAIMS[name].figure)) in line.text


@DATA
def test_the_first_screen_counts_claims_rows_and_runs(data):
    told = stored(data)
    counts = tree(data).one("p", class_="counts").text
    runs = sum(raw.count(f.raw) for f in told.findings)
    by_claim = grouped(told.findings, CLAIMS)
    assert counts.startswith(f"{len(by_claim)} claims, ")
    assert f"{len(told.findings):,} rows; {runs:,} stored runs" in counts
    outcomes = Counter(str(overall([f for f in rows if f.view != PUBLISHED])[0]) for rows in by_claim.values())
    verdicts = tree(data).one("div", class_="answer").all("p")[-1]
    linked = {a.attrs["data-filter"]: int(a.text) for a in verdicts.all("a") if "verdict=" in a.attrs["data-filter"]}
    assert linked == {f"verdict={outcome.replace(' ', '%20')}": n for outcome, n in outcomes.items()}


@DATA
def test_a_number_outside_of_its_row_says_whose_it_is_and_is_one_of_that_row(data):
    rows = {f"row-{f.claim}--{f.row}": f for f in stored(data).findings}
    found = [(e.attrs["data-row"], e) for e in tree(data).all("data") if "data-row" in e.attrs]
    links = [a for a in tree(data).one("div", class_="answer").all("a") if a.attrs["href"].startswith("#row-")]
    found += [(a.attrs["href"][1:], a.one("data")) for a in links]
    assert len(found) > 2 * len(grouped(stored(data).findings, CLAIMS))
    for name, each in found:
        f = rows[name]
        weights = float(f.notes.get("size_bytes", 0)) * float(f.notes.get("times_smaller", 0))
        known = [f.value, f.low, f.high, f.level, f.examples, *(f.assay or []), *f.notes.values(), weights]
        assert float(each.attrs["value"]) in known, name


COUNTS = re.compile(  # what may be said of rows in plain text: how many there are
    r"\d+ of \d+ (single runs hold|hold|succeed)|\d+ more (has|have) no original|\d+ not backed by runs|least \d+ times"
)


@DATA
def test_no_figure_stands_in_plain_text_where_figures_are_told(data):
    found = tree(data)
    places = found.one("div", class_="answer").all("p")
    places += [td for line in found.all("tr", class_="line") for td in line.all("td") if td.attrs.get("class") != "theirs"]
    places += [told for plot in found.all("div", class_="forest") for told in plot.all("span", class_="told")]
    places += [td for row in rows_of(data).values() for kind in ("figure", "control") for td in row.all("td", class_=kind)]
    assert len(places) > len(stored(data).findings)
    for place in places:
        plain = re.sub(r"[\d.]+ % interval( over)?", "", COUNTS.sub("", place.text_without("data")))
        assert not [word for word in plain.split() if re.fullmatch(r"[^A-Za-z]*\d[^A-Za-z]*", word)], place.text


def test_an_interval_says_over_how_many_examples_it_is_where_that_is_known():
    told = stored("made up").findings
    judged = [f for f in told if f.level is not None]
    assert {bool(f.examples) for f in judged} == {True, False}
    for f in told:
        shown = re.search(r"interval over ([\d,]+) examples", row_of("made up", f).one("td", class_="figure").text)
        assert (shown and shown[1]) == (f"{f.examples:,}" if f.level is not None and f.examples else None)


def flat(part) -> list[float]:
    """All numbers of a raw figure, in order."""
    if isinstance(part, dict):
        return [one for parts in part.values() for each in parts for one in flat(each)]
    return [] if part is None else list(part) if isinstance(part, list) else [part]


@DATA
def test_a_row_lists_each_of_its_runs_in_full(data):
    for f in stored(data).findings:
        codes = [code for each in row_of(data, f).all("details", class_="each") for code in each.all("code")]
        listed = [float(one) for code in codes for one in code.text.split()]
        assert listed == [*flat(f.raw), *flat(f.control_raw)], f.place


@DATA
def test_the_pytest_line_of_a_row_runs_its_test(data):
    full = {(claim.name, row.id) for claim in CLAIMS.values() for row in claim.rows if row.full}
    for f in stored(data).findings:
        lines = [e.one("code").text for e in row_of(data, f).all("p", class_="pytest")]
        assert lines == ([f'pytest "{f.test}"' + " --full" * (f.place in full)] if f.test else []), f.place


@DATA
def test_the_pytest_line_of_a_claim_runs_all_of_its_rows(data):
    for name in grouped(stored(data).findings, CLAIMS):
        inside = tree(data).one("details", id=f"claim-{name}").one("div", class_="inside")
        (line,) = [e.one("code").text for e in inside.inside if not isinstance(e, str) and e.attrs.get("class") == "pytest"]
        assert line == f"pytest --claim {name}{' --full' * any(row.full for row in CLAIMS[name].rows)}"


def test_a_row_that_needs_the_hub_says_so_and_no_other_does():
    told = {name for name, e in rows_of("made up").items() if "of the hub" in e.text}
    assert told == {"row-zeroshot-perplexity--gpt2-moments", *(n for n in rows_of("made up") if "--bert-tiny-" in n)}


def test_single_runs_are_counted_where_runs_are_judged_one_by_one():
    place = next(f.place for f in results().findings if f.view == PUBLISHED)
    told = [f for f in results().findings if f.claim == place[0] and (f.view != PUBLISHED or f.place == place)]
    found = shown(changed(replace(results(), findings=told), place, raw=[0.0, 0.01, 0.2, 0.9], outcome="DEPENDS ON THE RUN"))
    assert "2 of 4 single runs hold" in found.one("tr", class_="line").text


def test_a_control_that_is_missing_is_not_one_that_failed():
    told = results()
    rows = [f for f in told.findings if f.claim == "zeroshot-accuracy"]
    told = changed(told, rows[0].place, assay=None, control_raw=None, outcome="NO ASSAY")
    told = changed(told, rows[1].place, assay=[0.5, 0.1], control_raw=0.5, outcome="NO ASSAY")
    line = next(e for e in shown(told).all("tr", class_="line") if CLAIMS["zeroshot-accuracy"].says[1:] in e.text)
    n = len(rows) - 1
    assert f"{n - 1} of {n} succeed lowest limit 0.1 must exceed 0.3 1 more has no original" in line.text


# -- what does not follow from its runs ---------------------------------------------------------------------------------


def warnings(page_tree) -> list[str]:
    return [e.text for e in page_tree.all("p", class_="warning")]


def test_figures_that_follow_from_their_runs_are_not_marked():
    assert warnings(tree("made up")) == []


def test_deleting_one_run_changes_the_page_and_is_marked():
    f = next(f for f in results().findings if f.place == PLACE)
    assert f.raw is not None
    one_less = shown(changed(results(), PLACE, raw={"ratio": [raw.per_run(f.raw)[1:], 1.0]}))

    row = one_less.one("tbody", id="row-{}--{}".format(*PLACE))
    assert row.one("td", class_="count").text == "4"
    assert warnings(row) == [f"Warning. The figure {f.value:g} does not follow from the stored runs: they give -0.005."]
    assert len(warnings(one_less)) == 2  # and on the first screen
    assert "not backed by runs" in one_less.text
    before, after = (t.one("p", class_="counts").text for t in (tree("made up"), one_less))
    assert before != after


def test_a_verdict_that_rests_on_rows_without_stored_runs_says_so_beside_it():
    told = [f for f in results().findings if f.claim == PLACE[0]]
    rows = [replace(f, outcome="REFUTED" if i == 0 else "HOLDS", raw=None if i == 0 else f.raw) for i, f in enumerate(told)]
    assert flags(rows) == ["1 not backed by runs", "by rows without stored runs"]
    assert flags([replace(rows[0], raw=told[0].raw), *rows[1:]]) == []
    detail = shown(Results(rows, results().sessions)).one("dl", class_="plain").text
    assert "This verdict is by rows without stored runs" in detail


def flags(rows: list[Finding]) -> list[str]:
    return sorted(e.text for e in shown(Results(rows, results().sessions)).all("span", class_="flag"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"value": 0.0421}, "The figure 0.0421 does not follow"),
        ({"assay": [0.99, 0.7]}, "The control 0.99 does not follow"),
        ({"raw": None}, "No runs are stored for the figure."),
        ({"raw": None, "control_raw": None}, "No runs are stored for the figure and the control."),
    ],
    ids=["figure", "control", "no-runs", "no-runs-at-all"],
)
def test_a_changed_number_is_marked(fields, told):
    found = shown(changed(results(), PLACE, **fields))
    row = found.one("tbody", id="row-{}--{}".format(*PLACE))
    assert len(warnings(row)) == 1
    assert told in warnings(row)[0]


# -- plots ------------------------------------------------------------------------------------------------------------


@DATA
def test_a_plot_has_a_line_per_row_and_a_dot_per_run(data):
    for name, rows in grouped(stored(data).findings, CLAIMS).items():
        lines = tree(data).one("details", id=f"claim-{name}").all("div", class_="forest")
        drawn = {e.one("span", class_="row").text: e for plot in lines for e in plot.all("div") if e.all("span", class_="row")}
        assert set(drawn) == ({f.row for f in rows} if any(f.value is not None for f in rows) else set())
        for f in rows:
            each = raw.per_run(f.raw) if f.raw is not None else []
            dots = sum(path.attrs["d"].count("M") for path in drawn[f.row].all("path", class_="runs"))
            assert dots == (len(each) if len(each) > 1 else 0), f.place


def test_a_mark_lies_where_its_figure_is_and_inside_its_interval():
    claim = CLAIMS["zeroshot-accuracy"]
    rows = [f for f in results().findings if f.claim == claim.name]
    (plot,) = tree("made up").one("details", id=f"claim-{claim.name}").all("div", class_="forest")
    places = []
    for f in rows:
        drawn = next(e for e in plot.all("div") if e.all("span", class_="row") and e.one("span", class_="row").text == f.row)
        (mark,) = [e for e in drawn.all("use") if "%" in e.attrs.get("x", "")]
        low, high = map(
            float, re.findall(r"[\d.]+(?=H)|(?<=H)[\d.]+", drawn.one("path", class_="line").attrs["d"].replace(" 13", ""))
        )
        place = 10 * float(mark.attrs["x"].rstrip("%"))
        assert low < place < high
        assert mark.attrs["href"] == f"#m-{f.outcome.lower()}"
        places.append(place)
    assert sorted(places) == places  # as the made-up figures are
    figures_of_rows = [f.value or 0.0 for f in rows]
    steps = [(b - a) / (w - v) for (v, w), (a, b) in zip(pairwise(figures_of_rows), pairwise(places), strict=True)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=0.05)  # places are rounded to a thousandth of the axis


# -- figures ------------------------------------------------------------------------------------------------------------


def test_a_figure_stands_with_its_caption_and_data_and_again_in_its_claims():
    figure = tree("made up").one("figure", id="figure-made-up")
    assert FIGURE.title in figure.one("h3").text
    assert figure.one("figcaption").text == read(words.typeset(FIGURE.caption))
    assert figure.one("svg", role="img").attrs["aria-label"] == FIGURE.alt
    link = figure.one("a", download="made-up.csv")
    head, _, content = link.attrs["href"].partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert unquote_to_bytes(content) == FIGURE.csv()
    assert len(figure.one("tbody").all("tr")) == 12
    assert "8 more are in the CSV" in figure.text
    for name in FIGURE.claims:
        claim = tree("made up").one("details", id=f"claim-{name}")
        assert claim.all("use", href="#drawing-made-up")
        assert claim.all("a", href="#figure-made-up")
    assert not tree("made up").one("details", id="claim-cost-runtime").all("use", href="#drawing-made-up")


# -- the stored page ------------------------------------------------------------------------------------------------------


def test_the_stored_page_is_the_one_that_the_stored_rows_give():
    made = html(stored("the repository's"), CLAIMS, figured.stored())
    kept, now = (DRAWING.sub("", text) for text in ((REPORTS / "index.html").read_text(), made))
    assert kept == now, "run `python -m seeds report`"


# -- some of the rows -----------------------------------------------------------------------------------------------------


def test_a_claim_without_rows_of_a_sound_protocol_is_said_to_be_not_measured():
    """It is counted under no verdict: nothing failed."""
    stored = results()
    published = [f for f in stored.findings if f.view == PUBLISHED]
    assert published
    table = html(Results(published, stored.sessions), CLAIMS, []).partition('id="ledger"')[2].partition("</table>")[0]
    assert 'data-verdict=""' in table
    assert "not measured" in table
    assert str(Outcome.NO_ASSAY) not in table


def test_a_page_can_be_made_of_one_row_and_of_none():
    stored = results()
    assert "<b>1</b> claims" in html(Results(stored.findings[:1], stored.sessions), CLAIMS, [])
    assert "<b>0</b> claims" in html(Results(), CLAIMS, [])
