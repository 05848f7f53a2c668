"""Memory of extraction from disk and of assembly to it: one tensor at a time, however large the model.

    [weights] -> extract -> Seed -> assemble -> [weights]

Judged is the peak of anonymous memory (RssAnon), which a process owns and nobody can take back. safetensors maps the
file, and mapped pages belong to the page cache: the kernel drops them when memory is short. They count in VmHWM, the
peak of all resident memory, which is recorded beside it and on this file is larger by up to half a gigabyte.
"""

import math
from pathlib import Path

import pytest

from seeds.subject import subject
from tests.peak import peak_memory
from tests.synthetic import FLOAT32_BYTES, write_gpt2_shaped

EXTRACT = "import sys; from seeds.extract import extract; extract(sys.argv[1], sys.argv[2])"
ASSEMBLE = "import sys; from seeds import assemble, store; assemble.assemble_to(store.load(sys.argv[1]), sys.argv[2])"
HOLD = "import time; held = b'x' * {size_bytes}; time.sleep(0.1)"
INTERPRETER_BYTES = 300_000_000  # Python with torch and scipy: some 160 MB here, more in builds for CUDA

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc: RssAnon cannot be read")


def allowed_bytes(copies: int = 1) -> int:
    """So many times and a half the largest tensor, and the interpreter: a copy of the model does not fit in."""
    largest = max(math.prod(entry.shape) for entry in subject("gpt2").published_seed().entries)
    return INTERPRETER_BYTES + (2 * copies + 1) * largest * FLOAT32_BYTES // 2


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


@pytest.mark.benchmark(group="memory assemble")
def test_assembly_of_half_a_gigabyte_needs_memory_for_one_tensor(benchmark, tmp_path):
    """Twice: as it was drawn, and within the range of its dtype. The whole model does not fit in beside it."""
    seed_path, path = subject("gpt2").seed_path, tmp_path / "model.safetensors"

    peak = benchmark.pedantic(peak_memory, args=(ASSEMBLE, str(seed_path), str(path)), rounds=1)

    benchmark.extra_info |= {
        "peak_anonymous_bytes": peak.anonymous_bytes,
        "peak_resident_bytes": peak.resident_bytes,
        "allowed_bytes": allowed_bytes(copies=2),
        "bytes": path.stat().st_size,
        "threads": 1,
        "device": "cpu",
    }
    assert path.stat().st_size > FLOAT32_BYTES * subject("gpt2").published_seed().parameters
    assert peak.anonymous_bytes < allowed_bytes(copies=2)
