"""The file of all findings: claims.json, of a published schema, added to by every run that reports.

    verdict -> finding, session -> [claims_file] -> tables, README, figures, page

A run of a few rows replaces these rows and erases no other. The caller keeps other writers out (`seeds.file.alone`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from seeds.claims import Claim
from seeds.errors import StoreError
from seeds.file import write_whole
from seeds.report.finding import Finding
from seeds.report.line import claim_lines, grouped
from seeds.report.session import Session

NAME, SCHEMA_NAME = "claims.json", "claims.schema.json"
FORMAT = "seeds.claims/1"
SCHEMA = Path(__file__).with_name(SCHEMA_NAME)
SHOWN = 200  # characters of what is wrong with a file


@dataclass(frozen=True, slots=True)
class Results:
    """All that is stored: findings in the order of the file, and the sessions that they name."""

    findings: list[Finding] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)


def read(folder: Path) -> Results:
    """What the folder's claims.json holds; nothing if it is not there.

    Raises:
        StoreError: it is not of the schema, or a row names a session that is not there.
    """
    path = folder / NAME
    if not path.exists():
        return Results()
    try:
        content = json.loads(path.read_text(), parse_constant=_refused)
    except (OSError, ValueError) as error:
        raise _damaged(path, f"{error}") from None
    _check(content, path)
    sessions = {name: Session(**told) for name, told in content["sessions"].items()}
    findings = [Finding(name, **row) for name, claim in content["claims"].items() for row in claim["rows"]]
    if missing := sorted({f.session for f in findings} - sessions.keys()):
        raise _damaged(path, f"no session {missing[0]!r}")
    return Results(findings, sessions)


def add(fresh: Iterable[Finding], session: Session, claims: Mapping[str, Claim], folder: Path) -> Path:
    """Adds what one session found. Fresh rows replace stored ones; rows that are no longer claimed leave, with their sessions.

    Raises:
        StoreError: the file cannot be written, or the stored one is damaged.
    """
    stored = read(folder)
    named = [replace(f, session=session.started) for f in fresh]
    claimed = {(claim.name, row.id) for claim in claims.values() for row in claim.rows}
    by_claim = grouped([f for f in [*stored.findings, *named] if f.place in claimed], claims)
    used = {f.session for rows in by_claim.values() for f in rows}
    sessions = {name: one for name, one in {**stored.sessions, session.started: session}.items() if name in used}
    content = {
        "$schema": SCHEMA_NAME,
        "format": FORMAT,
        "sessions": {name: asdict(sessions[name]) for name in sorted(sessions)},
        "claims": {name: _claim(claims[name], rows) for name, rows in by_claim.items()},
    }
    _check(content, folder / NAME)
    write_whole(folder / NAME, (_text(content) + "\n").encode())
    return folder / NAME


def digest(findings: Iterable[Finding]) -> str:
    """Twelve hexadecimal digits that change with every number of every row, its runs among them, and not with the session."""
    told = sorted(json.dumps({**asdict(f), "session": ""}, sort_keys=True) for f in findings)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def _claim(claim: Claim, rows: list[Finding]) -> dict[str, Any]:
    told = {
        "family": claim.family, "kind": claim.kind, "says": claim.says, "figure": claim.figure, "unit": claim.unit,
        "region": claim.rule.region, "reason": claim.reason, "line": claim_lines(rows),
    }  # fmt: skip
    return told | {"rows": [{name: value for name, value in asdict(f).items() if name != "claim"} for f in rows]}


def _text(value: Any, depth: int = 0) -> str:
    """JSON with a line for each row, so that a changed row is one changed line."""
    if not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(key)}: {_text(one, depth + 1)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{' ' * depth}}}"
    return "[\n" + ",\n".join(pad + json.dumps(one, ensure_ascii=False, allow_nan=False) for one in value) + f"\n{' ' * depth}]"


def _check(content: Any, path: Path) -> None:
    from jsonschema.exceptions import best_match

    if (error := best_match(_validator().iter_errors(content))) is not None:
        raise _damaged(path, f"{error.json_path}: {error.message:.{SHOWN}}")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA.read_text()))


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is no file of claims ({why}); restore it, or remove it and measure again")
