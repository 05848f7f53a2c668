"""The faults of `make mutants`: each can be put in, and names tests that are there. And the runner that puts them in.

What a fault does to its tests is the matter of `tests.campaigns.mutants`; nothing of this project is broken here. What no fault
in the product can show is looked for too: a test, or a benchmark, that cannot fail.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.campaigns import mutants
from tests.campaigns.mutants import INVALID, KILLED, ROOT, SURVIVED, Case, Fault, Run, judged, unsound

FAULTS = mutants.load()
ASKED_FOR = {
    "sorted-split", "unmasked-pads", "leaked-test-rows", "untrained-head", "swapped-labels", "std-0", "biased-mean",
    "dropped-norms", "unused-components", "transposed-scores", "wrong-tie", "ignored-rng-seed", "off-by-one-rank",
    "judge-never-refutes", "one-sided-interval", "skipped-control",
}  # fmt: skip


def meaning(path: str, text: str):
    """What a file says, comments and layout aside; an error if it says nothing."""
    return ast.dump(ast.parse(text)) if path.endswith(".py") else tomllib.loads(text)


@cache
def functions(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


# -- the list -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_put_in_and_names_tests_that_are_there(fault):
    """What it replaces stands exactly once; what then stands there is a program, and another one."""
    whole = (ROOT / fault.file).read_text()
    assert meaning(fault.file, fault.broken(whole)) != meaning(fault.file, whole)
    assert fault.tests
    for test in fault.tests:
        found = re.fullmatch(r"(tests/test_\w+\.py)::(test_\w+)(?:\[.+\])?", test)
        assert found, test
        assert found[2] in functions(ROOT / found[1]), test


def test_every_kind_of_fault_is_there_and_each_is_another_one():
    assert len(FAULTS) >= 25
    assert {fault.name for fault in FAULTS} >= ASKED_FOR
    assert len({(fault.file, fault.find, fault.replace) for fault in FAULTS}) == len({f.says for f in FAULTS}) == len(FAULTS)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fault.name) for fault in FAULTS)


def test_a_fault_whose_place_is_gone_or_not_the_only_one_is_refused():
    fault = Fault("a-fault", "nothing", "a.py", "x = 1", "x = 2", ())
    assert fault.broken("x = 1\ny = 2") == "x = 2\ny = 2"
    for text, count in (("y = 2", 0), ("x = 1\nx = 1", 2)):
        with pytest.raises(ValueError, match=rf"a-fault: 'x = 1' stands {count} times in a\.py; allowed: once"):
            fault.broken(text)


# -- the runner -----------------------------------------------------------------------------------------------------------

GOOD, BAD = Case("tests/test_a.py::test_one", "passed"), Case("tests/test_a.py::test_two[x]", "failed", "assert 1 == 2")


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (Run(1, (GOOD, BAD), 1.0), KILLED),
        (Run(0, (GOOD,), 1.0), SURVIVED),
        (Run(0, (Case("tests/test_a.py::test_one", "skipped"),), 1.0), INVALID),
        (Run(1, (Case("tests/test_a.py::test_one", "error", "fixture"),), 1.0), INVALID),
        (Run(1, (Case("tests/test_a.py::test_one", "failed", "NameError: name 'y' is not defined"),), 1.0), INVALID),
        (Run(2, (), 1.0), INVALID),  # not to be collected
        (Run(4, (), 1.0), INVALID),  # no such test
        (Run(5, (), 1.0), INVALID),  # no test at all
        (Run(None, (), 300.0), INVALID),
    ],
)  # fmt: skip
def test_only_a_failed_test_that_ran_is_a_kill(run, outcome):
    assert judged(run)[0] == outcome
    assert judged(run)[1:] == ((BAD.test, BAD.told) if outcome == KILLED else judged(run)[1:])


@pytest.mark.parametrize(
    ("tests", "cases", "says"),
    [
        (("tests/test_a.py::test_one",), (GOOD,), ""),
        (
            ("tests/test_a.py::test_two",),
            (GOOD, BAD),
            "tests/test_a.py::test_two[x] failed in the unbroken copy: assert 1 == 2",
        ),
        (("tests/test_a.py::test_on",), (GOOD,), "tests/test_a.py::test_on did not run in the unbroken copy"),
        (("tests/test_a.py",), (GOOD,), ""),
    ],
)
def test_tests_that_do_not_pass_unbroken_say_nothing_of_a_fault(tests, cases, says):
    assert unsound(Fault("a-fault", "nothing", "a.py", "x", "y", tests), Run(1, cases, 1.0)) == says


def test_a_small_project_is_broken_in_copies_only(tmp_path, capsys, monkeypatch):
    """Killed by a test that is about it, survived where its test is not, invalid where nothing could run; the suite knows."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # five runs of pytest in two seconds
    for name, text in {
        "seeds/__init__.py": "def double(x):\n    return 2 * x\n",
        "tests/test_a.py": "from seeds import double\n\n\ndef test_three():\n    assert double(3) == 6\n\n\n"
        "def test_zero():\n    assert double(0) == 0\n",
    }.items():
        (tmp_path / "whole" / name).parent.mkdir(parents=True)
        (tmp_path / "whole" / name).write_text(text)
    wrong = Fault("thrice", "3 * 2 is 9", "seeds/__init__.py", "2 * x", "3 * x", ("tests/test_a.py::test_three",))
    unseen = Fault("unseen", "the same", "seeds/__init__.py", "2 * x", "3 * x", ("tests/test_a.py::test_zero",))
    crash = Fault("crash", "nothing", "seeds/__init__.py", "2 * x", "2 * y", ("tests/test_a.py::test_three",))
    found = mutants.campaign([wrong, unseen, crash], tmp_path / "whole", jobs=1, suite=False)
    assert [one.outcome for one in found] == [KILLED, SURVIVED, INVALID]
    assert (found[0].by, found[0].told) == ("tests/test_a.py::test_three", "assert 9 == 6 + where 9 = double(3)")
    assert [one.suite for one in found] == ["", "tests/test_a.py::test_three", ""]
    assert "2 * x" in (tmp_path / "whole" / "seeds" / "__init__.py").read_text()
    assert "killed   thrice: tests/test_a.py::test_three" in capsys.readouterr().out
    page = mutants.table(found)
    assert "**1 of 3 killed.**" in page
    assert page.count("**SURVIVED**") == page.count("**INVALID**") == 1


# -- tests that cannot fail -----------------------------------------------------------------------------------------------


ASSERTIONS = {"assert", "raises", "warns", "assert_array_equal", "assert_allclose", "assert_close"}


def suite() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        yield from ((path, node) for name, node in functions(path).items() if name.startswith("test_"))


def words(node: ast.AST) -> set[str]:
    """The names in it, of functions that it may call among them, and "assert" if it does."""
    named = {getattr(inside, "attr", getattr(inside, "id", "")) for inside in ast.walk(node)}
    return named | ({"assert"} if any(isinstance(inside, ast.Assert) for inside in ast.walk(node)) else set())


@cache
def asserting(path: Path) -> set[str]:
    """Names by which a module of the suite can assert: its own functions that do, and those that it imports from others."""
    known = set(ASSERTIONS)
    if not path.is_file():
        return known  # a package
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            known |= {alias.name for alias in node.names} & asserting(ROOT / f"{str(node.module).replace('.', '/')}.py")
    said = {name: words(node) for name, node in functions(path).items()}
    while more := {name for name, named in said.items() if named & known} - known:
        known |= more
    return known


def test_every_test_can_fail():
    """It asserts something, asks for an error, or calls a function that does."""
    silent = {node.name for path, node in suite() if not words(node) & asserting(path)}
    assert silent == {"test_small_matrices_obey_on_this_route_too"}  # of test_pca.py: it calls other tests, its parameter


def test_every_benchmark_says_what_must_be_right():
    """Behind what it times, it asserts something of the result: fast and wrong is not fast."""
    timed = [node for _, node in suite() if "benchmark" in {argument.arg for argument in node.args.args}]
    assert len(timed) > 25
    silent = []
    for node in timed:
        first = min(inside.lineno for inside in ast.walk(node) if isinstance(inside, ast.Name) and inside.id == "benchmark")
        if not any(isinstance(inside, ast.Assert) and inside.lineno > first for inside in ast.walk(node)):
            silent.append(node.name)
    assert silent == []
