"""Sessions: where, when and with what rows were measured.

[session] -> claims.json
"""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "scikit-learn", "statsmodels")
GENERATED = (":(exclude)reports", ":(exclude)README.md")  # what a report writes: no change of what is measured


@dataclass(frozen=True, slots=True)
class Session:
    """One run of pytest, in plain JSON types.

    Args:
        started: of the report, in UTC, ISO 8601; the session's name.
        commit: of the project; None outside a git checkout.
        dirty: whether its tracked files differ from the commit, generated ones aside; None outside a git checkout.
        threads: of torch and of the BLAS, in each process.
        processes: that measured rows side by side; None where it was not kept.
    """

    started: str
    commit: str | None
    dirty: bool | None
    python: str
    system: str
    machine: str
    cores: int
    threads: int
    processes: int | None
    versions: dict[str, str]


def current(root: Path, processes: int) -> Session:
    """The session of this process."""
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *GENERATED)
    cores = len(os.sched_getaffinity(0))
    return Session(
        datetime.now(UTC).isoformat(timespec="seconds"), commit, None if commit is None else bool(changed),
        platform.python_version(), platform.system(), platform.machine(), cores,
        int(os.environ.get("OMP_NUM_THREADS", cores)), processes, {name: version(name) for name in PACKAGES},
    )  # fmt: skip


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where there is no git, or no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
