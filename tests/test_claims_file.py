"""claims.json: nothing found is lost, nothing is taken that is not of the schema, every figure follows from its runs."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from seeds.claims import PUBLISHED, load
from seeds.errors import StoreError
from seeds.interval import Interval
from seeds.report import claims_file, raw
from seeds.report.claims_file import SCHEMA, add, read
from seeds.report.finding import Finding
from seeds.verdict import Outcome, Verdict
from tests.writers import CLAIM, CLAIMS, OTHER, SESSION, finding

ROOT = Path(__file__).parents[1]
LATER = replace(SESSION, started="2026-02-03T04:05:06+00:00")


def stored(path: Path) -> dict:
    return json.loads((path / claims_file.NAME).read_text())


# -- a file ---------------------------------------------------------------------------------------------------------------


def test_what_was_added_is_read_with_its_session(tmp_path):
    add([finding(CLAIM, 0), finding(OTHER, 1)], SESSION, CLAIMS, tmp_path)
    results = read(tmp_path)
    assert results.findings == [replace(f, session=SESSION.started) for f in (finding(OTHER, 1), finding(CLAIM, 0))][::-1]
    assert results.sessions == {SESSION.started: SESSION}


def test_a_folder_without_the_file_holds_nothing(tmp_path):
    assert read(tmp_path) == claims_file.Results([], {})


def test_a_run_of_some_rows_erases_no_other(tmp_path):
    """Neither of the same claim nor of another, and each row keeps the session in which it was found."""
    add([finding(CLAIM, 0), finding(CLAIM, 1), finding(OTHER, 0)], SESSION, CLAIMS, tmp_path)
    add([finding(CLAIM, 1, Outcome.REFUTED)], LATER, CLAIMS, tmp_path)
    found = {f.place: (f.outcome, f.session) for f in read(tmp_path).findings}
    assert found == {
        (CLAIM.name, CLAIM.rows[0].id): ("HOLDS", SESSION.started),
        (CLAIM.name, CLAIM.rows[1].id): ("REFUTED", LATER.started),
        (OTHER.name, OTHER.rows[0].id): ("HOLDS", SESSION.started),
    }


def test_rows_that_are_no_longer_claimed_leave_with_their_session(tmp_path):
    add([finding(CLAIM, 0)], SESSION, CLAIMS, tmp_path)
    fewer = CLAIMS | {CLAIM.name: replace(CLAIM, rows=CLAIM.rows[1:])}
    add([finding(CLAIM, 1)], LATER, fewer, tmp_path)
    assert [f.row for f in read(tmp_path).findings] == [CLAIM.rows[1].id]
    assert list(read(tmp_path).sessions) == [LATER.started]


def test_a_row_is_a_line_of_the_file(tmp_path):
    """So that a version control shows which rows moved."""
    add([finding(CLAIM, 0), finding(CLAIM, 1)], SESSION, CLAIMS, tmp_path)
    lines = [line for line in (tmp_path / claims_file.NAME).read_text().splitlines() if '"row"' in line]
    assert [json.loads(line.strip().rstrip(","))["row"] for line in lines] == [row.id for row in CLAIM.rows[:2]]


def _without(content: dict, *path: str | int) -> dict:
    here: Any = content
    for key in path[:-1]:
        here = here[key]
    del here[path[-1]]
    return content


DAMAGES = {
    "cut": lambda content: json.dumps(content)[:-9],
    "empty": lambda content: "",
    "a list": lambda content: "[]",
    "of another format": lambda content: json.dumps(content | {"format": "seeds.claims/2"}),
    "without sessions": lambda content: json.dumps(_without(content, "sessions")),
    "without its session": lambda content: json.dumps(content | {"sessions": {}}),
    "a row without its outcome": lambda content: json.dumps(_without(content, "claims", CLAIM.name, "rows", 0, "outcome")),
    "a word for a figure": lambda content: json.dumps(content).replace('"value": 0.01', '"value": "0.01"'),
    "no number": lambda content: json.dumps(content).replace('"value": 0.01', '"value": NaN'),
    "an outcome that is none": lambda content: json.dumps(content).replace('"HOLDS"', '"HOLD"'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_and_no_row_is_written_over_it(damage, tmp_path):
    """It may hold rows that this run did not measure, and that someone can restore."""
    add([finding(CLAIM, 0)], SESSION, CLAIMS, tmp_path)
    path = tmp_path / claims_file.NAME
    damaged = damage(stored(tmp_path))
    assert damaged != json.dumps(stored(tmp_path))
    path.write_text(damaged)
    with pytest.raises(StoreError, match=r"claims\.json is no file of claims \(.+\); restore it, or remove it and"):
        add([finding(CLAIM, 1)], LATER, CLAIMS, tmp_path)
    assert path.read_text() == damaged


def test_a_figure_that_is_no_number_is_not_written(tmp_path):
    with pytest.raises(StoreError, match=r"\$\.claims.*\.value: 'much' is not of type"):
        add([replace(finding(CLAIM, 0), value="much")], SESSION, CLAIMS, tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- the repository's own -------------------------------------------------------------------------------------------------


def test_the_published_schema_is_one_and_the_stored_file_is_of_it():
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    assert (ROOT / "reports" / claims_file.SCHEMA_NAME).read_bytes() == SCHEMA.read_bytes()
    Draft202012Validator(schema).validate(stored(ROOT / "reports"))


def test_the_schema_names_every_field_of_a_finding_and_of_a_session():
    kinds = json.loads(SCHEMA.read_text())["$defs"]
    assert set(kinds["row"]["properties"]) == set(asdict(finding(CLAIM, 0))) - {"claim"}
    assert set(kinds["session"]["properties"]) == set(asdict(SESSION))
    assert kinds["outcome"]["enum"] == [str(outcome) for outcome in Outcome]


def test_the_stored_rows_have_the_expected_outcomes():
    """Every row that is claimed was measured, and came to what its test lets pass."""
    known = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
    rows = {(claim.name, row.id): row for claim in known.values() for row in claim.rows}
    found = read(ROOT / "reports").findings
    assert [f.place for f in found] == list(rows)
    for f in found:
        row = rows[f.place]
        assert row.allows(Verdict(Outcome(f.outcome), Interval(0.0, 0.0, 0.0), row.rule, f.runs, None, f.reason)), f.place


def with_runs() -> list[Finding]:
    """The stored rows, but for those that only `--full` measures and whose runs were not kept when it last did."""
    full = {(claim.name, row.id) for claim in CLAIMS.values() for row in claim.rows if row.full}
    return [f for f in read(ROOT / "reports").findings if f.raw is not None or f.place not in full]


def test_every_stored_figure_follows_from_its_stored_runs():
    for f in with_runs():
        assert raw.follows(f.value, f.raw), f.place
        if f.assay is not None:
            assert raw.follows(f.assay[0], f.control_raw), f.place


def test_every_stored_row_has_as_many_runs_as_it_says():
    for f in with_runs():
        if f.runs is not None:
            assert raw.count(f.raw) >= f.runs, f.place
        if f.view == PUBLISHED:
            assert f.raw is not None
            assert f.low == pytest.approx(min(raw.per_run(f.raw)), rel=1e-5), f.place


def test_every_stored_row_names_the_test_that_found_it():
    for f in read(ROOT / "reports").findings:
        path, _, name = f.test.partition("::")
        assert (ROOT / path).is_file(), f.test
        assert name.endswith(f"[{f.row}]"), f.test
