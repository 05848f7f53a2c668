"""Command line, profiles and the hooks that turn claims into rows and verdicts into a table. Nothing else."""

import os

# before torch is imported: two torch threads on a busy core wait for each other a hundred times longer than they work
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import settings

from seeds import claims as claims_module
from seeds.report import session, terminal
from seeds.report.finding import Finding

ROOT = Path(__file__).parent
REPORTS = ROOT / "reports"
CLAIMS, EXPECTED = ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml"
RATES = ROOT / "tests" / "rates.json"
OTHERS = ""
SLOWEST_FIRST = ("docs-bert", "docs-gpt", "gpt2", "digits-cnn", "digits-mlp", "bert-tiny", OTHERS)
KNOWN = pytest.StashKey[dict[str, claims_module.Claim]]()
WORKERS_ASKED = pytest.StashKey[bool]()  # for benchmarks, which have none
SESSION = pytest.StashKey[session.Session]()  # of a run that reports
WHOLE = pytest.StashKey[bool]()  # whether all of the suite was asked for, and no part of it by name

settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_addoption(parser):
    group = parser.getgroup("seeds")
    group.addoption("--benchmark", action="store_true", help="run the benchmarks, and only them (no workers)")
    group.addoption("--hub", action="store_true", help="allow the network for data sets, tokenizers and original weights")
    group.addoption("--claim", action="append", default=[], metavar="NAME", help="only rows of this claim (repeatable)")
    group.addoption("--subject", action="append", default=[], metavar="NAME", help="only rows of this subject (repeatable)")
    group.addoption(
        "--codec", action="append", default=[], metavar="SPEC", help="only rows of this codec, or your own (repeatable)"
    )
    group.addoption("--runs", type=int, metavar="N", help="runs per row instead of the stated number; fewer only report")
    group.addoption("--full", action="store_true", help="also the rows and grids of fine-tuning that take hours; resumable")
    group.addoption("--short", action="store_true", help="leave out long rows, as a bare pytest does")
    group.addoption(
        "--engine", default="loky", metavar="NAME", help="where fine-tuning runs: loky, dask, or a scheduler's tcp://HOST:PORT"
    )
    group.addoption("--jobs", type=int, metavar="N", help="fine-tuning processes (default: the cores; 1 under -n)")
    group.addoption("--report", action="store_true", help="write reports/ from this run")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    option = config.option
    if not option.hub:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if option.benchmark:
        config.stash[WORKERS_ASKED] = bool(option.numprocesses) or option.dist != "no"
        option.benchmark_only = option.benchmark_enable = True
        option.benchmark_skip = option.benchmark_disable = False
        option.numprocesses, option.dist, option.tx = 0, "no", []
    elif not option.benchmark_only:
        option.benchmark_skip = True
    if option.full:
        option.timeout = 0  # the first row waits for the trials of all
    if option.jobs is not None and option.jobs < 1:
        raise pytest.UsageError(f"--jobs {option.jobs} is out of range: 1 or more")
    if not re.fullmatch(r"loky|dask|tcp://\S+", option.engine):
        raise pytest.UsageError(f"unknown engine {option.engine!r}; allowed: loky, dask, tcp://HOST:PORT")
    if option.runs is not None and option.runs < 1:
        raise pytest.UsageError(f"--runs {option.runs} is out of range: 1 or more")
    if option.full and option.short:
        raise pytest.UsageError("--full measures every row and --short leaves some out; choose one")
    if option.report and (option.codec or option.runs is not None):
        raise pytest.UsageError("--report records rows as claims.toml states them; it does not go with --codec or --runs")
    if option.report and not hasattr(config, "workerinput"):
        _check_stored()
        config.stash[SESSION] = session.current(ROOT, _processes(config))
    config.stash[KNOWN] = claims_module.load(CLAIMS, EXPECTED)
    config.stash[WHOLE] = config.workerinput["whole"] if hasattr(config, "workerinput") else _is_whole(config)
    _check_names(config)
    _check_rows(config)


def _leaves_out_long(config):
    return (config.stash[WHOLE] or config.option.short) and not config.option.full


def _check_stored():
    """Refuses to measure for a file that nothing could then be added to."""
    from seeds.errors import StoreError
    from seeds.report import claims_file

    try:
        claims_file.read(REPORTS)
    except StoreError as error:
        raise pytest.UsageError(str(error)) from None


def _is_whole(config):
    option = config.option
    narrowed = option.keyword or option.markexpr or option.claim or option.subject or option.codec or option.deselect
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not narrowed


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["whole"] = node.config.stash[WHOLE]


def pytest_report_header(config):
    if config.stash.get(WORKERS_ASKED, False):
        return "benchmarks: -n is not used; each is timed alone, in this one process"
    if _leaves_out_long(config):
        long = [row for claim in config.stash[KNOWN].values() for row in claim.rows if row.long and not row.full]
        return f"{len(long)} long rows are left out; their family (-m), --claim or --subject measures them"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under -n, rows and controls of one subject share a worker, and so its models; the slowest subjects start first."""
    if config.getvalue("dist") != "load":
        return None  # the user asked for another way
    from xdist.scheduler import LoadScopeScheduling

    class BySubject(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _subject(nodeid) or nodeid

    config.option.loadscopereorder = False
    return BySubject(config, log)


def _subject(nodeid):
    """The subject that a parametrized test is about, or None."""
    parameters = nodeid.partition("[")[2]
    return next((name for name in SLOWEST_FIRST if name and re.match(rf"{name}[-\]]", parameters)), None)


def _check_names(config):
    """Refuses a claim, subject or codec that does not exist before anything runs."""
    for name in config.option.claim:
        if name not in config.stash[KNOWN]:
            raise pytest.UsageError(f"unknown claim {name!r}; allowed: {', '.join(config.stash[KNOWN])}")
    subjects = {row.subject for claim in config.stash[KNOWN].values() for row in claim.rows}
    for name in config.option.subject:
        if name not in subjects:
            raise pytest.UsageError(f"unknown subject {name!r}; allowed: {', '.join(sorted(subjects))}")
    if config.option.codec:
        from seeds.codecs import parse
        from seeds.errors import SeedError

        claimed = {row.codec for claim in config.stash[KNOWN].values() for row in claim.rows}  # arms like "fresh" among them
        for spec in sorted(set(config.option.codec) - claimed):
            try:
                parse(spec)
            except SeedError as error:
                raise pytest.UsageError(str(error)) from None


def _check_rows(config):
    """Refuses names that exist and exclude each other before anything runs: no row is of all of them.

    A subject alone always has rows, or controls.
    """
    option, known = config.option, config.stash[KNOWN]
    if not (option.claim or option.codec):
        return
    claims = [known[name] for name in option.claim or known]
    of = " ".join(f"--claim {name}" for name in option.claim) or "any claim"
    subjects = " ".join(f"--subject {name}" for name in option.subject)
    codecs = " ".join(f"--codec {spec}" for spec in option.codec)
    on = f" with {subjects}" if subjects else ""
    there = [row for claim in claims for row in claims_module.narrowed(claim.rows, option.subject, [], None)]
    if not there:
        allowed = dict.fromkeys(row.subject for claim in claims for row in claim.rows)
        raise pytest.UsageError(f"{subjects} has no row of {of}; allowed: {', '.join(allowed)}")
    rows = [row for claim in claims for row in claims_module.narrowed(claim.rows, option.subject, option.codec, None)]
    if not rows:
        allowed = list(dict.fromkeys(row.codec for row in there))
        if any(claims_module.narrowed(claim.rows, option.subject, ["one's own"], None) for claim in claims):
            allowed.append("any codec")
        raise pytest.UsageError(f"{codecs} has no row of {of}{on}; allowed: {', '.join(allowed)}")
    if not claims_module.measured(rows, option.full, _leaves_out_long(config)):
        named = " ".join(filter(None, (of, subjects, codecs)))
        why = "--short leaves out" if claims_module.measured(rows, option.full, whole=False) else "only --full measures"
        raise pytest.UsageError(f"{why} what {named} asks for")


def pytest_generate_tests(metafunc):
    if "row" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("claim")
        option = metafunc.config.option
        known = metafunc.config.stash[KNOWN][marker.args[0]]
        rows = claims_module.narrowed(known.rows, option.subject, option.codec, option.runs)
        if option.claim and known.name not in option.claim:
            rows = []
        rows = claims_module.measured(rows, option.full, _leaves_out_long(metafunc.config))
        metafunc.parametrize("row", [pytest.param(row, id=row.id) for row in rows])


def pytest_collection_modifyitems(config, items):
    """With --claim, --subject or --codec only rows stay, and controls of the named subjects; with --benchmark, benchmarks.

    The whole suite leaves out what is marked `long`, as it does long rows.
    """
    if hasattr(config, "workerinput") and not config.pluginmanager.hasplugin("randomly"):
        items.sort(key=lambda item: SLOWEST_FIRST.index(_subject(item.nodeid) or OTHERS))
    option = config.option
    if _leaves_out_long(config):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    if option.benchmark:
        config.hook.pytest_deselected(items=[item for item in items if "benchmark" not in item.fixturenames])
        items[:] = [item for item in items if "benchmark" in item.fixturenames]
    if not (option.claim or option.subject or option.codec):
        return
    kept, dropped = [], []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        is_row = isinstance(parameters.get("row"), claims_module.Row)
        is_control = parameters.get("subject_name") in option.subject and not (option.claim or option.codec)
        (kept if is_row or is_control else dropped).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


@pytest.fixture(scope="session")
def measure(tmp_path_factory, pytestconfig):
    """Scores of every arm, computed once per process."""
    from seeds.measure import Measure

    also: dict[str, set[str]] = {}
    for claim in pytestconfig.stash[KNOWN].values():
        for row in claim.rows:
            if row.data:
                also.setdefault(row.subject, set()).add(row.data)
    return Measure(tmp_path_factory.mktemp("seeds"), {name: tuple(sorted(tasks)) for name, tasks in also.items()})


@pytest.fixture(scope="session")
def fresh_lab(pytestconfig):
    """Fine-tuned arms, every trial computed once per process; with --full each finished one is kept under .cache/finetune."""
    from joblib import cpu_count

    from seeds.engine import Engine
    from seeds.lab import Lab
    from seeds.rates import Rates

    option = pytestconfig.option
    jobs = option.jobs or (1 if hasattr(pytestconfig, "workerinput") else cpu_count())
    engine = Engine(jobs, option.engine, ROOT / ".cache" / "finetune" if option.full else None)
    return Lab(Rates.load(RATES), engine, whole=option.full)


@pytest.fixture
def report(record_property, request):
    """Hands a row's verdict to the table and the files: `report(row, verdict, name=figure, ...)`."""

    def hand_over(row, verdict, **notes):
        record_property("finding", asdict(Finding.of(row, verdict, notes, request.node.nodeid)))

    return hand_over


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Counts the examples that hypothesis has run; a plain number, which workers can send."""
    test_report = yield
    if call.when == "call" and (told := getattr(item, "hypothesis_statistics", None)):
        passing = sum(map(int, re.findall(r"(\d+) passing", told)))
        test_report.user_properties.append(("examples", passing))
    return test_report


def _finding(test_report):
    return next((value for name, value in test_report.user_properties if name == "finding"), None)


def pytest_report_teststatus(report, config):
    if report.when == "call" and (found := _finding(report)):
        if report.passed:
            return "passed", found["outcome"][0], found["outcome"]
        return "failed", "!", f"{found['outcome']}, EXPECTED {found['expected']}"
    return None


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    for one in getattr(getattr(config, "_benchmarksession", None), "benchmarks", []):
        facts = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in one.extra_info.items()
        )
        terminalreporter.write_line(f"{one.group}: {one.name}: {', '.join(facts)}")
    _write_examples(terminalreporter)
    done = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, []) if r.when == "call"]
    findings = [Finding(**found) for r in done if (found := _finding(r))]
    if findings:
        terminalreporter.section("verdicts")
        for line in terminal.table(findings, config.stash[KNOWN]):
            terminalreporter.write_line(line)
    if config.option.report:
        for path in _written(terminalreporter, config, findings):
            terminalreporter.write_line(f"wrote {path.relative_to(ROOT)}")


def _write_examples(terminalreporter):
    done = [r for status in ("passed", "failed") for r in terminalreporter.stats.get(status, []) if r.when == "call"]
    counts = [value for r in done for name, value in r.user_properties if name == "examples"]
    if counts:
        profile = os.environ.get("HYPOTHESIS_PROFILE", "quick")
        terminalreporter.write_line(f"hypothesis: {sum(counts):,} examples of {len(counts)} properties, profile {profile}")


def _written(terminalreporter, config, findings):
    """With --report: adds what was found to the stored files of reports/, and makes everything that is read from them."""
    from seeds import grid
    from seeds.audit import findings as audit
    from seeds.cost import race, record
    from seeds.report import write

    now = config.stash[SESSION]
    done = [r for r in terminalreporter.stats.get("passed", []) if r.when == "call"]
    handed = [one for r in done for one in r.user_properties]
    found = {kind: [value for name, value in handed if name == kind] for kind in ("grid", "audit", "race")}
    timed = record.of_session(getattr(getattr(config, "_benchmarksession", None), "benchmarks", []), now.started)
    written = []
    if found["grid"]:
        written += grid.add([grid.Piece(**piece) for piece in found["grid"]], REPORTS / "finetune")
    if found["audit"]:
        written += audit.add(map(audit.from_plain, found["audit"]), REPORTS / "audit")
    if found["race"]:
        written += race.write(map(race.from_plain, found["race"]), REPORTS / "benchmarks")
    if timed:
        written += record.write(timed, REPORTS / "benchmarks", now.versions, config.stash[WHOLE])
    return written + write.record(findings, now, config.stash[KNOWN], REPORTS, ROOT / "README.md")


def _processes(config):
    return len(getattr(config.option, "tx", None) or [None])
