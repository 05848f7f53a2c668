"""The matrix, in short: what two environments find otherwise is told, and no environment is taken for another.

    python -m tests.campaigns.matrix pin lowest newest

does it with every zero-shot row and round trip.
"""

import json
from dataclasses import replace

import pytest

from tests.campaigns import matrix
from tests.campaigns.record import ABSENT, Difference, Record, Result, differences, flat, load, save

ROW, OTHER, GOLDEN = "tests/test_a.py::test_row[x]", "tests/test_a.py::test_other", "tests/test_a.py::test_golden_bits"


def record(change=None, torch="2.6.0", exit_status=0):
    found = {
        ROW: Result("passed", "", "HOLDS", {"value": 0.5, "low": None}),
        OTHER: Result("skipped", "no network"),
        GOLDEN: Result("passed"),
    }
    return Record(("-m", "x"), {"python": "3.11.7", "torch": torch}, 12.5, exit_status, {"": (ROW,)}, found | (change or {}))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({ROW: Result("passed", "", "REFUTED", {"value": 0.5, "low": None})}, [Difference(ROW, "verdict", "HOLDS", "REFUTED")]),
        ({ROW: Result("failed", "", "HOLDS", {"value": 0.5, "low": None})}, [Difference(ROW, "outcome", "passed", "failed")]),
        ({ROW: Result("passed", "", "HOLDS", {"value": 0.6, "low": None})}, [Difference(ROW, "value", 0.5, 0.6)]),
        ({ROW: Result("passed", "", "HOLDS", {"value": 0.5, "low": 0.0})}, [Difference(ROW, "low", None, 0.0)]),
        ({ROW: Result("passed", "", "HOLDS", {"value": 0.5})}, [Difference(ROW, "low", None, ABSENT)]),
        ({GOLDEN: Result("passed", figures={"bits": 1.0})}, [Difference(GOLDEN, "bits", ABSENT, 1.0)]),
        ({ROW: Result("skipped", "gone")}, [Difference(ROW, "outcome", "passed", "skipped")]),
        ({OTHER: Result("passed")}, [Difference(OTHER, "outcome", "skipped", "passed")]),
        ({"new": Result("passed")}, [Difference("new", "outcome", ABSENT, "passed")]),
    ],
    ids=[
        "nothing",
        "verdict",
        "outcome",
        "figure",
        "limit",
        "figure gone",
        "new figure",
        "skipped",
        "no longer skipped",
        "another test",
    ],
)
def test_whatever_differs_is_found_from_both_sides(change, found):
    assert differences(record(), record(change)) == found
    assert differences(record(change), record()) == [replace(one, first=one.second, second=one.first) for one in found]


def test_figures_are_compared_by_their_larger_one():
    assert Difference("", "value", -2.0, -1.0).relative == Difference("", "value", 1.0, 2.0).relative == 0.5
    assert Difference("", "value", 0.0, 1e-9).relative == 1.0
    assert Difference("", "value", None, 1.0).relative == float("inf")


def test_a_property_is_taken_apart_to_its_leaves():
    found = {"finding": {"value": 0.5, "assay": [1.0, None], "notes": {"bytes": 3}}, "plain": "x"}
    assert dict(flat(found)) == {
        "finding.value": 0.5, "finding.assay.0": 1.0, "finding.assay.1": None, "finding.notes.bytes": 3, "plain": "x",
    }  # fmt: skip


def test_a_record_comes_back_from_its_file(tmp_path):
    save(record(), tmp_path / "matrix" / "pin.json")
    back = load(tmp_path / "matrix" / "pin.json")
    assert differences(record(), back) == []
    assert (back.versions, back.elapsed_s, back.counts) == (record().versions, 12.5, {"passed": 2, "skipped": 1})


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working folder with a pin; the report goes there, too."""
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    monkeypatch.setattr(matrix, "REPORT", tmp_path / "matrix.md")
    save(record(torch="2.13.0+cpu"), tmp_path / "matrix" / "pin.json")
    return tmp_path


@pytest.mark.parametrize(
    ("other", "status", "says"),
    [
        (record(), 0, "2 of 2 environments green; 1 of 1 verdicts as under the pin; golden bits: 2 of 2 tests"),
        (record(exit_status=1), 1, "1 of 2 environments green; 1 of 1 verdicts"),
        (record({ROW: Result("passed", "", "REFUTED")}), 1, "2 of 2 environments green; 0 of 1 verdicts"),
        (record({OTHER: Result("passed")}), 1, "2 of 2 environments green; 1 of 1 verdicts"),
        (record({GOLDEN: Result("failed")}), 1, "golden bits: 1 of 2 tests"),
        (record({ROW: Result("passed", "", "HOLDS", {"value": 0.25})}), 0, "1 of 1 verdicts as under the pin"),
    ],
    ids=["the same", "red", "verdict", "no longer skipped", "golden", "figure"],
)
def test_the_status_tells_environments_that_differ(work, capsys, other, status, says):
    """Figures may differ, and are shown; verdicts, tests and golden bits may not."""
    save(other, work / "matrix" / "old.json")
    assert matrix.main(["--workdir", str(work)]) == status
    assert says in capsys.readouterr().out
    written = (work / "matrix.md").read_text()
    assert says in written
    differing = differences(record(), other)
    assert [f"| `{one.test.partition('::')[2]}` | {one.what} |" in written for one in differing] == [True] * len(differing)


def test_the_pin_comes_first_and_torch_2_6_before_2_15(work):
    for name, torch in (("newest", "2.15.0"), ("lowest", "2.6.0")):
        save(record(torch=torch), work / "matrix" / f"{name}.json")
    assert [one.name for one in matrix.environments(work)] == ["pin", "lowest", "newest"]


def test_nothing_is_compared_without_the_pin(work):
    (work / "matrix" / "pin.json").unlink()
    with pytest.raises(SystemExit, match="has no record of the pin"):
        matrix.main(["--workdir", str(work)])


def test_an_environment_that_cannot_be_made_is_no_success(work, monkeypatch):
    """And an older record is not taken for the new one."""
    monkeypatch.setattr(matrix.subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 3}))
    with pytest.raises(SystemExit, match="pin: tox ended with status 3 and left no record"):
        matrix.main(["--workdir", str(work), "pin"])


def test_install_seconds_are_those_before_the_tests(work):
    steps = {"setup": [{"elapsed": 40.0}, {"elapsed": 2.5}], "test": [{"elapsed": 300.0}]}
    (work / "matrix" / "pin.tox").write_text(json.dumps({"testenvs": {"pin": steps, ".pkg": {"setup": [{"elapsed": 9.0}]}}}))
    assert [one.install_s for one in matrix.environments(work)] == [42.5]
