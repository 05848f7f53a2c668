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

from joblib import cpu_count

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "scikit-learn", "statsmodels")
# Arguments of `git status`. What a report writes is no change of what is measured.
TRACKED = ("--untracked-files=no", "--", ".", ":(exclude)reports", ":(exclude)README.md")
NEW = ("--untracked-files=all", "--", "seeds", "tests", "conftest.py")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of pytest, in plain JSON types.

    Args:
        started: in UTC, ISO 8601, to the millisecond; the session's name.
        commit: of the project; None outside a git checkout.
        dirty: whether its files differ from the commit, generated ones aside, or there are new ones that pytest or Python
            would read; None outside a git checkout.
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
    """The session of this process, as it begins."""
    is_checkout = _git(root, "rev-parse", "--show-prefix") == ""  # and no folder inside a checkout of something else
    changes = [_git(root, "status", "--porcelain", *arguments) for arguments in (TRACKED, NEW)] if is_checkout else [None]
    return Session(
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        _git(root, "rev-parse", "HEAD") if is_checkout else None,
        None if None in changes else any(changes),
        platform.python_version(), platform.system(), platform.machine(), cpu_count(), _threads(),
        processes, {name: version(name) for name in PACKAGES},
    )  # fmt: skip


def _threads() -> int:
    """Of OpenMP: the first of its numbers, if it has several, and as many as there are cores if it has none."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else cpu_count()


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where there is no git, or it has nothing to say of this folder."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
