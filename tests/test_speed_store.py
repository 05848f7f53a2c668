"""Speed of seed files beside plain safetensors and a checksum of the same bytes: 26 kB, 2.7 MB and 100 MB.

    subject -> extract -> Seed -> [store] -> assemble -> evaluate -> verdict

The peers hold the same arrays without the seed's header. Saving is as safe in both: a temporary name in the same folder,
then a rename; neither waits for the disk. Each benchmark times one thing, then asserts that the result is right; no time
is ever asserted. Skipped unless asked for with `--benchmark`.
"""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from seeds import store
from seeds.extract import extract
from seeds.seed import Seed
from seeds.subject import one_thread, subject
from tests.timing import aim, tell

AT_MOST = 1.5  # times as long as the peer
LARGE = 20  # matrices of 5 MB


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


def small() -> Seed:
    return extract(subject("digits-mlp").original(), "pca:10")


def middle() -> Seed:
    return extract(subject("docs-gpt").original(), "exact")


def large() -> Seed:
    generator = torch.Generator().manual_seed(0)
    return extract({f"{i}.weight": torch.randn(1000, 1250, generator=generator) for i in range(LARGE)}, "exact")


@pytest.fixture(scope="module", params=[small, middle, large], ids=["digits-mlp-pca:10", "docs-gpt-exact", "100-MB-exact"])
def seed(request) -> Seed:
    return request.param()


@pytest.fixture(scope="module")
def arrays(seed) -> dict[str, Tensor]:
    return {f"{e.name}/{name}": part.contiguous() for e in seed.entries for name, part in e.parts.items()}


def save_plainly(arrays: dict[str, Tensor], path: Path) -> str:
    scratch = path.with_suffix(".scratch")
    safetensors.torch.save_file(arrays, scratch)
    digest = hashlib.sha256(scratch.read_bytes()).hexdigest()
    scratch.replace(path)
    return digest


def load_plainly(path: Path) -> tuple[str, dict[str, Tensor]]:
    raw = path.read_bytes()
    return hashlib.sha256(raw).hexdigest(), safetensors.torch.load(raw)


def peer(benchmark, name: str) -> str:
    """The benchmark of another name with the same parameters."""
    return name + benchmark.name.removeprefix(benchmark.name.partition("[")[0])


@pytest.mark.benchmark(group="store save")
def test_the_speed_of_saving(benchmark, seed, tmp_path):
    size_bytes = benchmark(store.save, seed, tmp_path / "a.safetensors")

    tell(benchmark, size_bytes)
    aim(benchmark, peer(benchmark, "test_the_speed_of_saving_without_a_seed"), AT_MOST)
    assert (tmp_path / "a.safetensors").read_bytes() == store.to_bytes(seed)


@pytest.mark.benchmark(group="store save")
def test_the_speed_of_saving_without_a_seed(benchmark, arrays, tmp_path):
    path = tmp_path / "a.safetensors"

    digest = benchmark(save_plainly, arrays, path)

    tell(benchmark, path.stat().st_size)
    assert digest == hashlib.sha256(safetensors.torch.save(arrays)).hexdigest()


@pytest.mark.benchmark(group="store load")
def test_the_speed_of_loading(benchmark, seed, tmp_path):
    size_bytes = store.save(seed, tmp_path / "a.safetensors")

    loaded = benchmark(store.load, tmp_path / "a.safetensors")

    tell(benchmark, size_bytes)
    aim(benchmark, peer(benchmark, "test_the_speed_of_loading_without_a_seed"), AT_MOST)
    assert store.to_bytes(loaded) == store.to_bytes(seed)


@pytest.mark.benchmark(group="store load")
def test_the_speed_of_loading_without_a_seed(benchmark, arrays, tmp_path):
    path = tmp_path / "a.safetensors"
    digest = save_plainly(arrays, path)

    found, loaded = benchmark(load_plainly, path)

    tell(benchmark, path.stat().st_size)
    assert found == digest
    assert all(torch.equal(array, arrays[name]) for name, array in loaded.items())
