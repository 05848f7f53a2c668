"""Memory: what this machine can give at the moment, and the refusal of whatever needs more.

subject -> extract -> Seed -> [store] -> [assemble] -> evaluate -> verdict

A file of a few hundred bytes may stand for petabytes. Without a word beforehand, Linux promises such memory and ends the
process when it is used. This module knows neither files nor seeds.
"""

import os
from pathlib import Path

from seeds.errors import SeedError

ASKED_BYTES = 1 << 26  # smaller ones are not worth the question
MEMINFO = Path("/proc/meminfo")
AVAILABLE = "MemAvailable:"  # kB that can be had without swapping


def available_bytes() -> int:
    """Memory that can be had at the moment; where the system does not say, all that the machine has."""
    try:
        return next(1024 * int(line.split()[1]) for line in MEMINFO.read_text().splitlines() if line.startswith(AVAILABLE))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require(size_bytes: int, what: str) -> None:
    """Nothing, if so much memory can be had.

    Args:
        size_bytes: what will be taken.
        what: subject of the error's sentence, which goes on "... needs so many bytes of memory".

    Raises:
        SeedError: it cannot be had; says how much can.
    """
    if size_bytes > ASKED_BYTES and size_bytes > (free := available_bytes()):
        raise SeedError(f"{what} needs {size_bytes:,} bytes of memory; {free:,} can be had")
