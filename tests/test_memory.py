"""Memory of extraction from disk: one tensor at a time, however large the model.

    [weights] -> extract -> Seed

Judged is the peak of anonymous memory (RssAnon), which a process owns and nobody can take back. safetensors maps the
file, and mapped pages belong to the page cache: the kernel drops them when memory is short. They count in VmHWM, the
peak of all resident memory, which is recorded beside it and on this file is larger by up to half a gigabyte.

RssAnon has no high-water mark, so that the parent reads it every 2 ms while the child works; what a reading between two
tensors misses is shorter than any work on the largest one.
"""

import math
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from seeds.subject import subject
from tests.synthetic import FLOAT32_BYTES, write_gpt2_shaped

EXTRACT = "import sys; from seeds.extract import extract; extract(sys.argv[1], sys.argv[2])"
HOLD = "import time; held = b'x' * {size_bytes}; time.sleep(0.1)"
INTERPRETER_BYTES = 300_000_000  # Python with torch and scipy: some 160 MB here, more in builds for CUDA
READING_S = 0.002

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc: RssAnon cannot be read")


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


def allowed_bytes() -> int:
    """One and a half times the largest tensor, and the interpreter: a copy of the model does not fit in."""
    largest = max(math.prod(entry.shape) for entry in subject("gpt2").published_seed().entries)
    return INTERPRETER_BYTES + 3 * largest * FLOAT32_BYTES // 2


@pytest.fixture(scope="module")
def gpt2_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2") / "model.safetensors"
    write_gpt2_shaped(path)
    yield path
    path.unlink()


def test_the_meter_sees_memory_that_a_process_holds():
    """The control: without it a meter that reads zero would pass everything below."""
    size_bytes = allowed_bytes()

    peak = peak_memory(HOLD.format(size_bytes=size_bytes))

    assert size_bytes < peak.anonymous_bytes < size_bytes + 100_000_000
    assert peak.anonymous_bytes <= peak.resident_bytes


def test_moments_of_half_a_gigabyte_need_no_memory_for_the_model(gpt2_file, record_property):
    peak = peak_memory(EXTRACT, str(gpt2_file), "moments")

    record_property("peak_anonymous_bytes", peak.anonymous_bytes)
    record_property("peak_resident_bytes", peak.resident_bytes)
    assert peak.anonymous_bytes < allowed_bytes()


@pytest.mark.benchmark(group="memory pca:10")
def test_components_of_half_a_gigabyte_need_memory_for_one_matrix(benchmark, gpt2_file):
    """Among the benchmarks because it takes half a minute; the time is that of a process from start to end."""
    peak = benchmark.pedantic(peak_memory, args=(EXTRACT, str(gpt2_file), "pca:10"), rounds=1)

    benchmark.extra_info |= {
        "peak_anonymous_bytes": peak.anonymous_bytes,
        "peak_resident_bytes": peak.resident_bytes,
        "allowed_bytes": allowed_bytes(),
        "threads": 1,
        "device": "cpu",
    }
    assert peak.anonymous_bytes < allowed_bytes()
