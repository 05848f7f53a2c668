"""Flakiness: the same tests many times in random order and in workers, which must find the same each time.

    pytest (shuffled, -n 2), many times -> records -> [flaky] -> reports/flaky.md

`python -m tests.campaigns.flaky --times 20`. pytest-randomly shuffles the files, the tests in each, and the global random
numbers of Python and numpy, by another number each time; hypothesis (profile quick) draws other examples each time. Every
other run hands tests out one by one (`--dist worksteal`), so that both workers run tests of one network, after any other.
Nothing is run again until it passes: a run that fails stays in the table.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from seeds.file import write_whole
from tests.campaigns.record import Difference, Record, differences, load

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "reports" / "flaky.md"
HANDED_OUT = ("load", "worksteal")  # by subject, as conftest.py does it; one by one
LISTED = 40  # differences in the report; their number is always there


@dataclass(frozen=True, slots=True)
class Shuffled:
    """One run. `rng_seed` is pytest-randomly's number, `dist` how tests were handed to workers, `out` what pytest wrote."""

    rng_seed: int
    dist: str
    record: Record
    out: str = ""

    @property
    def order(self) -> str:
        """A short name of the order in which the workers began the tests."""
        return hashlib.sha256(json.dumps(dict(self.record.order)).encode()).hexdigest()[:8]

    @property
    def green(self) -> bool:
        return self.record.exit_status == 0


def run(arguments: Sequence[str], *, rng_seed: int, dist: str, jobs: int, root: Path = ROOT) -> Shuffled:
    """pytest in a process of its own, in the order that `rng_seed` gives.

    Raises:
        SystemExit: pytest ended before it could write what it found.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        shuffle = ["-p", "randomly", f"--randomly-seed={rng_seed}", "-n", str(jobs), "--dist", dist]
        listen = ["-p", "tests.campaigns.recorder", f"--record={path}", "-p", "no:cacheprovider", "-q"]
        command = [sys.executable, "-m", "pytest", *shuffle, *listen, *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if not path.exists():
            raise SystemExit(f"pytest ended with status {done.returncode} and left no record:\n{done.stdout}{done.stderr}")
        return Shuffled(rng_seed, dist, load(path), done.stdout)


def unlike(runs: Sequence[Shuffled]) -> list[list[Difference]]:
    """For each run, in what it differs from the first."""
    return [differences(runs[0].record, one.record) for one in runs]


def same(runs: Sequence[Shuffled]) -> int:
    """Runs that are green and found the same tests, outcomes, verdicts and figures as the first."""
    return sum(one.green and not found for one, found in zip(runs, unlike(runs), strict=True))


def closing(runs: Sequence[Shuffled]) -> str:
    """The line that says how it went."""
    first = runs[0].record
    orders = len({one.order for one in runs})
    figures = sum(len(result.figures) for result in first.tests.values())
    alike = f"{len(first.verdicts)} verdicts, {figures} figures and {len(first.tests)} tests"
    return f"{same(runs)} of {len(runs)} runs: {alike} the same, {orders} distinct orders"


def page(runs: Sequence[Shuffled], command: str) -> str:
    """The report: a line per run, then what differed."""
    lines = [
        "# Flakiness",
        "",
        f"Made by `{command}`. Figures are compared with all the digits that a row reports (six).",
        "",
        f"**{closing(runs)}**",
        "",
        "| run | random order | workers get | begins with | order | seconds | passed | failed | skipped | unlike the first |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    found = unlike(runs)
    for i, (one, unlikes) in enumerate(zip(runs, found, strict=True), 1):
        begins = next(iter(next(iter(one.record.order.values()), ())), "").rpartition("/")[2]
        counts = " | ".join(str(one.record.counts[outcome]) for outcome in ("passed", "failed", "skipped"))
        how = f"{one.rng_seed} | {'subjects' if one.dist == 'load' else 'tests'} | `{begins}` | {one.order}"
        lines.append(f"| {i} | {how} | {one.record.elapsed_s:.0f} | {counts} | {len(unlikes)} |")
    listed = [(i, one) for i, unlikes in enumerate(found, 1) for one in unlikes]
    if listed:
        lines += [
            "",
            f"## What differed ({len(listed)})",
            "",
            "| run | test | what | first run | this run |",
            "|---|---|---|---|---|",
        ]
        lines += [f"| {i} | `{one.test}` | {one.what} | {one.first} | {one.second} |" for i, one in listed[:LISTED]]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the status is 1 unless every run is green and finds the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.flaky", description="the same tests many times, shuffled")
    parser.add_argument("--times", type=int, default=20, help="runs (20)")
    parser.add_argument("-m", dest="marked", default="zeroshot or roundtrip", help="which tests, as pytest's -m")
    parser.add_argument("--jobs", type=int, default=2, help="workers (2)")
    parser.add_argument("files", nargs="*", help="only these files, or tests; writes no report")
    given = parser.parse_args(arguments)
    if given.times < 2 or given.jobs < 1:
        parser.error(f"--times {given.times} --jobs {given.jobs} is out of range: at least 2 runs in at least 1 worker")

    draw, runs = random.SystemRandom(), []
    for i in tqdm(range(given.times), desc="shuffled runs", unit="run", disable=None):
        one = run([*given.files, "-m", given.marked], rng_seed=draw.getrandbits(32), dist=HANDED_OUT[i % 2], jobs=given.jobs)
        runs.append(one)
        if not one.green:
            print(f"run {i + 1} (--randomly-seed={one.rng_seed}) is red:\n{one.out[-4000:]}", file=sys.stderr)
    if not given.files:
        told = f'python -m tests.campaigns.flaky --times {given.times} -m "{given.marked}" --jobs {given.jobs}'
        write_whole(REPORT, page(runs, told).encode())
        print(f"wrote {REPORT.relative_to(ROOT)}")
    print(closing(runs))
    return 0 if same(runs) == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
