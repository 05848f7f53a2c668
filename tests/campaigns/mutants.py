"""Mutants: faults put into the product on purpose, each to be found by the tests that are about it.

    tests/mutants.toml -> [scratch copy, one fault, the tests that it names] -> killed, survived, invalid -> reports/mutants.md

`python -m tests.campaigns.mutants [NAME ...] [--jobs 2] [--suite]`. A fault is killed if one of its own tests fails on a
statement about the product. A copy that cannot be imported, a program that crashes and a run out of time are no kills: they
are invalid. So is a fault whose tests do not all pass unbroken. A survivor is shown to the whole default suite, which may
know better; it counts as a survivor all the same. With `--suite` every fault is shown to it. Hypothesis draws the same
examples each time (profile `ci`).
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from tqdm import tqdm

from seeds.file import write_whole

ROOT = Path(__file__).parents[2]
FAULTS = ROOT / "tests" / "mutants.toml"
REPORT = ROOT / "reports" / "mutants.md"
KILLED, SURVIVED, INVALID = "killed", "survived", "invalid"
CRASHES = ("AttributeError", "ImportError", "IndexError", "ModuleNotFoundError", "NameError", "SyntaxError", "TypeError")
LIMIT_S, SUITE_LIMIT_S = 300, 3600
LONGEST = 110  # characters that the report quotes of a failed assertion


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Args:
        says: what a user would be told that is not true.
        file: from the root.
        find, replace: text that stands once in the file, and what takes its place.
        tests: ids of the tests that are about it, as pytest takes them.
    """

    name: str
    says: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]

    def broken(self, text: str) -> str:
        """The file's text with the fault in it.

        Raises:
            ValueError: what is to be replaced does not stand there exactly once.
        """
        if (count := text.count(self.find)) != 1:
            raise ValueError(f"{self.name}: {self.find!r} stands {count} times in {self.file}; allowed: once")
        return text.replace(self.find, self.replace)


@dataclass(frozen=True, slots=True)
class Case:
    """What became of one test: "passed", "failed", "error" (outside of its body) or "skipped", and what it said."""

    test: str
    outcome: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of pytest: its exit status (None if it was stopped), its tests and the last lines that it printed."""

    status: int | None
    cases: tuple[Case, ...]
    elapsed_s: float
    printed: str = ""

    @property
    def failed(self) -> list[Case]:
        return [case for case in self.cases if case.outcome == "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a fault, by which test, in its words; and by which test of the whole suite, where that was asked."""

    fault: Fault
    outcome: str
    by: str
    told: str
    elapsed_s: float
    suite: str = ""


def load(path: Path = FAULTS) -> list[Fault]:
    """The faults of a file, in its order."""
    tables = tomllib.loads(path.read_text())
    return [Fault(name, **table | {"tests": tuple(table["tests"])}) for name, table in tables.items()]


def judged(run: Run) -> tuple[str, str, str]:
    """Outcome of a fault from the run of its tests, the test that decided, and what it said."""
    if run.status is None:
        return INVALID, "", f"stopped after {run.elapsed_s:.0f} s"
    if run.status == 0 and any(case.outcome == "passed" for case in run.cases):
        return SURVIVED, "", f"{len(run.cases)} tests pass"
    if run.status != 1 or not run.failed:
        return INVALID, "", f"pytest ended with {run.status} and no failed test: {run.printed}"
    first = run.failed[0]
    return (INVALID if first.told.startswith(CRASHES) else KILLED), first.test, first.told


def unsound(fault: Fault, control: Run) -> str:
    """Why the tests of a fault say nothing: they do not all pass in the unbroken copy. Empty if they do."""
    for test in fault.tests:
        mine = [case for case in control.cases if case.test == test or case.test.startswith((f"{test}[", f"{test}::"))]
        if not mine:
            return f"{test} did not run in the unbroken copy"
        if odd := [case for case in mine if case.outcome != "passed"]:
            return f"{odd[0].test} {odd[0].outcome} in the unbroken copy: {odd[0].told}"
    return ""


# -- copies and runs ------------------------------------------------------------------------------------------------------


def copied(root: Path, to: Path) -> Path:
    """A copy of the tree: what git tracks or would track, so no environment, cache or build."""
    if not (root / ".git").exists():
        raise SystemExit(f"{root} is no git checkout; one is needed to tell the project's files from all others")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, check=True, capture_output=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():  # else deleted, and not yet committed
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    return to


@contextmanager
def with_fault(whole: Path, fault: Fault) -> Iterator[Path]:
    """A copy of its own for one fault: nothing of it can stay behind."""
    with tempfile.TemporaryDirectory(prefix="seeds-mutant-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(whole, tree)
        path = tree / fault.file
        path.write_text(fault.broken(path.read_text()))
        yield tree


def _environment(tree: Path) -> dict[str, str]:
    """The copy comes before an installed package, in child processes too."""
    return os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "ci"}


def require_copy(tree: Path) -> None:
    """Stops the campaign if the copy's tests would import the product from elsewhere: then no fault could be seen."""
    told = [sys.executable, "-c", "import seeds; print(seeds.__file__)"]
    found = subprocess.run(told, cwd=tree, env=_environment(tree), check=True, capture_output=True, text=True).stdout.strip()
    if not Path(found).is_relative_to(tree):
        raise SystemExit(f"seeds would be imported from {found}, not from the copy in {tree}")


def ran(tree: Path, tests: Sequence[str], *options: str, limit_s: float = LIMIT_S) -> Run:
    """Runs tests of a copy in a process group of its own, which is stopped when the time is over."""
    log = tree.parent / "junit.xml"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--color=no"]
    command += ["-o", "junit_family=xunit1", f"--junitxml={log}", *options, *tests]
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=tree, env=_environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except BaseException as stop:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(stop, subprocess.TimeoutExpired):
                raise
            return Run(None, (), time.perf_counter() - start)
    cases = read(log, tree) if log.exists() else ()
    return Run(process.returncode, cases, time.perf_counter() - start, " ".join(printed.split())[-300:])


def workers(jobs: int) -> list[str]:
    """Options of pytest."""
    return ["-n", str(jobs)] if jobs > 1 else []


def read(log: Path, tree: Path) -> tuple[Case, ...]:
    """The tests of a JUnit file that pytest wrote; what they said, without the place of the copy."""
    found = []
    for case in ElementTree.parse(log).iter("testcase"):
        inside = next(iter(case.findall("failure") + case.findall("error") + case.findall("skipped")), None)
        outcome = {"failure": "failed"}.get(inside.tag, inside.tag) if inside is not None else "passed"
        told = " ".join((inside.get("message") or "").replace(f"{tree}/", "").split()) if inside is not None else ""
        found.append(Case(f"{case.get('file')}::{case.get('name')}", outcome, told))
    return tuple(found)


# -- the campaign ---------------------------------------------------------------------------------------------------------


def asked(whole: Path, fault: Fault, control: Run) -> Finding:
    """Breaks a copy and runs the fault's own tests."""
    if why := unsound(fault, control):
        return Finding(fault, INVALID, "", why, 0.0)
    with with_fault(whole, fault) as tree:
        run = ran(tree, fault.tests, "-x")
    return Finding(fault, *judged(run), run.elapsed_s)


def shown(whole: Path, one: Finding, jobs: int) -> Finding:
    """Breaks a copy again and runs the default suite up to its first failure."""
    with with_fault(whole, one.fault) as tree:
        run = ran(tree, (), "-x", *workers(jobs), limit_s=SUITE_LIMIT_S)
    return replace(one, suite=next((case.test for case in run.failed), f"no test of the suite (status {run.status})"))


def campaign(faults: Sequence[Fault], whole: Path, jobs: int, suite: bool) -> list[Finding]:
    """All faults, several at a time; then those that the suite is asked about, one by one."""
    require_copy(whole)
    union = list(dict.fromkeys(test for fault in faults for test in fault.tests))
    tell(f"control: {len(union)} named tests in the unbroken copy")
    control = ran(whole, union, "--continue-on-collection-errors", *workers(jobs), limit_s=SUITE_LIMIT_S)
    if not control.cases:
        raise SystemExit(f"the named tests do not run in the unbroken copy: {control.printed}")
    if suite and (everything := ran(whole, (), *workers(jobs), limit_s=SUITE_LIMIT_S)).status != 0:
        raise SystemExit(f"the default suite does not pass in the unbroken copy: {everything.printed}")
    found = []
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda fault: asked(whole, fault, control), faults)
        for one in tqdm(results, total=len(faults), unit="fault", disable=None):
            found.append(one)
            tell(f"{one.outcome:<8} {one.fault.name}: {one.by or one.told} ({one.elapsed_s:.1f} s)")
    for at, one in enumerate(found):
        if suite or one.outcome == SURVIVED:
            found[at] = shown(whole, one, jobs)
            tell(f"the suite on {one.fault.name}: {found[at].suite}")
    return found


def tell(line: str) -> None:
    tqdm.write(line)
    sys.stdout.flush()


def table(found: Sequence[Finding]) -> str:
    """Markdown: every fault with what it would tell a user and the test that found it."""
    named = {test for one in found for test in one.fault.tests}
    lines = [
        "# Faults put in on purpose",
        "",
        "Made by `make mutants`; do not edit. Each fault of `tests/mutants.toml` is put into a copy of the project by itself.",
        f"It is killed if the tests that it names ({len(named)} in all) pass without it, and one of them fails with it on a",
        "statement about the product; a crash is no kill.",
        "",
        f"**{closing(found)}.**",
        "",
        "| fault | in | what a user would be told | found by | in its words | s |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        by = f"`{one.by.removeprefix('tests/')}`" if one.outcome == KILLED else f"**{one.outcome.upper()}**"
        told = one.told if len(one.told) <= LONGEST else one.told[: LONGEST - 3] + "..."
        words = f"`{told.replace('`', chr(39))}`"
        cells = (one.fault.name, f"`{one.fault.file}`", one.fault.says, by, words, f"{one.elapsed_s:.0f}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if any(one.suite for one in found):
        lines += ["", "The default suite, stopped at its first failure:", ""]
        lines += [f"* {one.fault.name}: `{one.suite}`" for one in found if one.suite]
    return "\n".join(lines) + "\n"


def closing(found: Sequence[Finding]) -> str:
    return f"{sum(one.outcome == KILLED for one in found)} of {len(found)} killed"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these faults; the report stays as it is then")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time (default: 2)")
    parser.add_argument("--suite", action="store_true", help="show every fault to the whole default suite as well: hours")
    options = parser.parse_args(arguments)
    faults = load()
    if unknown := sorted(set(options.names) - {fault.name for fault in faults}):
        parser.error(f"no such fault: {', '.join(unknown)}; allowed: {', '.join(fault.name for fault in faults)}")
    chosen = [fault for fault in faults if not options.names or fault.name in options.names]
    with tempfile.TemporaryDirectory(prefix="seeds-whole-") as scratch:
        found = campaign(chosen, copied(ROOT, Path(scratch) / "tree"), options.jobs, options.suite)
    if not options.names:
        write_whole(REPORT, table(found).encode())
    print(closing(found))
    return int(any(one.outcome != KILLED for one in found))


if __name__ == "__main__":
    sys.exit(main())
