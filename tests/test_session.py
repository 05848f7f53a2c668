"""Where and when rows were measured: a session says what is checked out, and what a report itself changes is no change."""

import os
import subprocess
from importlib.metadata import version

import pytest

from seeds.report import session


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "reports").mkdir()
    for name in ("code.py", "README.md", "reports/claims.json"):
        (tmp_path / name).write_text("first")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_session_names_the_commit_and_the_versions(checkout, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = session.current(checkout, processes=2)
    assert (found.commit, found.dirty) == (git(checkout, "rev-parse", "HEAD"), False)
    assert (found.threads, found.processes) == (3, 2)
    assert found.versions["torch"] == version("torch")
    assert found.started.endswith("+00:00")


def test_a_changed_file_makes_it_dirty(checkout):
    (checkout / "code.py").write_text("second")
    assert session.current(checkout, 1).dirty is True


def test_what_a_report_writes_does_not(checkout):
    """Nor does a new file that is neither code nor a test."""
    for name in ("README.md", "reports/claims.json", "reports/new.svg", "scratch"):
        (checkout / name).write_text("second")
    assert session.current(checkout, 1).dirty is False


def test_a_new_test_makes_it_dirty(checkout):
    """Its row would be in no commit."""
    (checkout / "tests").mkdir()
    (checkout / "tests" / "test_new.py").write_text("")
    assert session.current(checkout, 1).dirty is True


def test_a_folder_inside_a_checkout_of_something_else_has_no_commit(checkout):
    (checkout / "unpacked").mkdir()
    found = session.current(checkout / "unpacked", 1)
    assert (found.commit, found.dirty) == (None, None)


@pytest.mark.parametrize(("told", "threads"), [("1", 1), ("4,2", 4), ("", None), ("many", None), ("0", None)])
def test_threads_are_those_of_openmp_or_the_cores(told, threads, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    found = session.current(tmp_path, 1)
    assert found.threads == (threads or found.cores)


def test_cores_are_counted_where_no_system_call_tells_which_are_ours(tmp_path, monkeypatch):
    """As on macOS."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    found = session.current(tmp_path, 1)
    assert found.cores == found.threads >= 1


def test_outside_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = session.current(tmp_path, 1)
    assert (found.commit, found.dirty) == (None, None)


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout / "nothing"))
    assert session.current(checkout, 1).commit is None
