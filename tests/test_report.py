"""What people read: the table, the files and the README all say what the rows found."""

import json
import math
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seeds.claims import PUBLISHED, SOUND, load
from seeds.errors import StoreError
from seeds.interval import Interval
from seeds.quantity import Counted, Mean
from seeds.report import claims_file, published, readme
from seeds.report.finding import Finding
from seeds.report.line import claim_lines
from seeds.report.tables import page, summary_table
from seeds.report.terminal import table
from seeds.verdict import Outcome, Verdict, judge, judge_singly

ROOT = Path(__file__).parents[1]
CLAIMS = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
CLAIM = CLAIMS["zeroshot-accuracy"]


def finding(row, outcome=Outcome.HOLDS, **notes):
    verdict = Verdict(outcome, Interval(0.01, -0.02, math.inf), row.rule, 48, Interval(0.87, 0.83, 0.9), "because")
    return replace(Finding.of(row, verdict, notes), raw=0.01, control_raw=0.87)


def test_a_finding_is_plain_json_and_infinite_limits_are_null():
    found = finding(CLAIM.rows[0], accuracy=0.123456789)
    assert json.loads(json.dumps(asdict(found))) == asdict(found)
    assert found.high is None
    assert found.notes == {"accuracy": 0.123457}
    assert found.figure == "0.01 [-0.02, inf]"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_note_that_is_no_finite_number_is_refused_where_it_is_measured(value):
    """And not at the end of a run of an hour, by the file that it cannot be written into."""
    with pytest.raises(
        ValueError, match=rf"the note nats of {re.escape(CLAIM.rows[0].id)} is {value}; a stored number is finite"
    ):
        finding(CLAIM.rows[0], nats=value)


def test_a_run_that_is_no_finite_number_is_refused_where_it_is_measured():
    verdict = Verdict(
        Outcome.HOLDS, Interval(1, 0, 2), CLAIM.rows[0].rule, 2, None, "", measured=Mean(np.array([[1.0], [math.inf]]))
    )
    with pytest.raises(ValueError, match=r"a run of .* is inf; a stored number is finite"):
        Finding.of(CLAIM.rows[0], verdict, {})


def test_numbers_of_numpy_are_stored_as_plain_ones():
    found = finding(CLAIM.rows[0], runs_there=np.int64(7), nats=np.float32(0.5))
    assert json.loads(json.dumps(found.notes)) == {"runs_there": 7, "nats": 0.5}


def test_the_table_shows_claim_figure_control_and_line():
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[-1], Outcome.NO_ASSAY)]
    text = "\n".join(table(rows, CLAIMS))
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
    assert Finding.of(CLAIM.rows[0], verdict, {}).level == 0.98


def test_a_finding_tells_how_many_examples_its_interval_is_over():
    """That of the quantity, and not of its control; none where nothing was measured."""
    quantity, control = Mean(np.ones((8, 40))), Mean(np.ones((1, 30)), random=False)
    of = [judge(quantity, CLAIM.rows[0].rule, assay=control), judge(None, CLAIM.rows[0].rule, assay=control)]
    assert [Finding.of(CLAIM.rows[0], verdict, {}).examples for verdict in of] == [40, None]


def test_an_undecided_row_says_what_it_needs_and_is_counted():
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[1], Outcome.UNDECIDED)]
    lines = table(rows, CLAIMS)
    assert [line.strip() for line in lines].count("because") == 1
    assert lines[-1] == "1 of 2 rows are UNDECIDED"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_row_is_on_the_page_whatever_came_out(outcome):
    """Also in the table of the terminal; what could not be decided is as much of an answer as what could."""
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[1], outcome)]
    lines = page(rows, CLAIMS).splitlines()
    for row, found in zip(CLAIM.rows, (Outcome.HOLDS, outcome), strict=False):
        assert [line for line in lines if line.startswith(f"| {row.id} | **{found}** |")]
        assert [line for line in table(rows, CLAIMS) if line.split()[:1] == [row.id] and found in line]


def test_the_line_of_a_claim_counts_its_undecided_rows():
    """One of two that hold is not all of them: not on the line, not on the page, not in the table of the README."""
    rows = [finding(CLAIM.rows[0]), finding(CLAIM.rows[1], Outcome.UNDECIDED)]
    assert claim_lines(rows)[0] == "all: UNDECIDED (1 of 2 hold)"
    line = f"| {CLAIM.says} | {CLAIM.figure} | **UNDECIDED** | 1 of 2 hold | 2 |"
    assert line in page(rows, CLAIMS).splitlines()
    assert line in summary_table({CLAIM.name: rows}, CLAIMS)


def test_every_network_of_digits_counts_as_vision():
    rows = [replace(finding(CLAIM.rows[0]), subject=name) for name in ("digits-mlp-3", "digits-cnn-04", "docs-gpt")]
    assert claim_lines(rows)[1:] == ["vision: HOLDS (2 of 2 hold)", "text: HOLDS (1 of 1 hold)"]


def test_an_unexpected_outcome_is_marked():
    row = replace(CLAIM.rows[0], expected=Outcome.HOLDS)
    assert "REFUTED!" in "\n".join(table([finding(row, Outcome.REFUTED)], CLAIMS))


def test_the_readme_shows_the_table_of_the_reports():
    """`make report` refreshes both; a figure typed by hand would differ, and so does one whose run is gone."""
    stored = claims_file.read(ROOT / "reports").findings
    shown = (ROOT / "README.md").read_text().split(readme.START)[1].split(readme.END)[0]
    assert shown == readme.block(stored, CLAIMS)


def test_the_stored_page_is_made_of_the_stored_rows():
    """The Markdown one; that of a browser is compared in tests/test_page.py."""
    stored = claims_file.read(ROOT / "reports").findings
    assert (ROOT / "reports" / "README.md").read_text() == page(stored, CLAIMS)


RUNS, FEWER = [0.25, 0.5, 0.75], [0.25, 0.5]
DELETIONS = {
    "of a mean": ({"raw": RUNS}, {"raw": FEWER}),
    "of the top of a ratio": ({"raw": {"ratio": [RUNS, RUNS]}}, {"raw": {"ratio": [FEWER, RUNS]}}),
    "of its bottom": ({"raw": {"ratio": [RUNS, RUNS]}}, {"raw": {"ratio": [RUNS, FEWER]}}),
    "of one of several": ({"raw": {"smallest": [RUNS, RUNS]}}, {"raw": {"smallest": [RUNS, FEWER]}}),
    "of the control": ({"raw": RUNS, "control_raw": RUNS}, {"raw": RUNS, "control_raw": FEWER}),
    "by another number": ({"raw": RUNS}, {"raw": [*FEWER, 0.750001]}),
}


@pytest.mark.parametrize(("whole", "less"), DELETIONS.values(), ids=DELETIONS)
def test_a_run_that_is_deleted_or_replaced_changes_the_readme(whole, less):
    """Also where no table shows it: the line above the tables has a digest of all of them."""
    row = finding(CLAIM.rows[0])
    assert readme.block([replace(row, **whole)], CLAIMS) != readme.block([replace(row, **less)], CLAIMS)


def test_a_run_that_is_deleted_changes_the_page_of_tables():
    row = finding(CLAIM.rows[0])
    assert page([replace(row, raw=RUNS)], CLAIMS) != page([replace(row, raw=FEWER)], CLAIMS)


def test_the_readme_does_not_change_where_only_the_session_does():
    row = finding(CLAIM.rows[0])
    assert readme.block([row], CLAIMS) == readme.block([replace(row, session="another")], CLAIMS)


def test_the_readme_counts_what_it_shows():
    """Not rows of a claim that has left."""
    rows = [finding(CLAIM.rows[0]), replace(finding(CLAIM.rows[1]), claim="zeroshot-gone")]
    assert "\n* 1 claims, 1 rows, 1 figures of single runs; a SHA-256 of all rows" in readme.block(rows, CLAIMS)


def test_a_row_whose_runs_were_not_kept_says_so():
    """Of a time when they were not; the figure then follows from nothing that can be looked at."""
    row = finding(CLAIM.rows[0])
    assert "| 48, not kept |" in page([replace(row, raw=None)], CLAIMS)
    assert "| 2 |" in page([replace(row, raw=[0.25, 0.5])], CLAIMS)


def test_the_readme_counts_the_rows_whose_figures_no_runs_back():
    kept, gone = finding(CLAIM.rows[0]), replace(finding(CLAIM.rows[1]), raw=None)
    assert ". 1 row has a figure that no stored runs back.\n" in readme.block([kept, gone], CLAIMS)
    assert ". 2 rows have figures that no stored runs back.\n" in readme.block([replace(kept, control_raw=None), gone], CLAIMS)
    assert "stored runs" not in readme.block([kept], CLAIMS)


BY_UNSTORED = {  # outcomes of rows with stored runs and without, and whether the line rests on the latter
    "refuted by one without": ([Outcome.HOLDS], [Outcome.REFUTED], True),
    "refuted by one with": ([Outcome.REFUTED, Outcome.HOLDS], [Outcome.REFUTED], False),
    "holds either way": ([Outcome.HOLDS], [Outcome.HOLDS], False),
    "none with": ([], [Outcome.UNDECIDED], True),
    "could not speak either way": ([Outcome.NO_ASSAY], [Outcome.NO_ASSAY], False),
}


@pytest.mark.parametrize(("stored", "gone", "rests"), BY_UNSTORED.values(), ids=BY_UNSTORED)
def test_a_line_that_rests_on_rows_without_stored_runs_says_so(stored, gone, rests):
    """Nobody can look at what decided it."""
    outcomes = [*stored, *gone]
    rows = [finding(row, outcome) for row, outcome in zip(CLAIM.rows, outcomes, strict=False)]
    rows = [replace(f, raw=None) if i >= len(stored) else f for i, f in enumerate(rows)]
    line = summary_table({CLAIM.name: rows}, CLAIMS)[2]
    assert ("** (by rows without stored runs) |" in line) is rests
    twice = [replace(f, claim=TWICE.name, view=PUBLISHED) for f in rows]
    assert ("** (by rows without stored runs), " in summary_table({TWICE.name: twice}, CLAIMS)[-1]) is rests


def test_what_is_left_of_rounding_is_shown_as_zero_and_stored_as_it_is():
    row = finding(CLAIM.rows[0], nats=-4e-16)
    row = replace(row, value=-3.02593e-17, low=-0.03, high=5e-16, assay=[1e-16, 0.0])
    assert row.figure == "0 [-0.03, 0]"
    assert f"| {row.row} | **HOLDS** | 0 [-0.03, 0] | 0 | 1 | nats 0 |" in page([row], CLAIMS)
    assert replace(row, value=2e-12).figure == "2e-12 [-0.03, 0]"
    assert (row.value, row.notes) == (-3.02593e-17, {"nats": -4e-16})


@pytest.mark.parametrize(("times", "says"), [((2.1, 2.2), "2"), ((2.1, 9.4), "2 to 9")])
def test_sizes_that_round_to_the_same_are_one(times, says):
    claim = CLAIMS["zeroshot-structure"]
    rows = [
        finding(replace(row, claim=claim.name), Outcome.REFUTED, times_smaller=one)
        for row, one in zip(claim.rows, times, strict=False)
    ]
    assert f"are of seeds {says} times smaller than the weights;" in readme.block(rows, CLAIMS)


@pytest.mark.parametrize(
    "text",
    ["none", readme.START, readme.END + readme.START, f"{readme.START}{readme.END}{readme.START}{readme.END}"],
    ids=["none", "one", "the wrong way round", "twice"],
)
def test_a_readme_without_its_markers_stays_as_it_is(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(StoreError, match="has not one <!-- verdicts --> before one <!-- end of verdicts -->; restore them"):
        readme.refresh(tmp_path / "README.md", [], CLAIMS)
    assert (tmp_path / "README.md").read_text() == text


@pytest.mark.parametrize("passed", [True, False])
def test_the_status_of_a_row_is_its_outcome(pytestconfig, passed):
    conftest = next(p for p in pytestconfig.pluginmanager.get_plugins() if hasattr(p, "_finding"))
    found = asdict(finding(CLAIM.rows[0])) | {"expected": "HOLDS" if passed else "REFUTED"}
    test = SimpleNamespace(when="call", passed=passed, user_properties=[("finding", found)])
    category, _, word = conftest.pytest_report_teststatus(test, pytestconfig)
    assert (category, word) == (("passed", "HOLDS") if passed else ("failed", "HOLDS, EXPECTED REFUTED"))


def test_a_counted_figure_has_no_interval():
    row = CLAIMS["seed-size"].rows[0]
    interval = Counted(157.5).interval(0.05)
    assert Finding.of(row, Verdict(Outcome.HOLDS, interval, row.rule, None, None, ""), {}).figure == "157.5"


# -- claims under two protocols -------------------------------------------------------------------------------------------

TWICE = CLAIMS["audit-perplexity"]


def audited(view, outcome=Outcome.HOLDS, subject="docs-gpt"):
    row = next(row for row in TWICE.rows if (row.view, row.subject) == (view, subject))
    return replace(Finding.of(row, Verdict(outcome, Interval(0.5, 0.25, 1.0), row.rule, 8, None, "because"), {}), raw=0.5)


def test_a_published_figure_is_shown_with_its_range_and_a_sound_one_with_its_interval():
    published, sound = audited(PUBLISHED), audited(SOUND)
    assert (published.view, sound.view) == (PUBLISHED, SOUND)
    assert published.figure == "0.5 (0.25 to 1)"
    assert sound.figure == "0.5 [0.25, 1]"
    assert replace(published, low=None, high=0.75).figure == "0.5 (-inf to 0.75)"


def test_a_claim_under_two_protocols_has_a_line_for_each_and_none_for_all():
    rows = [audited(SOUND, Outcome.REFUTED), audited(PUBLISHED, Outcome.BY_RUN), audited(PUBLISHED, subject="gpt2")]
    assert claim_lines(rows) == ["published: DEPENDS ON THE RUN (1 of 2 hold)", "sound: REFUTED (0 of 1 hold)"]
    assert claim_lines(rows[:1]) == ["sound: REFUTED (0 of 1 hold)"]
    text = "\n".join(table(rows, CLAIMS))
    assert "published: DEPENDS ON THE RUN (1 of 2 hold)" in text
    assert "all:" not in text


def test_claims_under_two_protocols_have_a_table_of_their_own():
    rows = {TWICE.name: [audited(PUBLISHED, Outcome.BY_RUN), audited(SOUND)], CLAIM.name: [finding(CLAIM.rows[0])]}
    first, second = "\n".join(summary_table(rows, CLAIMS)).split("\n\n")
    assert first.splitlines()[2:] == [f"| {CLAIM.says} | {CLAIM.figure} | **HOLDS** | 1 of 1 hold | 1 |"]
    by_view = "**DEPENDS ON THE RUN**, 0 of 1 hold | **HOLDS**, 1 of 1 hold"
    assert second.splitlines()[2:] == [f"| {TWICE.says} | {TWICE.figure} | {by_view} | 2 |"]
    assert {line.count("|") for line in second.splitlines()} == {6}


def test_a_protocol_that_was_not_measured_is_said_to_be_so():
    shown = summary_table({TWICE.name: [audited(SOUND)]}, CLAIMS)
    assert shown[-1].endswith("| not measured | **HOLDS**, 1 of 1 hold | 1 |")


def test_without_a_claim_under_two_protocols_there_is_one_table():
    shown = summary_table({CLAIM.name: [finding(CLAIM.rows[0])]}, CLAIMS)
    assert len(shown) == 3
    assert "" not in shown


def test_an_interval_without_limits_is_no_exact_figure():
    verdict = Verdict(Outcome.UNDECIDED, Interval(0.5, -math.inf, math.inf), CLAIM.rows[0].rule, 4, None, "")
    assert Finding.of(CLAIM.rows[0], verdict, {}).figure == "0.5 [-inf, inf]"


def test_the_range_of_single_runs_has_no_level():
    row = next(row for row in CLAIMS["audit-accuracy"].rows if row.view == PUBLISHED)
    verdict = judge_singly([0.0, 1.0], row.rule)
    assert Finding.of(row, verdict, {}).level is None
    assert verdict.explain().startswith("DEPENDS ON THE RUN: 0.5 (0 to 1), region")


# -- what the README says of itself -----------------------------------------------------------------------------------------


def test_the_readme_begins_with_the_audited_report_and_every_outcome():
    opening = " ".join((ROOT / "README.md").read_text().partition(readme.START)[0].split())
    assert f"[research report]({published.URL}) (ML-ToolBox, at commit `{published.COMMIT}`)" in opening
    assert [outcome for outcome in Outcome if outcome not in opening] == []
