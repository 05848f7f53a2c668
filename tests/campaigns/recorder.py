"""Recorder: a pytest plugin that writes what a run found to a file.

    python -m pytest -p tests.campaigns.recorder --record=FILE

    pytest -> [recorder] -> record -> flaky, matrix -> reports/

Listens where the reports of all workers arrive, so that it sees the same under -n as without. A killed run writes nothing.
"""

import platform
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns import record

WORDS = ("finding.outcome", "finding.expected", "finding.reason")  # of a verdict: told apart, fixed, made of its figures


def pytest_addoption(parser):
    parser.addoption("--record", type=Path, metavar="FILE", help="write what the run found to this file")


def pytest_configure(config):
    if config.option.record and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.option.record, tuple(config.invocation_params.args)))


class Recorder:
    """Collects the result of every test, and who ran it when."""

    def __init__(self, path: Path, arguments: tuple[str, ...]):
        self.path, self.arguments, self.began = path, arguments, time.monotonic()
        self.order: dict[str, list[str]] = {}
        self.tests: dict[str, record.Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport):
        if report.when == "setup":
            self.order.setdefault(getattr(report, "worker_id", ""), []).append(report.nodeid)
        if report.when == "call" or not report.passed:  # a set-up or tear-down that fails is a test that fails
            self.tests[report.nodeid] = _result(report)

    def pytest_collectreport(self, report: pytest.CollectReport):
        """A file that cannot be read, or is left out as a whole, counts as one test."""
        if not report.passed:
            self.tests[report.nodeid] = record.Result(report.outcome, _reason(report))

    def pytest_sessionfinish(self, exitstatus: int):
        elapsed_s = round(time.monotonic() - self.began, 1)
        order = {worker: tuple(tests) for worker, tests in sorted(self.order.items())}
        done = record.Record(self.arguments, _versions(), elapsed_s, int(exitstatus), order, self.tests)
        record.save(done, self.path)


def _result(report: pytest.TestReport) -> record.Result:
    properties: dict[str, Any] = dict(report.user_properties)
    figures = {name: figure for name, figure in record.flat(properties) if name not in WORDS}
    return record.Result(report.outcome, _reason(report), properties.get("finding", {}).get("outcome"), figures)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason of a skip, or the line that failed."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return "" if report.passed else (crash.message if crash else str(report.longrepr)).partition("\n")[0]


def _versions() -> dict[str, str]:
    installed = {one.metadata["Name"].lower().replace("_", "-"): one.version for one in distributions()}
    return {"python": platform.python_version(), **dict(sorted(installed.items()))}
