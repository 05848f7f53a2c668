"""The claims' files: every row well formed, expected or knowingly not, and levels that no run can change."""

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from seeds.claims import FAMILIES, LARGEST_PCA, LEVEL, PUBLISHED, SOUND, load, measured, narrowed
from seeds.codecs import parse
from seeds.interval import Interval
from seeds.measure import FRESH, MIMETIC, ORIGINAL
from seeds.subject import SUBJECTS
from seeds.task import TASKS
from seeds.verdict import MIN_RUNS, Outcome, Verdict

HERE = Path(__file__).parent
CLAIMS = load(HERE / "claims.toml", HERE / "expected.toml")
ROWS = [row for claim in CLAIMS.values() for row in claim.rows]
WITHOUT_CONTROL = {
    "seed-size", "cost-bandwidth", "cost-compute", "cost-runtime",  # bytes and seconds, which nothing has to be learned for
    "audit-original", "audit-before-training",  # the original itself, and weights before any training
    "zeroshot-louder-than-fresh", "audit-worse-than-random",  # against fresh weights, whatever the original can do
    "finetune-perfect", "audit-tiny-budget",  # an accuracy as it is, not a share of the original's
}  # fmt: skip


def test_every_row_names_what_exists():
    for row in ROWS:
        assert row.subject in SUBJECTS
        assert not row.data or row.data in TASKS
        assert row.runs >= 1
        if row.codec not in (LARGEST_PCA, MIMETIC, FRESH, ORIGINAL):
            parse(row.codec)


def test_row_ids_are_unique_within_a_claim():
    for claim in CLAIMS.values():
        assert len({row.id for row in claim.rows}) == len(claim.rows)


def test_every_row_has_an_expected_outcome():
    """A row without one could never fail."""
    assert [f"{row.claim}: {row.id}" for row in ROWS if row.expected is None] == []


def test_no_expected_outcome_lacks_its_row():
    known = {(row.claim, row.id) for row in ROWS}
    expected = tomllib.loads((HERE / "expected.toml").read_text())
    assert {(claim, row) for claim, rows in expected.items() for row in rows} <= known


def test_every_claim_has_one_region_and_its_reason():
    """Or none, and then its rows are expected to be recorded and nothing else."""
    for claim in CLAIMS.values():
        assert claim.rule.judges == (math.isfinite(claim.rule.above) or math.isfinite(claim.rule.below))
        assert claim.rule.judges != ({row.expected for row in claim.rows} == {Outcome.RECORDED})
        assert len(claim.reason) > 20
        assert claim.says
        assert claim.figure


def test_a_claim_on_what_is_kept_or_learned_has_a_control():
    """The gap that the file states: what the original, or its lead over fresh weights, must exceed before a row speaks."""
    stated = {name: table.get("assay_gap") for name, table in tomllib.loads((HERE / "claims.toml").read_text()).items()}
    assert {name for name, gap in stated.items() if gap is None} == WITHOUT_CONTROL
    for row in ROWS:
        assert row.rule.assay_gap == stated[row.claim]
        assert row.rule.assay_gap is None or row.rule.assay_gap > 0


def test_raw_rows_and_no_others_ask_for_calibration_below_chance():
    """Elsewhere a figure below zero says what it says."""
    assert {row.view for row in ROWS if row.rule.needs_calibration} == {"raw"}
    assert all(row.rule.needs_calibration for row in ROWS if row.view == "raw")


def test_the_level_of_a_row_depends_on_the_file_alone():
    for claim in CLAIMS.values():
        kept = narrowed(claim.rows, [claim.rows[0].subject], [], None)
        assert {row.rule.alpha for row in kept} == {LEVEL / len(claim.rows)}


def test_random_rows_have_enough_runs_to_decide():
    counted = ("seed-size", "cost-bandwidth")
    assert all(row.runs >= MIN_RUNS for row in ROWS if row.claim not in counted)


def test_a_codec_of_ones_own_makes_rows_that_only_report():
    rows = CLAIMS["zeroshot-perplexity"].rows
    (row,) = narrowed(rows, ["docs-gpt"], ["pca:5+vectors"], None)
    assert (row.subject, row.codec, row.expected) == ("docs-gpt", "pca:5+vectors", None)


def test_a_codec_listed_for_another_subject_only_makes_a_row_too():
    rows = CLAIMS["zeroshot-no-features"].rows
    assert [row.id for row in narrowed(rows, ["docs-gpt"], ["permuted+vectors"], None)] == ["docs-gpt-permuted+vectors"]
    assert narrowed(rows, [], [LARGEST_PCA], None) == []


def test_fewer_runs_than_stated_only_report():
    rows = CLAIMS["zeroshot-perplexity"].rows
    assert all(row.expected is None for row in narrowed(rows, [], [], 2))
    assert [row.expected for row in narrowed(rows, [], [], 100)] == [row.expected for row in rows]


def test_the_reports_figures_stand_nowhere_else():
    """claims.toml is their only home: no figure of the report in any Python file."""
    figures = ("3,298", "3298.17", "3.3207", "84.5", "108.59", "3,311", "3311.1", "157.8", "146.8")
    for path in [*HERE.parent.glob("seeds/**/*.py"), *HERE.glob("*.py"), HERE.parent / "conftest.py"]:
        if path.name != Path(__file__).name:
            assert not [f for f in figures if f in path.read_text()], path


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_expected_row_allows_that_outcome_only(outcome):
    row = replace(ROWS[0], expected=Outcome.HOLDS)
    verdict = Verdict(outcome, Interval(0.0, -1.0, 1.0), row.rule, 8, None, "because")
    assert row.allows(verdict) is (outcome is Outcome.HOLDS)
    assert replace(row, expected=None).allows(verdict)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_timed_row_fails_where_machines_contradict_each_other_only(outcome):
    """Another machine may be near the margin, and leave undecided what was clear here, or the other way round."""
    row = replace(ROWS[0], expected=Outcome.HOLDS, timed=True)
    verdict = Verdict(outcome, Interval(0.0, -1.0, 1.0), row.rule, 8, None, "because")
    assert row.allows(verdict) is (outcome in (Outcome.HOLDS, Outcome.UNDECIDED))
    judged = outcome in (Outcome.HOLDS, Outcome.REFUTED, Outcome.UNDECIDED)
    assert replace(row, expected=Outcome.UNDECIDED).allows(verdict) is judged


def test_a_codec_of_ones_own_makes_no_row_of_a_claim_under_two_protocols():
    """The report's protocol has one codec; rows of the codecs that are listed stay."""
    rows = CLAIMS["audit-perplexity"].rows
    assert {row.view for row in rows} == {PUBLISHED, SOUND}
    assert narrowed(rows, ["docs-gpt"], ["pca:5+vectors"], None) == []
    assert narrowed(rows, ["docs-gpt"], ["pca:5+vectors", "pca:10"], None) == [r for r in rows if r.subject == "docs-gpt"]


def test_a_codec_of_ones_own_makes_rows_of_other_views_all_the_same():
    row = CLAIMS["zeroshot-perplexity"].rows[0]
    rows = [replace(row, view=view) for view in ("raw", PUBLISHED, SOUND)]
    assert [own.view for own in narrowed(rows, [], ["pca:5+vectors"], None)] == ["raw"]


def test_long_rows_leave_the_whole_suite_only_and_full_ones_every_run_without_full():
    plain, long, full, both = (replace(ROWS[0], long=a, full=b) for b in (False, True) for a in (False, True))
    rows = [plain, long, full, both]
    assert measured(rows, full=False, whole=True) == [plain]
    assert measured(rows, full=False, whole=False) == [plain, long]
    assert measured(rows, full=True, whole=True) == measured(rows, full=True, whole=False) == rows


def test_every_family_keeps_rows_in_the_whole_suite():
    """No claim that a family judges is left out of the default run altogether."""
    for claim in CLAIMS.values():
        assert measured(claim.rows, full=False, whole=True), claim.name


def test_a_claim_of_no_family_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "claims.toml").write_text("[mine-first]\nsays = 'so'\n")
    with pytest.raises(ValueError, match="the claim 'mine-first' is of no family; names begin with zeroshot, seed, finetune"):
        load(tmp_path / "claims.toml", tmp_path / "none.toml")


def test_the_family_of_a_claim_is_the_marker_of_its_tests():
    """What the page and claims.json sort by is what `pytest -m` picks."""
    found = {}
    for path in HERE.glob("test_*.py"):
        text = path.read_text()
        marked = re.findall(r"^(?:pytestmark = |@)pytest\.mark\.(" + "|".join(FAMILIES.values()) + r")\b", text, re.MULTILINE)
        found |= dict.fromkeys(re.findall(r'^@pytest\.mark\.claim\("([\w-]+)"\)$', text, re.MULTILINE), marked)
    assert found == {claim.name: [claim.family] for claim in CLAIMS.values()}
