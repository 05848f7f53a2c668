"""What people read: the table, the files and the README all say what the rows found."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from seeds import report
from seeds.claims import PUBLISHED, SOUND, load
from seeds.errors import StoreError
from seeds.plot import retention_over_size
from seeds.quantity import Counted, Interval
from seeds.verdict import Outcome, Verdict, judge_singly

ROOT = Path(__file__).parents[1]
CLAIMS = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
CLAIM = CLAIMS["zeroshot-accuracy"]


def finding(row, outcome=Outcome.HOLDS, **notes):
    verdict = Verdict(outcome, Interval(0.01, -0.02, math.inf), row.rule, 48, Interval(0.87, 0.83, 0.9), "because")
    return report.finding(row, verdict, notes)


def test_a_finding_is_plain_json_and_infinite_limits_are_null():
    found = finding(CLAIM.rows[0], accuracy=0.123456789)
    assert json.loads(json.dumps(report.asdict(found))) == report.asdict(found)
    assert found.high is None
    assert found.notes == {"accuracy": 0.123457}
    assert report.figure(found) == "0.01 [-0.02, inf]"


def test_the_table_shows_claim_figure_control_and_line():
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[-1], Outcome.NO_ASSAY)]
    text = "\n".join(report.table(rows, CLAIMS))
    for part in (
        CLAIM.says,
        CLAIM.figure,
        "0.01 [-0.02, inf]",
        "control 0.87",
        "48 runs",
        "all: HOLDS (1 of 1 hold)",
    ):
        assert part in text
    assert "vision: HOLDS (1 of 1 hold)" in text
    assert "text: NO ASSAY (0 of 0 hold)" in text


def test_a_finding_tells_the_level_that_its_interval_has():
    """Rows that are looked at several times are judged at a share of the claim's level."""
    share = replace(CLAIM.rows[0].rule, alpha=0.01)
    verdict = Verdict(Outcome.HOLDS, Interval(0.01, -0.02, 0.03), share, 8, None, "because")
    assert report.finding(CLAIM.rows[0], verdict, {}).level == 0.98


def test_an_undecided_row_says_what_it_needs_and_is_counted():
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[1], Outcome.UNDECIDED)]
    lines = report.table(rows, CLAIMS)
    assert [line.strip() for line in lines].count("because") == 1
    assert lines[-1] == "1 of 2 rows are UNDECIDED"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_row_is_on_the_page_whatever_came_out(outcome):
    """Also in the table of the terminal; what could not be decided is as much of an answer as what could."""
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[1], outcome)]
    page = report.page(rows, CLAIMS).splitlines()
    for row, found in zip(CLAIM.rows, (Outcome.HOLDS, outcome), strict=False):
        assert [line for line in page if line.startswith(f"| {row.id} | **{found}** |")]
        assert [line for line in report.table(rows, CLAIMS) if line.split()[:1] == [row.id] and found in line]


def test_the_line_of_a_claim_counts_its_undecided_rows():
    """One of two that hold is not all of them: not on the line, not on the page, not in the table of the README."""
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[1], Outcome.UNDECIDED)]
    assert report.claim_lines(rows)[0] == "all: UNDECIDED (1 of 2 hold)"
    line = f"| {CLAIM.says} | {CLAIM.figure} | **UNDECIDED** | 1 of 2 hold |"
    assert line in report.page(rows, CLAIMS).splitlines()
    assert line in report.summary_table({CLAIM.name: rows}, CLAIMS)


def test_every_network_of_digits_counts_as_vision():
    rows = [replace(finding(CLAIM.rows[0]), subject=name) for name in ("digits-mlp-3", "digits-cnn-04", "docs-gpt")]
    assert report.claim_lines(rows)[1:] == ["vision: HOLDS (2 of 2 hold)", "text: HOLDS (1 of 1 hold)"]


def test_an_unexpected_outcome_is_marked():
    row = replace(CLAIM.rows[0], expected=Outcome.HOLDS)
    assert "REFUTED!" in "\n".join(report.table([finding(row, Outcome.REFUTED)], CLAIMS))


def test_a_partial_run_erases_nothing(tmp_path):
    """A run of one claim rewrites that claim's file; the page is made from all files."""
    other = CLAIMS["zeroshot-gibberish"]
    report.write([finding(CLAIM.rows[0])], CLAIMS, tmp_path, {})
    report.write([finding(other.rows[0], Outcome.REFUTED)], CLAIMS, tmp_path, {"torch": "2"})
    page = (tmp_path / "README.md").read_text()
    assert CLAIM.says in page
    assert other.says in page
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "zeroshot-accuracy.json", "zeroshot-gibberish.json"]
    assert report.read(tmp_path / "zeroshot-accuracy.json") == [finding(CLAIM.rows[0])]


def test_a_run_narrowed_to_some_rows_keeps_the_others(tmp_path):
    report.write([finding(CLAIM.rows[0]), finding(CLAIM.rows[1])], CLAIMS, tmp_path, {})
    report.write([finding(CLAIM.rows[1], Outcome.REFUTED)], CLAIMS, tmp_path, {})
    assert [f.outcome for f in report.read(tmp_path / "zeroshot-accuracy.json")] == ["HOLDS", "REFUTED"]


def test_the_plot_shows_every_point_it_was_given():
    rows = [finding(row, retention=0.1, times_smaller=100.0) for row in CLAIM.rows[:3]]
    drawn = retention_over_size(rows)
    assert drawn is not None
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert retention_over_size([finding(CLAIM.rows[0])]) is None
    assert retention_over_size(rows) == drawn  # the same data, the same file


def test_the_readme_shows_the_table_of_the_reports():
    """`make report` refreshes both; a figure typed by hand would differ."""
    readme = (ROOT / "README.md").read_text()
    shown = readme.split(report.START)[1].split(report.END)[0]
    assert shown == report.readme_block(ROOT / "reports", CLAIMS)


def test_the_stored_report_has_the_expected_outcomes():
    """reports/ and expected.toml are two records of one run."""
    for name, claim in CLAIMS.items():
        stored = {f.row: f.outcome for f in report.read(ROOT / "reports" / f"{name}.json")}
        assert stored == {row.id: row.expected for row in claim.rows}


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"rows": [{}]}', '{"rows": 3}', ""], ids=["cut", "list", "row", "rows", "empty"]
)
def test_a_damaged_report_is_named_and_no_row_is_written_over_it(damage, tmp_path):
    """It may hold rows that this run did not measure, and that someone can restore."""
    path = tmp_path / f"{CLAIM.name}.json"
    path.write_text(damage)
    with pytest.raises(StoreError, match=rf"{CLAIM.name}\.json is no report of rows .*; restore it, or remove it"):
        report.write([finding(CLAIM.rows[0])], CLAIMS, tmp_path, {})
    assert path.read_text() == damage


@pytest.mark.parametrize(
    "text",
    ["none", report.START, report.END + report.START, f"{report.START}{report.END}{report.START}{report.END}"],
    ids=["none", "one", "the wrong way round", "twice"],
)
def test_a_readme_without_its_markers_stays_as_it_is(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(StoreError, match="has not one <!-- verdicts --> before one <!-- end of verdicts -->; restore them"):
        report.refresh(tmp_path / "README.md", tmp_path, CLAIMS)
    assert (tmp_path / "README.md").read_text() == text


@pytest.mark.parametrize("passed", [True, False])
def test_the_status_of_a_row_is_its_outcome(pytestconfig, passed):
    conftest = next(p for p in pytestconfig.pluginmanager.get_plugins() if hasattr(p, "_finding"))
    found = report.asdict(finding(CLAIM.rows[0])) | {"expected": "HOLDS" if passed else "REFUTED"}
    test = SimpleNamespace(when="call", passed=passed, user_properties=[("finding", found)])
    category, _, word = conftest.pytest_report_teststatus(test, pytestconfig)
    assert (category, word) == (("passed", "HOLDS") if passed else ("failed", "HOLDS, EXPECTED REFUTED"))


def test_a_counted_figure_has_no_interval():
    row = CLAIMS["seed-size"].rows[0]
    interval = Counted(157.5).interval(0.05)
    assert report.figure(report.finding(row, Verdict(Outcome.HOLDS, interval, row.rule, None, None, ""), {})) == "157.5"


# -- claims under two protocols -------------------------------------------------------------------------------------------

TWICE = CLAIMS["audit-perplexity"]


def audited(view, outcome=Outcome.HOLDS, subject="docs-gpt"):
    row = next(row for row in TWICE.rows if (row.view, row.subject) == (view, subject))
    return report.finding(row, Verdict(outcome, Interval(0.5, 0.25, 1.0), row.rule, 8, None, "because"), {})


def test_a_published_figure_is_shown_with_its_range_and_a_sound_one_with_its_interval():
    published, sound = audited(PUBLISHED), audited(SOUND)
    assert (published.view, sound.view) == (PUBLISHED, SOUND)
    assert report.figure(published) == "0.5 (0.25 to 1)"
    assert report.figure(sound) == "0.5 [0.25, 1]"
    assert report.figure(replace(published, low=None, high=0.75)) == "0.5 (-inf to 0.75)"


def test_a_claim_under_two_protocols_has_a_line_for_each_and_none_for_all():
    rows = [audited(SOUND, Outcome.REFUTED), audited(PUBLISHED, Outcome.BY_RUN), audited(PUBLISHED, subject="gpt2")]
    assert report.claim_lines(rows) == ["published: DEPENDS ON THE RUN (1 of 2 hold)", "sound: REFUTED (0 of 1 hold)"]
    assert report.claim_lines(rows[:1]) == ["sound: REFUTED (0 of 1 hold)"]
    text = "\n".join(report.table(rows, CLAIMS))
    assert "published: DEPENDS ON THE RUN (1 of 2 hold)" in text
    assert "all:" not in text


def test_claims_under_two_protocols_have_a_table_of_their_own():
    rows = {TWICE.name: [audited(PUBLISHED, Outcome.BY_RUN), audited(SOUND)], CLAIM.name: [finding(CLAIM.rows[0])]}
    first, second = "\n".join(report.summary_table(rows, CLAIMS)).split("\n\n")
    assert first.splitlines()[2:] == [f"| {CLAIM.says} | {CLAIM.figure} | **HOLDS** | 1 of 1 hold |"]
    by_view = "**DEPENDS ON THE RUN**, 0 of 1 hold | **HOLDS**, 1 of 1 hold"
    assert second.splitlines()[2:] == [f"| {TWICE.says} | {TWICE.figure} | {by_view} |"]
    assert {line.count("|") for line in second.splitlines()} == {5}


def test_a_protocol_that_was_not_measured_is_said_to_be_so():
    table = report.summary_table({TWICE.name: [audited(SOUND)]}, CLAIMS)
    assert table[-1].endswith("| not measured | **HOLDS**, 1 of 1 hold |")


def test_without_a_claim_under_two_protocols_there_is_one_table():
    table = report.summary_table({CLAIM.name: [finding(CLAIM.rows[0])]}, CLAIMS)
    assert len(table) == 3
    assert "" not in table


def test_findings_from_before_there_were_views_can_still_be_read(tmp_path):
    path = tmp_path / f"{CLAIM.name}.json"
    report.write([finding(CLAIM.rows[0])], CLAIMS, tmp_path, {})
    content = json.loads(path.read_text())
    del content["rows"][0]["view"]
    path.write_text(json.dumps(content))
    (found,) = report.read(path)
    assert found == replace(finding(CLAIM.rows[0]), view="")


def test_a_finding_keeps_the_view_of_its_row_in_its_file(tmp_path):
    rows = [audited(PUBLISHED), audited(SOUND)]
    report.write(rows, CLAIMS, tmp_path, {})
    assert report.read(tmp_path / f"{TWICE.name}.json") == rows


def test_an_interval_without_limits_is_no_exact_figure():
    verdict = Verdict(Outcome.UNDECIDED, Interval(0.5, -math.inf, math.inf), CLAIM.rows[0].rule, 4, None, "")
    assert report.figure(report.finding(CLAIM.rows[0], verdict, {})) == "0.5 [-inf, inf]"


def test_the_range_of_single_runs_has_no_level():
    row = next(row for row in CLAIMS["audit-accuracy"].rows if row.view == PUBLISHED)
    verdict = judge_singly([0.0, 1.0], row.rule)
    assert report.finding(row, verdict, {}).level is None
    assert verdict.explain().startswith("DEPENDS ON THE RUN: 0.5 (0 to 1), region")
