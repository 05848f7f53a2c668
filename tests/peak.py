"""Peak memory of a Python program in a process of its own.

    [weights] -> extract -> Seed -> assemble -> [weights]

RssAnon has no high-water mark, so that the parent reads it every 2 ms while the child works; what a reading between two
tensors misses is shorter than any work on the largest one. This module knows nothing of what the program does.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

READING_S = 0.002


@dataclass(frozen=True, slots=True)
class Peak:
    """Highest readings of one process: memory of its own, and all resident memory with mapped files."""

    anonymous_bytes: int
    resident_bytes: int


def peak_memory(program: str, *arguments: str) -> Peak:
    """Runs a Python program in a process of its own and watches its memory until it ends."""
    child = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=Path(__file__).parents[1])
    anonymous = resident = 0
    while child.poll() is None:
        found = dict(line.split(":", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
        anonymous = max(anonymous, _bytes(found.get("RssAnon", "0 kB")))  # a process that has just ended has neither
        resident = max(resident, _bytes(found.get("VmHWM", "0 kB")))
        time.sleep(READING_S)
    assert child.returncode == 0, f"the program ended with {child.returncode}"
    return Peak(anonymous, resident)


def _bytes(text: str) -> int:
    number, unit = text.split()
    assert unit == "kB"
    return 1024 * int(number)
