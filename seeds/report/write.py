"""Writing the report: what a run found goes into claims.json, and all that people read is made from what is stored.

    findings -> claims.json -> [tables, README, figures, pages] -> reports/

Everything but the stored JSON files can be lost and made again, by `python -m seeds report`.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from seeds.claims import Claim
from seeds.file import alone, write_whole
from seeds.report import claims_file, page, published, readme, tables
from seeds.report.finding import Finding
from seeds.report.session import Session

if TYPE_CHECKING:
    from seeds.figures.figure import Figure

RESULTS = "zero_shot_results.json"


def record(
    found: Iterable[Finding], session: Session, claims: Mapping[str, Claim], folder: Path, project_readme: Path | None = None
) -> list[Path]:
    """Adds what one session found, then makes everything anew.

    Rows that were not measured now keep what was stored, and rows that are no longer claimed leave. What is made of them never
    stays behind for longer than until the next run, if one is killed.

    Raises:
        StoreError: a file cannot be written, or a stored one that would be added to is damaged.
    """
    with alone(folder):
        return [claims_file.add(found, session, claims, folder), *_made(claims, folder, project_readme)]


def everything(claims: Mapping[str, Claim], folder: Path, project_readme: Path | None = None) -> list[Path]:
    """Makes tables, figures, pages and the README's table from what is stored.

    Raises:
        StoreError: as `record`.
    """
    with alone(folder):
        return _made(claims, folder, project_readme)


def _made(claims: Mapping[str, Claim], folder: Path, project_readme: Path | None) -> list[Path]:
    from seeds import figures  # and matplotlib, when there is something to draw

    results = claims_file.read(folder)
    drawn = figures.every(folder, results.findings)
    contents = {
        claims_file.SCHEMA_NAME: claims_file.SCHEMA.read_bytes(),
        RESULTS: published.results(results.findings),
        "README.md": tables.page(results.findings, claims).encode(),
        "index.html": page.html(results, claims, drawn).encode(),
    }
    for name, raw in contents.items():
        write_whole(folder / name, raw)
    written = [*(folder / name for name in contents), *_drawn(drawn, folder / "figures"), *_pages(claims, folder)]
    if project_readme is not None:
        readme.refresh(project_readme, results.findings, claims)
        written.append(project_readme)
    return written


def _drawn(figures: Sequence["Figure"], folder: Path) -> list[Path]:
    """Writes every figure, and removes those that are no longer drawn."""
    folder.mkdir(exist_ok=True)
    written = [path for one in figures for path in one.write(folder)]
    for path in folder.iterdir():
        if path.suffix in (".svg", ".csv") and path not in written:
            path.unlink()
    return written


def _pages(claims: Mapping[str, Claim], folder: Path) -> list[Path]:
    """The pages of the folders that have data of their own."""
    from seeds import grid
    from seeds.audit import page as audit_page
    from seeds.cost import page as cost_page

    writers = {
        "finetune": grid.write,
        "audit": partial(audit_page.write, folder, claims),
        "benchmarks": cost_page.write,
    }
    return [path for name, write in writers.items() if any((folder / name).glob("*.json")) for path in write(folder / name)]
