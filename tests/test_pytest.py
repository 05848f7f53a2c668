"""The command line of the test run: narrowing, workers, usage errors, and a tree that stays clean."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments, file="tests/test_seed_size.py"):
    """pytest in a process of its own on the cheap rows: (exit status, output)."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", file, *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=clean)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def in_workers():
    return run("-n", "2", "-v")


def rows(out: str) -> list[str]:
    return sorted(" ".join(line.split()) for line in re.findall(r"^    \S+ +(?:HOLDS|REFUTED).*$", out, re.MULTILINE))


def test_rows_of_a_subject_share_a_worker(in_workers):
    """Otherwise each worker assembles every model again."""
    workers: dict[str, set[str]] = {}
    for worker, subject in re.findall(r"\[(gw\d)\].*\[([a-z0-9-]+?)-(?:moments|pca)", in_workers[1]):
        workers.setdefault(subject, set()).add(worker)
    assert len(workers) == 6
    assert {name for name, of in workers.items() if len(of) > 1} == set()
    assert set().union(*workers.values()) == {"gw0", "gw1"}


def test_workers_find_the_same_figures_as_one_process(in_workers):
    status, out = run()
    assert (status, in_workers[0]) == (0, 0)
    assert len(rows(out)) == 10
    assert rows(in_workers[1]) == rows(out)


def test_an_ordinary_run_is_not_shuffled(in_workers):
    """pytest-randomly would name its number: without `-p randomly` the slowest subjects start first."""
    assert "randomly" not in in_workers[1]


@pytest.mark.parametrize(
    ("shuffled", "order"), [(False, ["docs-bert", "gpt2", "digits-mlp"]), (True, ["gpt2", "digits-mlp", "docs-bert"])]
)
def test_workers_leave_a_shuffled_order_alone(pytestconfig, shuffled, order):
    """Otherwise a run in random order would begin with the same subject each time."""
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    items = [
        SimpleNamespace(nodeid=f"tests/test_a.py::test_row[{name}-moments]") for name in ("gpt2", "digits-mlp", "docs-bert")
    ]
    plugins = SimpleNamespace(hasplugin=lambda name: shuffled and name == "randomly")
    option = SimpleNamespace(benchmark=False, claim=[], subject=[], codec=[], short=False, full=False)
    config = SimpleNamespace(workerinput={}, pluginmanager=plugins, option=option, stash={conftest.WHOLE: False})
    conftest.pytest_collection_modifyitems(config, items)
    assert [item.nodeid.partition("[")[2].removesuffix("-moments]") for item in items] == order


NOTHING = {"keyword": "", "markexpr": "", "claim": [], "subject": [], "codec": [], "deselect": None}
SOURCES = pytest.Config.ArgsSource


@pytest.mark.parametrize(
    ("named", "source", "is_whole"),
    [
        ({}, SOURCES.TESTPATHS, True),
        ({}, SOURCES.ARGS, False),
        *(({name: ["a"]}, SOURCES.TESTPATHS, False) for name in NOTHING),
    ],
)
def test_the_whole_suite_is_what_nobody_named_a_part_of(pytestconfig, named, source, is_whole):
    """Long rows are left out of it, and of nothing else; workers are told, since they get all paths as arguments."""
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    config = SimpleNamespace(option=SimpleNamespace(**NOTHING | named), args_source=source)
    assert conftest._is_whole(config) is is_whole
    node = SimpleNamespace(workerinput={}, config=SimpleNamespace(stash={conftest.WHOLE: is_whole}))
    conftest.pytest_configure_node(node)
    assert node.workerinput == {"whole": is_whole}


def test_a_short_run_leaves_out_what_the_whole_suite_does():
    """`make report` makes anew what a bare pytest measures; the other rows keep what is stored."""
    short, out = run("--short", "--collect-only", "--claim", "finetune-perfect", file="tests/test_finetune.py")
    assert short == 0
    assert re.search(r"^\d+ long rows are left out", out, re.MULTILINE)
    assert "[digits-mlp-moments]" in out
    assert "[digits-mlp-1-moments]" not in out


@pytest.mark.parametrize(
    ("whole", "short", "full", "kept"),
    [(True, False, False, 1), (False, True, False, 1), (False, False, False, 2), (True, False, True, 2)],
)
def test_the_whole_suite_leaves_out_tests_marked_long(pytestconfig, whole, short, full, kept):
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    items = [SimpleNamespace(nodeid=name, get_closest_marker=lambda _, name=name: name == "long") for name in ("long", "quick")]
    option = SimpleNamespace(benchmark=False, claim=[], subject=[], codec=[], short=short, full=full)
    dropped = []
    hook = SimpleNamespace(pytest_deselected=lambda items: dropped.extend(items))
    conftest.pytest_collection_modifyitems(SimpleNamespace(option=option, stash={conftest.WHOLE: whole}, hook=hook), items)
    assert ([item.nodeid for item in items][-kept:], len(dropped)) == (["long", "quick"][-kept:], 2 - kept)
    assert len(items) == kept


def test_a_damaged_file_of_claims_is_refused_before_anything_is_measured(pytestconfig, tmp_path, monkeypatch):
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    monkeypatch.setattr(conftest, "REPORTS", tmp_path)
    conftest._check_stored()
    (tmp_path / "claims.json").write_text("{}")
    with pytest.raises(pytest.UsageError, match=r"claims\.json is no file of claims"):
        conftest._check_stored()


def test_examples_are_counted_of_calls_alone(pytestconfig):
    """What hypothesis tells of all phases, added up, once for a test."""
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    item = SimpleNamespace(
        hypothesis_statistics="reuse: 1,\n  - 7 passing examples, 0 failing\n  - 43 passing examples, 2 failing"
    )
    for when, expected in (("setup", []), ("call", [("examples", 50)])):
        found = SimpleNamespace(user_properties=[])
        hook = conftest.pytest_runtest_makereport(item, SimpleNamespace(when=when))
        next(hook)
        with pytest.raises(StopIteration):
            hook.send(found)
        assert found.user_properties == expected


def test_a_narrowed_run_finds_the_same_figures(in_workers):
    status, out = run("--subject", "docs-gpt")
    assert status == 0
    assert rows(out) == [row for row in rows(in_workers[1]) if "docs-gpt" in row] != []


def test_the_status_of_a_row_is_printed(in_workers):
    assert re.search(r"REFUTED tests/test_seed_size.py::.*\[docs-gpt-pca:10\]", in_workers[1])


def test_a_codec_of_ones_own_is_judged_and_never_fails():
    """There is nothing expected of it, as the README says."""
    status, out = run("--subject", "digits-mlp", "--codec", "pca:3+vectors", "--codec", "exact")
    assert status == 0
    assert re.search(r"^digits-mlp-pca:3\+vectors (HOLDS|REFUTED) ", "\n".join(rows(out)), re.MULTILINE)
    assert re.search(r"^digits-mlp-exact REFUTED ", "\n".join(rows(out)), re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^ +pytest .*--codec pca:12\+vectors .*# your own codec: judged, never fails$", readme, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--subject", "digits"], "unknown subject 'digits'; allowed: "),
        (["--claim", "zeroshot"], "unknown claim 'zeroshot'; allowed: "),
        (["--codec", "svd:3"], "unknown codec 'svd:3'; allowed: "),
        (["--runs", "0"], "--runs 0 is out of range"),
        (["--jobs", "0"], "--jobs 0 is out of range"),
        (["--engine", "ray"], "unknown engine 'ray'; allowed: loky, dask, tcp://HOST:PORT"),
        (["--full", "--short"], "--full measures every row and --short leaves some out"),
        (["--report", "--runs", "3"], "it does not go with --codec or --runs"),
        (
            ["--claim", "zeroshot-structure", "--subject", "digits-mlp", "--codec", "pca:9"],
            "--codec pca:9 has no row of --claim zeroshot-structure with --subject digits-mlp; allowed: pca+vectors",
        ),
        (
            ["--claim", "zeroshot-perplexity", "--subject", "digits-mlp"],
            "--subject digits-mlp has no row of --claim zeroshot-perplexity; allowed: docs-gpt, gpt2",
        ),
        (
            ["--claim", "zeroshot-gibberish", "--codec", "original"],
            "--codec original has no row of --claim zeroshot-gibberish; "
            "allowed: moments, moments+vectors, moments:global, any codec",
        ),
        (
            ["--claim", "finetune-ablation", "--subject", "docs-bert"],
            "only --full measures what --claim finetune-ablation --subject docs-bert asks for",
        ),
        (
            ["--short", "--claim", "finetune-perfect", "--subject", "digits-mlp-1"],
            "--short leaves out what --claim finetune-perfect --subject digits-mlp-1 asks for",
        ),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(arguments, says):
    status, out = run(*arguments)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert says in out


def asking(conftest, **named):
    """A configuration with these options, of all claims."""
    option = {"claim": [], "subject": [], "codec": [], "full": False, "short": False} | named
    known = conftest.claims_module.load(conftest.CLAIMS, conftest.EXPECTED)
    return SimpleNamespace(option=SimpleNamespace(**option), stash={conftest.KNOWN: known, conftest.WHOLE: False})


def test_whatever_has_a_row_is_not_refused(pytestconfig):
    """Each row by its own names, a codec of one's own where a claim takes one, and a pair of which one has rows."""
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    config = asking(conftest, full=True)
    for name, claim in config.stash[conftest.KNOWN].items():
        for row in claim.rows:
            config.option.claim, config.option.subject, config.option.codec = [name], [row.subject], [row.codec]
            assert conftest._check_rows(config) is None, row.id
    for named in (
        {"claim": ["zeroshot-perplexity"], "subject": ["gpt2"], "codec": ["pca:9"]},
        {"claim": ["zeroshot-perplexity"], "subject": ["digits-mlp", "gpt2"]},
        {"claim": ["zeroshot-structure", "zeroshot-accuracy"], "codec": ["pca:9"]},
        {"subject": ["digits-mlp-1"], "short": True},  # which has controls
    ):
        assert conftest._check_rows(asking(conftest, **named)) is None, named


def test_a_file_without_rows_of_a_claim_collects_nothing():
    status, out = run("--claim", "zeroshot-structure", "--subject", "digits-mlp")
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "deselected" in out


TINY = ("--claim", "budget-tiny", "--subject", "digits-mlp", "--subject", "digits-cnn")  # two networks, 10 samples, 10 steps


@pytest.fixture(scope="module")
def fine_tuned_alone():
    status, out = run(*TINY, "--jobs", "1", file="tests/test_finetune.py")
    assert status == 0
    return rows(out)


@pytest.mark.parametrize(
    "where", [["--jobs", "2"], ["-n", "2"], ["--engine", "dask", "--jobs", "2"]], ids=["loky", "xdist", "dask"]
)
def test_fine_tuning_finds_the_same_figures_wherever_it_runs(where, fine_tuned_alone):
    """To the last printed digit; tests/test_engine.py compares the bits."""
    if "dask" in where:
        pytest.importorskip("distributed", reason="the dask engine needs the package distributed")
    status, out = run(*TINY, *where, file="tests/test_finetune.py")
    assert status == 0
    assert rows(out) == fine_tuned_alone
    assert len(fine_tuned_alone) == 2


def test_an_unexpected_outcome_fails_and_says_how_to_reproduce_it(tmp_path):
    """The same rows against an expectation that is wrong for one of them."""
    import shutil

    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tests").mkdir()
    for name in ("test_seed_size.py", "claims.toml", "expected.toml"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    expected = tmp_path / "tests" / "expected.toml"
    expected.write_text(expected.read_text().replace('"gpt2-moments" = "HOLDS"', '"gpt2-moments" = "REFUTED"'))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--subject", "gpt2", "tests"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "expected REFUTED, found HOLDS" in done.stdout
    assert "reproduce: pytest --claim seed-size --subject gpt2 --codec moments" in done.stdout


@pytest.mark.parametrize("workers", ["2", "0"])
def test_benchmarks_say_that_they_use_no_workers(workers):
    status, out = run("--benchmark", "-n", workers, "--collect-only", file="tests/test_speed_codecs.py")
    assert status == 0
    assert ("benchmarks: -n is not used" in out) is (workers == "2")
    assert "gw0" not in out
