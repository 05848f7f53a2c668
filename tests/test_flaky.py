"""Flakiness, in short: the campaign finds a test that depends on its order, or on the run, and no other.

    python -m tests.campaigns.flaky --times 20

does it with every zero-shot row and round trip.
"""

import os
from itertools import count

import pytest

from tests.campaigns import flaky
from tests.campaigns.record import Record, Result

SOUND = """
import pytest

@pytest.mark.parametrize("i", range(12))
def test_each(i, record_property):
    record_property("finding", {"outcome": "HOLDS", "value": i / 7})
"""
LEAKING = """
import pytest

seen = []

@pytest.mark.parametrize("i", range(12))
def test_each(i):
    seen.append(i)
    assert i != 3 or 4 not in seen
"""
DRIFTING = """
import os
import pytest

@pytest.mark.parametrize("i", range(8))
def test_each(i, record_property):
    record_property("finding", {"outcome": "HOLDS", "value": int.from_bytes(os.urandom(4))})
"""
EVERY_WAY = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("set-up")

@pytest.fixture
def leaking():
    yield
    raise RuntimeError("tear-down")

def test_set_up(broken): pass
def test_tear_down(leaking): pass
def test_call(): assert False, "call"
def test_left_out(): pytest.skip("no network")
def test_sound(): pass
"""


@pytest.fixture
def shuffled(tmp_path, monkeypatch):
    """Runs a file of tests outside this project in the order of each number."""
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(flaky.ROOT), prepend=os.pathsep)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half of the seconds

    def run(code, rng_seeds, jobs=0):
        (tmp_path / "test_it.py").write_text(code)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        return [flaky.run(["-p", "xdist"], rng_seed=i, dist="worksteal", jobs=jobs, root=tmp_path) for i in rng_seeds]

    return run


def test_a_test_can_fail_at_its_beginning_and_at_its_end(shuffled):
    (one,) = shuffled(EVERY_WAY, (1,))
    assert {name.partition("::")[2]: (result.outcome, result.reason) for name, result in one.record.tests.items()} == {
        "test_set_up": ("failed", "RuntimeError: set-up"),
        "test_tear_down": ("failed", "RuntimeError: tear-down"),
        "test_call": ("failed", "AssertionError: call"),
        "test_left_out": ("skipped", "no network"),
        "test_sound": ("passed", ""),
    }
    assert one.record.exit_status == pytest.ExitCode.TESTS_FAILED


def test_runs_that_find_the_same_in_other_orders_are_the_same(shuffled):
    """And one number gives one order: otherwise a red run could not be repeated."""
    runs = shuffled(SOUND, (1, 1, 2))
    assert flaky.closing(runs) == "3 of 3 runs: 12 verdicts, 12 figures and 12 tests the same, 2 distinct orders"
    assert runs[0].order == runs[1].order


def test_a_test_that_depends_on_its_order_is_found(shuffled):
    """Number 3 fails after number 4 only: in one of these two orders."""
    runs = shuffled(LEAKING, (1, 5))
    assert {one.green for one in runs} == {True, False}
    assert flaky.same(runs) < len(runs)
    assert "`test_it.py::test_each[3]` | outcome |" in flaky.page(runs, "")


def test_a_figure_that_differs_from_run_to_run_is_found(shuffled):
    runs = shuffled(DRIFTING, (1, 2), jobs=2)
    assert [(one.green, sorted(one.record.order)) for one in runs] == [(True, ["gw0", "gw1"])] * 2
    assert flaky.same(runs) == 1
    assert "| finding.value |" in flaky.page(runs, "")


def test_a_run_that_is_red_each_time_is_no_success():
    """The same failure in every run is the same, and still not sound."""
    failed = Record((), {}, 1.0, 1, {"gw0": ("a",)}, {"a": Result("failed", "assert False")})
    runs = [flaky.Shuffled(i, "load", failed) for i in range(3)]
    assert flaky.unlike(runs) == [[]] * 3
    assert flaky.same(runs) == 0


def test_the_status_tells_runs_that_differ(monkeypatch, capsys):
    """The command ends with 0 for equal runs only; a narrowed one writes no report."""
    values = count()

    def found(drift):
        value = float(next(values)) if drift else 0.0
        return Record((), {}, 1.0, 0, {"": ("a",)}, {"a": Result("passed", "", "HOLDS", {"value": value})})

    monkeypatch.setattr(flaky, "write_whole", lambda *_: pytest.fail("wrote a report of a part"))
    for drift in (False, True):
        monkeypatch.setattr(
            flaky, "run", lambda *_, drift=drift, **how: flaky.Shuffled(how["rng_seed"], how["dist"], found(drift))
        )
        assert flaky.main(["--times", "3", "tests/test_seed_size.py"]) == drift
    assert "1 of 3 runs" in capsys.readouterr().out
