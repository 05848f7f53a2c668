"""The page: every number on it is a stored one, whatever does not follow from its runs is marked, and nothing leaves it."""

import base64
import hashlib
import random
import re
from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from itertools import pairwise
from urllib.parse import unquote_to_bytes

import pytest

from seeds import figures
from seeds.claims import PUBLISHED
from seeds.report import claims_file, raw, words
from seeds.report.claims_file import Results
from seeds.report.finding import Finding
from seeds.report.line import grouped, overall
from seeds.report.page import BESIDE, html
from seeds.verdict import Outcome
from tests.pages import CLAIMS, FIGURE, ROOT, changed, parsed, read, results, shown_number

REPORTS = ROOT / "reports"
LARGEST_BYTES = 3_000_000  # of the page of the repository's own rows with all figures: seconds on a slow phone
DRAWING = re.compile('<svg viewBox="[^"]*" role="img".*?</svg>', re.DOTALL)  # versions of matplotlib draw differently
DATA = pytest.mark.parametrize("data", ["made up", "the repository's"])
PLACE = ("zeroshot-accuracy", "digits-mlp-moments-raw")


@cache
def stored(data):
    return results() if data == "made up" else claims_file.read(REPORTS)


@cache
def page(data):
    told = stored(data)
    drawn = [FIGURE] if data == "made up" else figures.every(REPORTS, told.findings)
    return html(told, CLAIMS, drawn)


@cache
def tree(data):
    return parsed(page(data))


def made(told: Results, claims=CLAIMS, drawn=(FIGURE,)):
    return parsed(html(told, claims, drawn))


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
        stored_numbers = [f.value, *interval, *(f.assay or []), *(v for v in f.notes.values() if not isinstance(v, str))]
        shown = [float(each.attrs["value"]) for each in row_of(data, f).all("data")]
        assert shown == [n for n in stored_numbers if n is not None], f.place


@DATA
def test_every_number_is_the_stored_one_to_its_last_digit(data):
    every = tree(data).all("data")
    assert len(every) > len(stored(data).findings)
    for each in every:
        shown, half = shown_number(each.text)
        assert shown == pytest.approx(float(each.attrs["value"]), abs=half * 1.000001, rel=0), each.text


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
        assert [cell.all("span", class_="told")[0].text for cell in ours] == [told for _, told in expected], name
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
    first = tree(data).one("div", class_="answer").all("p")[0]
    linked = {a.attrs["data-filter"]: int(a.text) for a in first.all("a") if "verdict=" in a.attrs["data-filter"]}
    assert linked == {f"verdict={outcome.replace(' ', '%20')}": n for outcome, n in outcomes.items()}


@DATA
def test_the_answer_names_the_rows_that_its_rule_finds(data):
    rows = {f.place: f for f in stored(data).findings}
    moments = [
        f for f in rows.values()
        if f.claim in ("zeroshot-accuracy", "zeroshot-perplexity") and f.codec == "moments" and f.outcome != Outcome.NO_ASSAY
        and not f.row.endswith("-raw")
    ]  # fmt: skip
    most = max(moments, key=lambda f: f.high or 0.0)
    structure = [f for f in rows.values() if f.claim == "zeroshot-structure" and "retention" in f.notes]
    fit = [[f for f in structure if float(f.notes["times_smaller"]) >= times] for times in (2, 10)]
    best = [max(each, key=lambda f: f.notes["retention"]) for each in fit]
    _, second, third = tree(data).one("div", class_="answer").all("p")

    (link,) = second.all("a")
    assert link.attrs["href"] == f"#row-{most.claim}--{most.row}"
    told = float(link.text.removesuffix("%"))
    assert 0 <= told - 100 * max(0.0, most.high or 0.0) <= (0.1 if told < 10 else 1), "an upper limit is rounded up"
    links = third.all("a")
    assert [a.attrs["href"] for a in links] == [f"#row-{f.claim}--{f.row}" for f in best for _ in range(2)]
    for f, a in zip(best, links[::2], strict=True):
        assert float(a.text.removesuffix("%").replace("−", "-")) == pytest.approx(100 * float(f.notes["retention"]), abs=0.5)


def test_the_answer_follows_the_rows():
    told = results()
    structure = [f for f in told.findings if f.claim == "zeroshot-structure"]
    higher = changed(told, structure[0].place, notes={"retention": 0.5, "times_smaller": 3.0, "size_bytes": 2000})
    third = made(higher).one("div", class_="answer").all("p")[2].text
    assert "least 2 times smaller than the weights keeps 50 % of what digits-mlp knows, in 2 kB instead of 6 kB" in third
    empty = made(Results()).one("div", class_="answer").text
    assert empty.count("measured") == 3


@DATA
def test_the_pytest_line_of_a_row_runs_its_test(data):
    full = {(claim.name, row.id) for claim in CLAIMS.values() for row in claim.rows if row.full}
    for f in stored(data).findings:
        lines = [e.one("code").text for e in row_of(data, f).all("p", class_="pytest")]
        assert lines == ([f'pytest "{f.test}"' + " --full" * (f.place in full)] if f.test else []), f.place


# -- what does not follow from its runs ---------------------------------------------------------------------------------


def warnings(page_tree) -> list[str]:
    return [e.text for e in page_tree.all("p", class_="warning")]


def test_figures_that_follow_from_their_runs_are_not_marked():
    assert warnings(tree("made up")) == []


def test_deleting_one_run_changes_the_page_and_is_marked():
    f = next(f for f in results().findings if f.place == PLACE)
    assert f.raw is not None
    one_less = made(changed(results(), PLACE, raw={"ratio": [raw.per_run(f.raw)[1:], 1.0]}))

    row = one_less.one("tbody", id="row-{}--{}".format(*PLACE))
    assert row.one("td", class_="count").text == "4"
    assert warnings(row) == [f"Warning. The figure {f.value:g} does not follow from the stored runs: they give -0.005."]
    assert len(warnings(one_less)) == 2  # and on the first screen
    assert "not backed by runs" in one_less.text
    before, after = (t.one("p", class_="counts").text for t in (tree("made up"), one_less))
    assert before != after


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
    found = made(changed(results(), PLACE, **fields))
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


# -- one file that is safe, stable and complete -------------------------------------------------------------------------


def test_the_same_rows_give_the_same_bytes_in_any_order():
    told = results()
    shuffled = list(told.findings)
    random.Random(1).shuffle(shuffled)
    assert html(told, CLAIMS, [FIGURE]) == page("made up") == html(replace(told, findings=shuffled), CLAIMS, [FIGURE])


def test_hostile_text_is_shown_and_never_obeyed():
    evil = "</script><img src=http://x.test onerror=alert(1)>\"'&{{ 7*7 }}"
    claim = CLAIMS[PLACE[0]]
    claims = {**CLAIMS, claim.name: replace(claim, says=evil, figure=evil, unit=evil, reason=evil)}
    told = changed(results(), PLACE, codec=evil, subject=evil, reason=evil, notes={evil: evil}, test=evil, outcome="UNDECIDED")
    session = replace(next(iter(told.sessions.values())), machine=evil, commit=evil, versions={evil: evil})
    told = replace(told, sessions={session.started: session})
    figure = replace(FIGURE, title=evil, caption=evil, alt=evil, columns=(evil,), rows=((evil,),))
    found = made(told, claims, [figure])

    assert not found.all("img")
    assert len(found.all("script")) == 1
    assert not [name for e in found.walk() for name in e.attrs if name.startswith("on")]
    assert found.text.count("onerror=alert(1)") >= 12
    assert "49" not in found.one("details", id=f"claim-{claim.name}").one("dl").text


@DATA
def test_nothing_is_loaded_from_anywhere(data):
    for e in tree(data).walk():
        for name in ("src", "href", "srcset", "data", "action", "poster", "style"):
            target = e.attrs.get(name, "")
            assert "//" not in target, (e.tag, name, target[:80])
        assert e.tag not in ("link", "iframe", "object", "embed", "base")
    (style,) = tree(data).all("style")
    assert not re.search(r"url\(|@import", "".join(map(str, style.inside)))


@DATA
def test_the_policy_lets_this_script_run_and_no_other(data):
    policy = next(e.attrs["content"] for e in tree(data).all("meta") if e.attrs.get("http-equiv") == "Content-Security-Policy")
    script = "".join(map(str, tree(data).one("script").inside))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:" in policy


@DATA
def test_ids_are_unique_and_every_link_has_its_target(data):
    ids = Counter(e.attrs["id"] for e in tree(data).walk() if "id" in e.attrs)
    assert [name for name, n in ids.items() if n > 1] == []
    links = {e.attrs["href"] for e in tree(data).walk() if "href" in e.attrs}
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in ids}
    labels = {name for e in tree(data).walk() for name in e.attrs.get("aria-labelledby", "").split()}
    assert labels <= ids.keys()
    assert {link for link in links if not link.startswith(("#", "data:text/csv"))} == set(BESIDE)


def test_files_that_the_page_links_to_are_beside_it():
    assert [name for name in BESIDE if not (REPORTS / name).is_file()] == []


def test_the_stored_page_is_the_one_that_the_stored_rows_give():
    kept, now = (DRAWING.sub("", text) for text in ((REPORTS / "index.html").read_text(), page("the repository's")))
    assert kept == now, "run `python -m seeds report`"


def test_the_page_stays_light():
    assert len(page("the repository's").encode()) < LARGEST_BYTES


@DATA
def test_the_page_has_one_heading_of_the_first_rank_landmarks_and_its_language(data):
    found = tree(data)
    assert len(found.all("h1")) == 1
    assert found.one("html").attrs["lang"] == "en"
    assert all(len(found.all(tag)) == 1 for tag in ("main", "nav", "footer", "title"))
    assert found.all("a", class_="skip")[0].attrs["href"] == "#claims"
    ranks = [int(e.tag[1]) for e in found.walk() if re.fullmatch("h[1-6]", e.tag)]
    assert all(b - a <= 1 for a, b in pairwise(ranks))


def test_sessions_are_told_with_all_that_is_known_of_them():
    table = tree("made up").one("section", class_="measured").all("table")[-1].text
    session = asdict(next(iter(results().sessions.values())))
    assert session["commit"][:10] in table
    for told in ("(dirty)", "Linux x86_64, 4 cores, 2 processes", "Python 3.11.0", "torch 2.13", str(len(results().findings))):
        assert told in table
