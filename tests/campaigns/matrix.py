"""The matrix: what the zero-shot rows and round trips find under other versions of Python, torch, numpy and transformers.

    tox -> records, one per environment -> [matrix] -> reports/matrix.md

`python -m tests.campaigns.matrix` compares the records that lie in .tox/matrix with the one of the pin. Environments that are
named after it are made anew and run first, one by one: `python -m tests.campaigns.matrix pin lowest newest`. Each brings its
own torch, most of them gigabytes of it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seeds.file import write_whole
from tests.campaigns.record import Difference, Record, differences, load

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "reports" / "matrix.md"
PIN = "pin"
SHOWN = ("python", "torch", "transformers", "datasets", "numpy", "scipy", "scikit-learn", "safetensors")
LISTED = 60  # figures in the report; their number is always there


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment of tox.ini and what it found.

    Args:
        unlike: in what it differs from the pin.
        install_s: seconds that tox took to make it; None where it was not made anew.
    """

    name: str
    record: Record
    unlike: tuple[Difference, ...]
    install_s: float | None = None

    @property
    def findings(self) -> list[Difference]:
        """Verdicts, and outcomes of tests, that are not those of the pin."""
        return [one for one in self.unlike if one.what in ("verdict", "outcome")]

    @property
    def figures(self) -> list[Difference]:
        """Figures that are not those of the pin, the farthest apart first."""
        return sorted((one for one in self.unlike if one.what not in ("verdict", "outcome")), key=lambda one: -one.relative)

    @property
    def green(self) -> bool:
        return self.record.exit_status == 0

    @property
    def golden(self) -> tuple[int, int]:
        """Tests of golden bits that passed, of how many."""
        outcomes = [result.outcome for name, result in self.record.tests.items() if "golden" in name]
        return outcomes.count("passed"), len(outcomes)


def install_seconds(told: Mapping, name: str) -> float:
    """Seconds of the steps before the tests, from what `tox --result-json` writes."""
    return sum(step["elapsed"] for step in told["testenvs"][name].get("setup", []))


def run(name: str, work: Path) -> None:
    """Makes an environment anew and runs its tests; its record lies in `work` afterwards, whether or not they passed.

    Raises:
        SystemExit: it could not be made, has other versions than those asked for, or left no record.
    """
    told, record = work / "matrix" / f"{name}.tox", work / "matrix" / f"{name}.json"
    record.unlink(missing_ok=True)  # the old one must not be taken for the new one
    record.parent.mkdir(parents=True, exist_ok=True)
    where = ["--workdir", str(work), "--result-json", str(told)]
    done = subprocess.run([sys.executable, "-m", "tox", "run", "-r", "-e", name, *where], cwd=ROOT, check=False)
    if not record.exists():
        raise SystemExit(f"{name}: tox ended with status {done.returncode} and left no record")


def environments(work: Path) -> list[Environment]:
    """What lies in the working folder: the pin, then the others by the version of their torch.

    Raises:
        SystemExit: nothing of the pin, with which the others are compared.
    """
    records = {path.stem: load(path) for path in sorted((work / "matrix").glob("*.json"))}
    if PIN not in records:
        raise SystemExit(f"{work / 'matrix'} has no record of the pin: python -m tests.campaigns.matrix {PIN}")
    found = []
    for name, record in records.items():
        told = work / "matrix" / f"{name}.tox"
        seconds = install_seconds(json.loads(told.read_text("utf-8")), name) if told.exists() else None
        found.append(Environment(name, record, tuple(differences(records[PIN], record)), seconds))
    return sorted(found, key=lambda one: (one.name != PIN, _numbers(one.record.versions["torch"]), one.name))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("+")[0].split(".") if part.isdigit()]


def closing(found: Sequence[Environment]) -> str:
    """The line that says how it went."""
    all_verdicts = (len(found) - 1) * len(found[0].record.verdicts)
    unlike = sum(each.what == "verdict" for one in found for each in one.unlike)
    return (
        f"{sum(one.green for one in found)} of {len(found)} environments green; "
        f"{all_verdicts - unlike} of {all_verdicts} verdicts as under the pin; "
        f"golden bits: {sum(one.golden[0] for one in found)} of {sum(one.golden[1] for one in found)} tests"
    )


def sound(found: Sequence[Environment]) -> bool:
    """All green, with the tests and the verdicts of the pin."""
    return all(one.green and not one.findings for one in found)


def page(found: Sequence[Environment]) -> str:
    """The report: versions, times and counts, then what differs from the pin."""
    pin = found[0].record
    columns = ("install s", "run s", "passed", "failed", "skipped", "verdicts unlike", "golden", "figures unlike")
    lines = [
        "# The matrix",
        "",
        f"Made by `python -m tests.campaigns.matrix {' '.join(one.name for one in found)}`: {len(pin.tests)} tests and "
        f"{len(pin.verdicts)} verdicts, in one process. Installing downloads only what uv's cache does not have.",
        "",
        f"**{closing(found)}**",
        "",
        f"| environment | {' | '.join(SHOWN)} |",
        "|---" * (1 + len(SHOWN)) + "|",
        *(f"| {one.name} | {' | '.join(one.record.versions.get(name, '-') for name in SHOWN)} |" for one in found),
        "",
        f"| environment | {' | '.join(columns)} |",
        "|---" * (1 + len(columns)) + "|",
        *map(_row, found),
    ]
    return "\n".join([*lines, *(line for one in found for line in _section(one))]) + "\n"


def _row(one: Environment) -> str:
    outcomes = [str(one.record.counts[outcome]) for outcome in ("passed", "failed", "skipped")]
    verdicts = sum(each.what == "verdict" for each in one.unlike)
    install = "-" if one.install_s is None else f"{one.install_s:.0f}"
    golden = "{} of {}".format(*one.golden)
    cells = [one.name, install, f"{one.record.elapsed_s:.0f}", *outcomes, str(verdicts), golden, str(len(one.figures))]
    return f"| {' | '.join(cells)} |"


def _section(one: Environment) -> list[str]:
    """What an environment found otherwise: all outcomes and verdicts, then figures."""
    if not one.unlike:
        return []
    lines = ["", f"## {one.name}", "", "| test | what | pin | here | relative |", "|---|---|---|---|---|"]
    for each in [*one.findings, *one.figures[:LISTED]]:
        test = each.test.partition("::")[2]
        lines.append(f"| `{test}` | {each.what} | {each.first} | {each.second} | {each.relative:.1e} |")
    more = len(one.figures) - LISTED
    return [*lines, "", f"and {more} figures that are closer"] if more > 0 else lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the status is 1 unless every environment is green with the verdicts of the pin."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.matrix", description="the tests under other versions")
    parser.add_argument("--workdir", type=Path, default=ROOT / ".tox", help="tox's working folder (.tox)")
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT", help="make these anew and run them first")
    given = parser.parse_args(arguments)
    for name in given.names:
        run(name, given.workdir)
    found = environments(given.workdir)
    write_whole(REPORT, page(found).encode())
    print(f"wrote {REPORT.relative_to(ROOT)}\n{closing(found)}")
    return 0 if sound(found) else 1


if __name__ == "__main__":
    sys.exit(main())
