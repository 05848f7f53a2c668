"""The audit's findings and their page: nothing is lost between what was found, what is stored and what is shown."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from seeds.audit import findings
from seeds.audit.findings import (
    KINDS,
    AuditFinding,
    FaultFinding,
    FiguresFinding,
    HeadsFinding,
    LedgerFinding,
    PadsFinding,
    ShareFinding,
    add,
    from_plain,
    plain,
    read,
    read_all,
)
from seeds.audit.page import PREFIX, page, write
from seeds.claims import PUBLISHED, SOUND, Claim, Row, load
from seeds.interval import Interval
from seeds.report import claims_file
from seeds.report.finding import Finding
from seeds.verdict import Outcome, Rule, Verdict, judge_singly
from tests.writers import SESSION

ROOT = Path(__file__).parents[1]
RULE = Rule(-math.inf, 0.05, 0.05)
ROWS = tuple(Row("audit-nothing", "toy", "pca:10", 4, RULE, view) for view in (PUBLISHED, SOUND))
CLAIM = Claim("audit-nothing", "nothing is kept", "9.9 % -> 0.0 %", "accuracy", "a reason", RULE, rows=ROWS)
CLAIMS = {CLAIM.name: CLAIM}
SHARES = (
    ShareFinding("one_class", (0.3, 0.2, 0.4), (0.15, 0.1, 0.2), (0.35, 0.3, 0.4), True),
    ShareFinding("pads_counted", (-0.01, -0.03, 0.01), (-0.02, -0.03, -0.01), (0.0, -0.01, 0.01), False),
)
LEDGER = LedgerFinding("toy", "accuracy", 4, (0.1, 0.05, 0.15), (0.6, 0.5, 0.7), (0.5, 0.4, 0.6), SHARES)
FAULT = FaultFinding(
    "toy", "one_class", True, "no class but 0", ("audit-nothing: REFUTED -> HOLDS", "audit-other: HOLDS -> NO ASSAY"), ()
)
QUIET = FaultFinding("toy", "one_run", None, "1 runs; at least 3 are needed", (), ("audit-nothing: HOLDS -> REFUTED",))
HEADS = HeadsFinding("toy", "fresh", [[0.0, 1.0], [1.0, 0.02]], [[0.48, 0.5], [0.52, 0.51]], 0.5, [0.75, 0.25])
PADS = PadsFinding("toy", [0.0, 0.5], {"assembled": [[9.0, 3.0], [8.0, 12.0]], "fresh": [[7.0, 7.0]]})
SIZES = FiguresFinding("report", [["ratio", "of sizes", 157.5, 1234.5678, "times"], ["head", "its bytes", None, 0.25, "KB"]])
EVERY: tuple[AuditFinding, ...] = (LEDGER, FAULT, QUIET, HEADS, PADS, SIZES)


def measured(view: str, subject: str = "toy") -> Finding:
    row = Row(CLAIM.name, subject, "pca:10", 4, RULE, view)
    if view == PUBLISHED:
        return Finding.of(row, judge_singly([0.0, 0.02, 0.25], RULE), {})
    return Finding.of(row, Verdict(Outcome.REFUTED, Interval(0.75, 0.7, 0.8), RULE, 4, None, "outside"), {})


def shown(every: Sequence[AuditFinding] = (), audited: Sequence[Finding] = ()) -> str:
    return page(every, {CLAIM.name: audited}, CLAIMS)


def line_of(text: str, begin: str) -> str:
    (line,) = (one for one in text.splitlines() if one.startswith(begin))
    return line


def plots(text: str) -> set[str]:
    """Files of the figures that a page shows."""
    return set(re.findall(r"!\[.*?\]\(\.\./figures/(.*?)\)", text))


def stored(one: AuditFinding) -> dict:
    """As it comes out of a file: there are no tuples in JSON."""
    return json.loads(json.dumps(plain(one), allow_nan=False))


# -- findings -------------------------------------------------------------------------------------------------------------


def test_there_is_a_finding_of_every_kind_here():
    assert {type(one) for one in EVERY} == set(KINDS.values())


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.kind}-{one.subject}")
def test_a_finding_comes_back_from_its_file_with_the_same_values(one):
    back = from_plain(stored(one))
    assert type(back) is type(one)
    assert stored(back) == stored(one)


def test_the_shares_of_a_stored_ledger_are_shares_again():
    back = from_plain(stored(LEDGER))
    assert isinstance(back, LedgerFinding)
    assert [type(s) for s in back.shares] == [ShareFinding, ShareFinding]
    assert [(s.fault, s.material) for s in back.shares] == [("one_class", True), ("pads_counted", False)]


@pytest.mark.parametrize("changed", [{"kind": "ledgers"}, {"kind": None}, {}], ids=["misspelt", "null", "none"])
def test_an_unknown_kind_is_refused_by_name(changed):
    rest = {name: value for name, value in stored(LEDGER).items() if name != "kind"}
    with pytest.raises(ValueError, match=f"kind {changed.get('kind')!r} of an audit's finding is unknown") as raised:
        from_plain(rest | changed)
    assert all(kind in str(raised.value) for kind in KINDS)


def test_there_is_one_file_for_each_kind_and_subject(tmp_path):
    folder = tmp_path / "new" / "audit"
    names = ["fault-other", "fault-toy", "figures-report", "heads-toy", "ledger-toy", "pads-toy"]
    elsewhere = replace(QUIET, subject="other")
    written = add([*EVERY, elsewhere], folder)
    assert sorted(written) == sorted(folder.iterdir()) == [folder / f"{name}.json" for name in names]
    in_order = [elsewhere, FAULT, QUIET, SIZES, HEADS, LEDGER, PADS]
    assert [stored(one) for one in read_all(folder)] == [stored(one) for one in in_order]


def test_what_was_not_found_now_stays(tmp_path):
    """Faults of one subject share a file, and so do the arms of its heads."""
    assembled = replace(HEADS, arm="moments")
    add([FAULT, HEADS], tmp_path)
    add([QUIET, assembled], tmp_path)
    assert [stored(one) for one in read_all(tmp_path)] == [stored(one) for one in (FAULT, QUIET, HEADS, assembled)]


@pytest.mark.parametrize(
    ("one", "fresh"),
    [
        (FAULT, replace(FAULT, evidence="found again")),
        (HEADS, replace(HEADS, balanced=[[0.5]])),
        (LEDGER, replace(LEDGER, runs=9)),
        (PADS, replace(PADS, shares=[0.1, 0.2])),
        (SIZES, replace(SIZES, lines=[])),
    ],
    ids=[FAULT.kind, HEADS.kind, LEDGER.kind, PADS.kind, SIZES.kind],
)
def test_what_is_found_again_replaces_what_was_stored(tmp_path, one, fresh):
    (path,) = add([one], tmp_path)
    first = path.read_bytes()
    add([one], tmp_path)
    assert path.read_bytes() == first
    add([fresh], tmp_path)
    assert [stored(found) for found in read(path)] == [stored(fresh)]


def test_the_order_in_which_findings_come_changes_no_file(tmp_path):
    """With several processes it is chance."""
    (one,), (other,) = add([FAULT, QUIET], tmp_path / "one"), add([QUIET, FAULT], tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()


def test_a_file_that_is_not_there_has_no_findings(tmp_path):
    assert read(tmp_path / "ledger-toy.json") == []
    assert read_all(tmp_path / "nowhere") == []


# -- the page -------------------------------------------------------------------------------------------------------------


def test_both_protocols_stand_side_by_side():
    """The published figure is a range of runs in parentheses, the sound one an interval; whichever comes first."""
    expected = (
        "| toy, pca:10 | 0.09 (0 to 0.25) | **DEPENDS ON THE RUN**, 2 of 3 single runs hold | 0.75 [0.7, 0.8] | **REFUTED** |"
    )
    for rows in ([measured(PUBLISHED), measured(SOUND)], [measured(SOUND), measured(PUBLISHED)]):
        text = shown(audited=rows)
        assert line_of(text, "| toy") == expected
        assert f"### {CLAIM.name}" in text
        assert f"The report: {CLAIM.says} ({CLAIM.figure}). Measured: {CLAIM.unit};\nholds if < 0.05." in text


def test_rows_of_different_subjects_do_not_mix():
    text = shown(audited=[measured(PUBLISHED, "toy"), measured(SOUND, "other")])
    assert line_of(text, "| toy").endswith("| not measured |  |")
    assert line_of(text, "| other").startswith("| other, pca:10 | not measured |  | 0.75 [0.7, 0.8] |")


def test_perplexities_are_shown_where_they_are_known():
    row = replace(measured(PUBLISHED), notes={"least_perplexity": 2180.56, "largest_perplexity": 1.6e17})
    assert "0.09 (0 to 0.25); perplexity 2.18e+03 to 1.6e+17 |" in shown(audited=[row])
    assert "perplexity" not in shown(audited=[measured(PUBLISHED)])


def test_a_claim_without_rows_is_not_on_the_page():
    assert CLAIM.name not in shown()


def test_material_faults_are_bold_in_the_ledger_and_in_the_list():
    text = shown([LEDGER])
    assert "| **one class** | 0.3 [0.2, 0.4] | 0.15 | 0.35 |" in text
    assert "| pads counted | -0.01 [-0.03, 0.01] | -0.02 | 0 |" in text
    assert "Sound 0.1 [0.05, 0.15], published 0.6 [0.5, 0.7], effect 0.5 [0.4, 0.6]; 4 runs." in text
    assert "| toy | **one class** |" in shown([FAULT])
    assert "| toy | one class |" in shown([replace(FAULT, material=False)])
    assert "| toy | one run |" in shown([QUIET])


def test_a_fault_that_changes_no_verdict_says_nothing_changes():
    assert shown([FAULT]).endswith("| no class but 0 | nothing: REFUTED -> HOLDS<br>other: HOLDS -> NO ASSAY | nothing |\n")
    assert shown([QUIET]).endswith("| 1 runs; at least 3 are needed | nothing | nothing: HOLDS -> REFUTED |\n")
    assert shown([replace(QUIET, without=())]).endswith("| nothing | nothing |\n")


def test_heads_and_single_figures_are_counted_as_stored():
    """Three of four heads are extreme on one class, none on balanced rows: standard deviations are 0.495 and 0.0148."""
    text = shown([HEADS, SIZES])
    assert "| fresh | 75.0% | 0.0% | 33.5 | 0.480, 0.520 | 75% of pairs, balanced 25% |" in text
    assert "| ratio | of sizes | 157.5 | 1,234.57 | times |" in text
    assert "| head | its bytes |  | 0.25 | KB |" in text


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.kind}-{one.subject}")
def test_a_deleted_finding_leaves_the_page(one):
    rest = [other for other in EVERY if other is not one]
    assert shown(EVERY) != shown(rest)
    assert len(shown(rest)) < len(shown(EVERY))


def test_every_line_of_a_table_has_as_many_cells_as_its_head():
    blocks = shown(EVERY, [measured(PUBLISHED), measured(SOUND), measured(SOUND, "other")]).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert [len(table) for table in tables] == [4, 4, 4, 3, 4]
    for table in tables:
        assert {line.count("|") for line in table} == {table[1].count("|")}
        assert set(table[1]) == set("|-")


def test_a_page_without_any_finding_is_still_a_page():
    for audited in ({}, {CLAIM.name: []}):
        text = page([], audited, CLAIMS)
        assert text.startswith("# The report's protocol, fault by fault\n")
        assert [line for line in text.splitlines() if line.startswith("## ")] == ["## The headlines, twice"]
        assert text.endswith("\n")
        assert "|" not in text
        assert "![" not in text


# -- files ----------------------------------------------------------------------------------------------------------------


def test_the_same_data_make_the_same_files(tmp_path):
    verdicts = tmp_path / "verdicts"
    verdicts.mkdir()
    claims_file.add([measured(PUBLISHED), measured(SOUND)], SESSION, CLAIMS, verdicts)
    made = [[*add(EVERY, tmp_path / name), *write(verdicts, CLAIMS, tmp_path / name)] for name in ("first", "second")]
    assert [path.name for path in made[0]] == [path.name for path in made[1]]
    for one, other in zip(*made, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_page_shows_a_figure_of_each_kind_that_was_found():
    assert plots(shown(EVERY)) == {"audit-ledger.svg", "audit-heads.svg", "audit-pads.svg"}
    for one in (LEDGER, HEADS, PADS):
        assert plots(shown([one])) == {f"audit-{one.kind}.svg"}


def test_a_written_page_is_made_of_all_that_is_stored(tmp_path):
    """Of an earlier run, too."""
    claims_file.add([measured(PUBLISHED), measured(SOUND)], SESSION, CLAIMS, tmp_path)
    folder = tmp_path / "audit"
    add([LEDGER, FAULT], folder)
    add([QUIET], folder)
    write(tmp_path, CLAIMS, folder)
    text = (folder / "README.md").read_text()
    assert text == shown([FAULT, QUIET, LEDGER], claims_file.read(tmp_path).findings)
    assert "0.09 (0 to 0.25)" in text


def test_nothing_found_writes_a_page_all_the_same(tmp_path):
    (written,) = write(tmp_path, CLAIMS, tmp_path / "audit")
    assert written.read_text() == shown()


def test_the_stored_page_is_made_of_the_stored_findings():
    """`make report` refreshes both; a figure typed by hand would differ, and so does a page of an older wording."""
    folder, claims = ROOT / "reports", load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
    stored = claims_file.read(folder).findings
    audited = {name: [f for f in stored if f.claim == name] for name in claims if name.startswith(PREFIX)}
    assert audited
    assert (folder / "audit" / "README.md").read_text() == page(findings.read_all(folder / "audit"), audited, claims)


def test_the_plots_of_the_stored_page_are_there():
    folder = ROOT / "reports"
    named = plots((folder / "audit" / "README.md").read_text())
    assert named
    assert named == {path.name for path in (folder / "figures").glob("audit-*.svg")}
