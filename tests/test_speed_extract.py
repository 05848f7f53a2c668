"""Speed of extraction: moments beside a plain sum over the same file, components beside a full SVD of the same matrices.

    subject -> [extract] -> Seed -> store -> assemble -> evaluate -> verdict

A file with the shapes of GPT-2, on one thread. Each benchmark times one thing, then asserts that the result is right; no
time is ever asserted. GB/s are told of the best round by the clock, and by processor time, which says more on a machine
that others use too. Skipped unless asked for with `--benchmark`; memory is in test_memory.py.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors
import torch
from torch import Tensor

from seeds.extract import extract
from seeds.subject import one_thread
from tests.synthetic import write_gpt2_shaped
from tests.timing import aim, tell

BLOCK = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"]  # matrices of each block
BLOCKS = 12
RANK = 10
MOMENTS_ERROR = 1e-6  # relative: roundings of float32, eleven times as large where mean**2 is ten times the variance
ENERGY_ERROR = 1e-9  # of the optimum: float32 roundings over the gap behind the last component, squared
ENERGY_ERROR_FLOAT32 = 1e-4  # a float32 SVD keeps some 6 digits, and centring in float32 takes some of them
LEAST_OF_OPTIMUM = 0.999  # the share of the best possible energy below which components are not components


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


@pytest.fixture(scope="module")
def gpt2_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2") / "model.safetensors"
    write_gpt2_shaped(path)
    yield path
    path.unlink()


def mapped(path):
    with safetensors.safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (a handle is no mapping)
            yield name, file.get_tensor(name)


# --- mean and standard deviation of 124 million values ----------------------------------------------------------------


def moments_of_seed(path) -> dict[str, tuple[float, float]]:
    return {e.name: (e.parts["mean"].item(), e.parts["std"].item()) for e in extract(path, "moments").entries}


def moments_by_torch(path) -> dict[str, tuple[float, float]]:
    found = {}
    for name, weight in mapped(path):
        std, mean = torch.std_mean(weight, correction=0)
        found[name] = mean.item(), std.item()
    return found


def sums(path) -> dict[str, float]:
    """Reads every value once and does next to nothing with it: the most that memory and page cache allow."""
    return {name: weight.sum().item() for name, weight in mapped(path)}


def per_processor_second(action, size_bytes: int) -> float:
    """GB per second of processor time, best of three: a busy machine slows the clock more than this."""
    spent_s = []
    for _ in range(3):
        start = time.process_time()
        action()
        spent_s.append(time.process_time() - start)
    return size_bytes / min(spent_s) / 1e9


def worst_error(found: dict[str, tuple[float, float]], path) -> float:
    """Largest error on some tensors of each kind, against numpy in float64.

    Of a std relative to itself, of a mean relative to the root mean square, since a mean may be near zero.
    """
    errors = []
    for name, weight in mapped(path):
        if name.startswith(("w", "ln_f", "h.0.", "h.11.")):
            exact = weight.numpy().astype(np.float64)
            mean, std = exact.mean(), exact.std()
            errors += [abs(found[name][0] - mean) / math.hypot(mean, std), abs(found[name][1] - std) / std]
    return max(errors)


@pytest.mark.benchmark(group="extract moments")
@pytest.mark.parametrize(
    ("way", "rounds"),
    [pytest.param(moments_of_seed, 25, id="extract"), pytest.param(moments_by_torch, 3, id="torch.std_mean")],
)
def test_the_speed_of_moments(benchmark, gpt2_file, way, rounds):
    found = benchmark.pedantic(way, args=(gpt2_file,), rounds=rounds, warmup_rounds=1)

    size_bytes, error = gpt2_file.stat().st_size, worst_error(found, gpt2_file)
    tell(benchmark, size_bytes, error=error, gb_per_processor_s=per_processor_second(lambda: way(gpt2_file), size_bytes))
    if way is moments_of_seed:
        aim(benchmark, "test_the_speed_of_a_plain_sum", 2.0)
    assert len(found) == 148
    assert error < MOMENTS_ERROR, "fast but wrong"


@pytest.mark.benchmark(group="extract moments")
def test_the_speed_of_a_plain_sum(benchmark, gpt2_file):
    """The roof: no way to read the file gives moments faster than this."""
    found = benchmark.pedantic(sums, args=(gpt2_file,), rounds=25, warmup_rounds=1)

    size_bytes = gpt2_file.stat().st_size
    tell(benchmark, size_bytes, gb_per_processor_s=per_processor_second(lambda: sums(gpt2_file), size_bytes))
    weight = dict(mapped(gpt2_file))["wpe.weight"].double()
    assert found["wpe.weight"] == pytest.approx(weight.sum().item(), abs=1e-6 * weight.abs().sum().item())


# --- ten components of every matrix -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decomposed:
    """Seconds that each matrix took, and the share of its energy in the leading components."""

    elapsed_s: dict[str, float]
    captured: dict[str, float]

    @property
    def whole_model_s(self) -> float:
        """The time scaled to all 50 matrices: one block was measured, and there are twelve of the same shapes."""
        return sum(s * (BLOCKS if name.startswith("h.") else 1) for name, s in self.elapsed_s.items())


@pytest.fixture(scope="module")
def matrices(gpt2_file) -> dict[str, Tensor]:
    """One matrix of each shape in the model: those of the first block, and both embeddings."""
    wanted = {f"h.0.{name}" for name in BLOCK} | {"wte.weight", "wpe.weight"}
    return {name: weight.clone() for name, weight in mapped(gpt2_file) if name in wanted}


@pytest.fixture(scope="module")
def optima(matrices) -> dict[str, float]:
    """The largest share of each matrix's energy that components can hold."""
    return {name: optimal_share(weight) for name, weight in matrices.items()}


def optimal_share(weight: Tensor) -> float:
    """By all eigenvalues of a float64 Gram matrix, which resolve the leading ones to some 12 digits."""
    rows = weight.double() - weight.double().mean(0)
    energy = torch.linalg.eigvalsh(rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows)
    return (energy[-RANK:].sum() / energy.sum()).item()


def by_extraction(matrices: dict[str, Tensor]) -> Decomposed:
    elapsed_s, captured = {}, {}
    for name, weight in matrices.items():
        start = time.perf_counter()
        (entry,) = extract({name: weight}, f"pca:{RANK}").entries
        elapsed_s[name], captured[name] = time.perf_counter() - start, entry.captured_energy or 0.0
    return Decomposed(elapsed_s, captured)


def by_full_svd(matrices: dict[str, Tensor]) -> Decomposed:
    """The report's own method: every singular value and vector of the float32 weights, by numpy."""
    elapsed_s, captured = {}, {}
    for name, weight in matrices.items():
        start = time.perf_counter()
        rows = weight.numpy()
        singular = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[1]
        elapsed_s[name] = time.perf_counter() - start
        energy = singular.astype(np.float64) ** 2
        captured[name] = energy[:RANK].sum() / energy.sum()
    return Decomposed(elapsed_s, captured)


@pytest.mark.benchmark(group="extract pca:10")
@pytest.mark.parametrize(
    ("way", "rounds", "allowed"),
    [
        pytest.param(by_extraction, 3, ENERGY_ERROR, id="extract"),
        pytest.param(by_full_svd, 1, ENERGY_ERROR_FLOAT32, id="full-svd"),
    ],
)
def test_the_speed_of_components(benchmark, matrices, optima, way, rounds, allowed):
    """A full SVD of all 50 matrices takes half a minute; six are timed, and `whole_model_s` is that time scaled to 50."""
    small = "h.0.attn.c_proj.weight"
    way({small: matrices[small]})  # imports and warms up

    found = []
    benchmark.pedantic(lambda: found.append(way(matrices)), rounds=rounds)

    shares = {name: captured / optima[name] for name, captured in found[0].captured.items()}
    error = max(abs(share - 1) for share in shares.values())
    whole_model_s = min(one.whole_model_s for one in found)
    tell(
        benchmark, sum(w.nbytes for w in matrices.values()), captured_of_optimum=min(shares.values()), error=error,
        whole_model_s=whole_model_s, scaled=True,
    )  # fmt: skip
    if way is by_extraction:
        aim(benchmark, "test_the_speed_of_components[full-svd]", 0.1)
    assert min(shares.values()) >= LEAST_OF_OPTIMUM, "fast but wrong"
    assert error < allowed


@pytest.mark.benchmark(group="extract pca:10 of a whole file")
def test_the_speed_of_components_of_a_file(benchmark, gpt2_file):
    """Nothing scaled: all 50 matrices and 98 vectors, from the disk."""
    seed = benchmark.pedantic(extract, args=(gpt2_file, f"pca:{RANK}"), rounds=1)

    found = {entry.name: entry.captured_energy for entry in seed.entries if entry.method == "pca"}
    name = "h.11.attn.c_proj.weight"
    share = found[name] / optimal_share(dict(mapped(gpt2_file))[name])
    tell(benchmark, gpt2_file.stat().st_size, captured_of_optimum=share, error=abs(share - 1))
    assert len(found) == len(BLOCK) * BLOCKS + 2
    assert share == pytest.approx(1, abs=ENERGY_ERROR), "fast but wrong"
