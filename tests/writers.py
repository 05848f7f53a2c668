"""Everything that writes more than once into a folder: how it begins, and what it then changes.

Each is called with a folder. `first` fills it; `then` adds to what is there, by reading, changing and writing back. Both give
the same bytes each time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seeds import grid, store
from seeds.audit import findings
from seeds.audit import page as audit_page
from seeds.audit.findings import FiguresFinding
from seeds.budget import LOOKS, STEPS
from seeds.claims import Claim, load
from seeds.cost import calibration, page, race, record
from seeds.cost.calibration import Parts
from seeds.cost.race import Download, Entrant
from seeds.cost.record import Record
from seeds.cost.timing import Timed
from seeds.extract import extract
from seeds.file import SCRATCH
from seeds.grid import ARMS, Piece
from seeds.interval import Interval
from seeds.library import card
from seeds.report import write
from seeds.report.finding import Finding
from seeds.report.readme import END, START
from seeds.report.session import Session
from seeds.subject import SUBJECTS
from seeds.verdict import Outcome, Verdict

ROOT = Path(__file__).parents[1]
CLAIMS = load(ROOT / "tests" / "claims.toml", ROOT / "tests" / "expected.toml")
CLAIM, OTHER = CLAIMS["zeroshot-ladder"], CLAIMS["seed-size"]
SESSION = Session("2026-01-02T03:04:05+00:00", "a" * 40, False, "3.11.7", "Linux", "x86_64", 2, 1, 1, {"torch": "2.13.0"})


@dataclass(frozen=True, slots=True)
class Writer:
    """What writes `files` at least, one after the other, when it changes a folder; it keeps others out of `locks` meanwhile."""

    first: Callable[[Path], object]
    then: Callable[[Path], object]
    files: int
    locks: str = "."


def finding(claim: Claim, row: int, outcome: Outcome = Outcome.HOLDS) -> Finding:
    one = claim.rows[row]
    return Finding.of(one, Verdict(outcome, Interval(0.01, -0.02, 0.03), one.rule, 48, None, "because"), {})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path, those that are not finished among them."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "filler")
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def finished(found: dict[str, bytes]) -> dict[str, bytes]:
    """Those that a reader looks at."""
    return {name: raw for name, raw in found.items() if not name.endswith(SCRATCH)}


def unfinished(found: dict[str, bytes]) -> dict[str, bytes]:
    """The others, by the path that they were to get."""
    return {target(Path(name)): raw for name, raw in found.items() if name.endswith(SCRATCH)}


def target(scratch: Path) -> str:
    """`a/.b.json.k3xw82qy.scratch` is to become `a/b.json`."""
    return str(scratch.with_name(scratch.name[1:].rsplit(".", 2)[0]))


def _begin_report(folder: Path) -> None:
    (folder / "README.md").write_text(f"Before.\n{START}(nothing yet){END}After.\n")
    write.record([finding(CLAIM, 0), finding(CLAIM, 1)], SESSION, CLAIMS, folder / "reports", folder / "README.md")


def _add_rows(folder: Path) -> None:
    rows = [finding(CLAIM, 1, Outcome.REFUTED), finding(CLAIM, 2), finding(OTHER, 0)]
    later = replace(SESSION, started="2026-02-03T04:05:06+00:00")
    write.record(rows, later, CLAIMS, folder / "reports", folder / "README.md")


def _piece(samples: int) -> Piece:
    flat = {arm: np.full((2, len(STEPS)), 0.5).tolist() for arm in ARMS}
    along = {arm: np.full((2, len(LOOKS)), 0.5).tolist() for arm in ARMS}
    return Piece("made-up", samples, list(LOOKS), 0.1, 0.9, flat, along, {arm: [1e-3] * len(STEPS) for arm in ARMS})


def _add_pieces(folder: Path) -> None:
    grid.add([_piece(25)], folder)
    grid.write(folder)


def _time(name: str, seconds: float) -> Record:
    return Record("extract moments", name, 3, seconds, seconds, seconds, {})


def _add_times(folder: Path) -> None:
    record.write([_time("fast", 1.0), replace(_time("new", 2.0), group="store")], folder, {})
    page.write(folder)


def _figures(subject: str) -> FiguresFinding:
    return FiguresFinding(subject, [["size", "of its seed", 1.0, 2.0, "KB"]])


def _add_figures(folder: Path) -> None:
    findings.add([_figures("bert-tiny")], folder)
    audit_page.write(folder / "verdicts", CLAIMS, folder)


def _calibrate(key: str) -> Callable[[Path], None]:
    parts = Parts(1000, Timed((0.1, 0.2)), Timed((0.1, 0.2)), None)
    return lambda folder: calibration.write(folder / "calibration.json", {key: {"moments": parts}})


def _race(delivery: str) -> Callable[[Path], object]:
    parts = Parts(1000, Timed((0.1, 0.2)), Timed((0.1, 0.2)), None)
    entrant = Entrant("digits-mlp", delivery, 99, parts, {"5Mbps": Download([0.1], False)})
    return lambda folder: race.write([entrant], folder)


def _train(rng_seed: int) -> Callable[[Path], dict]:
    raw = np.random.default_rng(rng_seed).bytes(20_000)
    return lambda folder: card.write({"rng_seed": rng_seed}, raw, folder / "net.safetensors")


def _save(codec: str) -> Callable[[Path], int]:
    weights = SUBJECTS["digits-mlp"].weights_path
    return lambda folder: store.save(extract(weights or "", codec), folder / "a.seed")


WRITERS = {
    "report": Writer(_begin_report, _add_rows, 4, "reports"),
    "grid": Writer(lambda folder: grid.add([_piece(10)], folder), _add_pieces, 2),
    "benchmarks": Writer(lambda folder: record.write([_time("slow", 3.0)], folder, {}), _add_times, 3),
    "audit": Writer(
        lambda folder: findings.add([_figures("gpt2")], folder),
        _add_figures,
        2,
    ),
    "calibration": Writer(_calibrate("one"), _calibrate("two"), 1),
    "race": Writer(_race("original"), _race("moments"), 1),
    "weights and card": Writer(_train(0), _train(1), 2),
    "seed": Writer(_save("moments"), _save("pca:4"), 1, ""),
}  # fmt: skip
