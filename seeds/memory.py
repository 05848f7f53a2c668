"""Memory: what this machine can give at the moment, and the refusal of whatever needs more.

subject -> extract -> Seed -> [store] -> [assemble] -> evaluate -> verdict

A file of a few hundred bytes may stand for petabytes. Without a word beforehand, Linux promises such memory and ends the
process when it is used. This module knows neither files nor seeds.
"""

import os
import resource
from pathlib import Path

from seeds.errors import SeedError

ASKED_BYTES = 1 << 26  # smaller ones are not worth the question
MEMINFO = Path("/proc/meminfo")
AVAILABLE = "MemAvailable:"  # kB that can be had without swapping
STATM = Path("/proc/self/statm")  # pages; the first number is the whole address space
GROUP = Path("/proc/self/cgroup")  # lines "number:controllers:path", of version 2 with number 0 and no controllers
GROUPS = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Memory that can be had at the moment: by the machine, this process's limit, and that of its container or group."""
    return max(0, min([_machine_bytes(), *_process_bytes(), *_group_bytes()]))


def _machine_bytes() -> int:
    """Where the system does not say, all that the machine has."""
    try:
        return next(1024 * int(line.split()[1]) for line in MEMINFO.read_text().splitlines() if line.startswith(AVAILABLE))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _process_bytes() -> list[int]:
    """What the limit of the address space leaves (`ulimit -v`); nothing where there is none, or its use is unknown."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return []
    try:
        return [limit - os.sysconf("SC_PAGE_SIZE") * int(STATM.read_text().split()[0])]
    except (OSError, ValueError, IndexError):
        return [limit]


def _group_bytes() -> list[int]:
    """What the limits of the control groups leave that this process is in, of each and of those around it."""
    try:
        lines = [line.split(":", 2) for line in GROUP.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and "memory" not in controllers.split(","):
            continue
        top = GROUPS / "memory" if controllers else GROUPS
        limit, used = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        here = top / path.lstrip("/")
        for group in {top, here, *(around for around in here.parents if around.is_relative_to(top))}:
            try:
                found.append(int((group / limit).read_text()) - int((group / used).read_text()))
            except (OSError, ValueError):  # not there, or "max"
                continue
    return found


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
