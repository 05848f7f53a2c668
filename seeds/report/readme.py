"""The project's README: what stands between its markers is made from the stored rows.

claims.json -> [readme] -> README.md
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from seeds.claims import SOUND, Claim
from seeds.errors import StoreError
from seeds.figures.words import span
from seeds.file import write_whole
from seeds.report import answer, backing
from seeds.report.claims_file import digest
from seeds.report.finding import Finding
from seeds.report.line import grouped
from seeds.report.tables import runs, summary_table
from seeds.verdict import Outcome

START, END = "<!-- verdicts -->\n", "\n<!-- end of verdicts -->"
DECODED = "pca:"  # codecs of the audit's sound rows whose components are read
HUNDRED = "-100x"  # ends the names of rows that ask for a seed so many times smaller


def refresh(readme: Path, findings: Sequence[Finding], claims: Mapping[str, Claim]) -> None:
    """Puts the answer and the summary of all claims between the markers of the README.

    Raises:
        StoreError: it cannot be written, or has not one pair of markers.
    """
    text = readme.read_text()
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end) or START in rest or END in after:
        raise StoreError(f"{readme} has not one {START.strip()} before one {END.strip()}; restore them")
    write_whole(readme, f"{before}{START}{block(findings, claims)}{END}{after}".encode())


def block(findings: Sequence[Finding], claims: Mapping[str, Claim]) -> str:
    """What stands between the markers."""
    by_claim = grouped(findings, claims)
    told = answer.sentences(by_claim, claims)
    rows = [f for found in by_claim.values() for f in found]
    unbacked = sum(any(backing.warnings(f)) for f in rows)
    counted = (
        f"{len(by_claim)} claims, {len(rows)} rows, {runs(rows):,} figures of single runs; a SHA-256 of all rows, with their "
        f"figures and runs, begins with `{digest(rows)}`."
    ) + f" {backing.counted(unbacked)}." * bool(unbacked)
    lines = [f"* {one}" for one in (*("".join(piece.text for piece in sentence) for sentence in told), counted)]
    return "\n".join([*lines, "", *summary_table(by_claim, claims), *_remarks(by_claim)])


def _remarks(by_claim: Mapping[str, Sequence[Finding]]) -> list[str]:
    """What the tables do not say of sizes."""
    structure = by_claim.get(answer.STRUCTURE, ())
    refuted = _smaller(f for f in structure if f.outcome == Outcome.REFUTED)
    without = [f for f in structure if f.row.endswith(HUNDRED) and f.outcome == Outcome.NO_SEED]
    decoded = _smaller(f for rows in by_claim.values() for f in rows if f.view == SOUND and f.codec.startswith(DECODED))
    lines = []
    if refuted:
        lines.append(f'The refutations of "components add nothing" are of seeds {refuted} times smaller than the weights;')
        lines.append(f"{len(without)} networks have no PCA seed a hundred times smaller.")
    if decoded:
        lines.append(
            "In the second table, the sound rows of components decode them, and keep vectors exactly, where the report's"
        )
        lines.append(f"assembly reads moments only ({decoded} times smaller); so they can differ from the first.")
    return ["", *lines] if lines else []


def _smaller(rows: Iterable[Finding]) -> str:
    """How many times smaller, from the least to the most; empty without rows that tell."""
    times = [float(f.notes["times_smaller"]) for f in rows if "times_smaller" in f.notes]
    return span(times) if times else ""
