"""`python -m seeds report`: everything that is read is made anew from what is stored, and nothing else is touched."""

import shutil
import webbrowser
from pathlib import Path

import pytest

from seeds.report import claims_file, command, write
from seeds.report.readme import END, START
from tests.writers import CLAIM, CLAIMS, SESSION, contents, finding

ROOT = Path(__file__).parents[1]
SVG = "figures/ladder.svg"  # of the rows of CLAIM


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A checkout with one stored row, as the current folder."""
    (tmp_path / "tests").mkdir()
    for name in ("claims.toml", "expected.toml"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    (tmp_path / "reports").mkdir()
    (tmp_path / "README.md").write_text(f"Before.\n{START}(nothing yet){END}After.\n")
    claims_file.add([finding(CLAIM, 0)], SESSION, CLAIMS, tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everything_is_made_from_the_stored_rows(project, seeds):
    before = contents(project / "reports")
    status, out, _ = seeds("report")
    assert status == 0
    assert f"the page is {project / 'reports' / 'index.html'}" in out
    made = contents(project / "reports")
    assert {"README.md", "index.html", claims_file.SCHEMA_NAME, write.RESULTS, SVG, SVG.replace("svg", "csv")} <= made.keys()
    assert made[claims_file.NAME] == before[claims_file.NAME]
    assert "1 claims, 1 rows" in (project / "README.md").read_text()


def test_made_twice_it_is_the_same(project, seeds):
    seeds("report")
    first = contents(project)
    seeds("report")
    assert contents(project) == first


def test_figures_that_are_no_longer_drawn_leave(project, seeds):
    """And nothing else does."""
    (project / "reports" / "figures").mkdir()
    for name in ("old.svg", "old.csv", "notes.txt"):
        (project / "reports" / "figures" / name).write_text("of another time")
    seeds("report")
    left = {path.name for path in (project / "reports" / "figures").iterdir()}
    assert "notes.txt" in left
    assert not {"old.svg", "old.csv"} & left


def test_without_data_of_their_own_folders_get_no_page(project, seeds):
    (project / "reports" / "audit").mkdir()
    seeds("report")
    assert not (project / "reports" / "audit" / "README.md").exists()
    assert not (project / "reports" / "finetune").exists()


@pytest.mark.parametrize(("there", "says"), [(True, ""), (False, "no browser to show it in was found here\n")])
def test_the_page_is_shown_if_asked_for(project, seeds, monkeypatch, there, says):
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda address: shown.append(address) or there)
    assert seeds("report")[0] == 0
    assert shown == []
    status, out, _ = seeds("report", "--open")
    assert status == 0
    assert shown == [(project / "reports" / "index.html").as_uri()]
    assert out.endswith(says)


def test_a_damaged_file_is_named_and_nothing_is_made(project, seeds):
    (project / "reports" / claims_file.NAME).write_text("{")
    before = contents(project)
    status, _, err = seeds("report")
    assert status == 1
    assert "claims.json is no file of claims (Expecting property name" in err
    assert contents(project) == before


def test_outside_a_checkout_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "__file__", str(tmp_path / "site-packages" / "seeds" / "report" / "command.py"))
    with pytest.raises(command.StoreError, match=r"no reports/ and tests/claims\.toml in .*; run this in a checkout"):
        command.checkout()


def test_the_package_of_a_checkout_finds_it_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.checkout() == ROOT
