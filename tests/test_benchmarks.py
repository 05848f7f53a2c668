"""Speed of each stage beside a peer in the same run. Skipped unless asked for with `--benchmark`.

    subject -> [extract] -> Seed -> [store] -> [assemble] -> evaluate -> verdict

Each benchmark times one thing on one thread, then asserts that the result is right; no time is ever asserted.
`extra_info`, in the file of `--benchmark-json`, holds sizes, errors and GB/s: of the best round by the clock, and by
processor time, which says more on a machine that others use too. The race of fine-tuning against a download is in
test_link.py, memory in test_memory.py.
"""

import hashlib
import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from seeds import store
from seeds.assemble import assemble
from seeds.extract import extract
from seeds.moments import tensor_moments
from seeds.seed import Seed
from seeds.subject import one_thread, subject
from tests.synthetic import write_gpt2_shaped

BLOCK = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"]  # matrices of each block
BLOCKS = 12
RANK = 10
MOMENTS_ERROR = 1e-6  # relative: roundings of float32, eleven times as large where mean**2 is ten times the variance
ENERGY_ERROR = 1e-9  # of the optimum: float64 Gram matrices
ENERGY_ERROR_FLOAT32 = 1e-4  # a float32 SVD keeps some 6 digits, and centring in float32 takes some of them


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


@pytest.fixture(scope="module")
def gpt2_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2") / "model.safetensors"
    write_gpt2_shaped(path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def gpt2_seed():
    return subject("gpt2").published_seed()


def tell(benchmark, size_bytes: int, **notes) -> None:
    """Size, speed and circumstances of a timed benchmark."""
    best_s = benchmark.stats.stats.min
    about = {"bytes": size_bytes, "gb_per_s": size_bytes / best_s / 1e9, "threads": torch.get_num_threads(), "device": "cpu"}
    benchmark.extra_info.update(about | notes)


def per_processor_second(action, size_bytes: int) -> float:
    """GB per second of processor time, best of three: a busy machine slows the clock more than this."""
    spent_s = []
    for _ in range(3):
        start = time.process_time()
        action()
        spent_s.append(time.process_time() - start)
    return size_bytes / min(spent_s) / 1e9


# --- extract: mean and standard deviation of 124 million values -------------------------------------------------------


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


def mapped(path):
    with safetensors.safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (a handle is no mapping)
            yield name, file.get_tensor(name)


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
@pytest.mark.parametrize("way", [moments_of_seed, moments_by_torch], ids=["extract", "torch.std_mean"])
def test_the_speed_of_moments(benchmark, gpt2_file, way):
    found = benchmark.pedantic(way, args=(gpt2_file,), rounds=3, warmup_rounds=1)

    size_bytes, error = gpt2_file.stat().st_size, worst_error(found, gpt2_file)
    tell(benchmark, size_bytes, error=error, gb_per_processor_s=per_processor_second(lambda: way(gpt2_file), size_bytes))
    assert len(found) == 148
    assert error < MOMENTS_ERROR, "fast but wrong"


@pytest.mark.benchmark(group="extract moments")
def test_the_speed_of_a_plain_sum(benchmark, gpt2_file):
    """The roof: no way to read the file gives moments faster than this."""
    found = benchmark.pedantic(sums, args=(gpt2_file,), rounds=3, warmup_rounds=1)

    size_bytes = gpt2_file.stat().st_size
    tell(benchmark, size_bytes, gb_per_processor_s=per_processor_second(lambda: sums(gpt2_file), size_bytes))
    weight = dict(mapped(gpt2_file))["wpe.weight"].double()
    assert found["wpe.weight"] == pytest.approx(weight.sum().item(), abs=1e-6 * weight.abs().sum().item())


# --- extract: ten components of every matrix --------------------------------------------------------------------------


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


def by_extraction(matrices: dict[str, Tensor]) -> Decomposed:
    elapsed_s, captured = {}, {}
    for name, weight in matrices.items():
        start = time.perf_counter()
        (entry,) = extract({name: weight}, f"pca:{RANK}").entries
        elapsed_s[name], captured[name] = time.perf_counter() - start, entry.captured_energy or 0.0
    return Decomposed(elapsed_s, captured)


def by_full_svd(matrices: dict[str, Tensor], dtype: type = np.float32) -> Decomposed:
    elapsed_s, captured = {}, {}
    for name, weight in matrices.items():
        start = time.perf_counter()
        rows = weight.numpy().astype(dtype, copy=False)
        singular = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[1]
        elapsed_s[name] = time.perf_counter() - start
        energy = singular.astype(np.float64) ** 2
        captured[name] = energy[:RANK].sum() / energy.sum()
    return Decomposed(elapsed_s, captured)


def by_full_svd_in_float64(matrices: dict[str, Tensor]) -> Decomposed:
    return by_full_svd(matrices, np.float64)


def optimal_share(weight: Tensor) -> float:
    energy = torch.linalg.svdvals(weight.double() - weight.double().mean(0)).square()
    return (energy[:RANK].sum() / energy.sum()).item()


@pytest.mark.benchmark(group="extract pca:10, one matrix of each shape")
@pytest.mark.parametrize(
    ("way", "allowed"),
    [
        pytest.param(by_extraction, ENERGY_ERROR, id="extract"),
        pytest.param(by_full_svd, ENERGY_ERROR_FLOAT32, id="numpy-svd-as-stored"),
        pytest.param(by_full_svd_in_float64, ENERGY_ERROR, id="numpy-svd-float64"),
    ],
)
def test_the_speed_of_components(benchmark, matrices, way, allowed):
    """The SVD of all 50 matrices takes minutes; six are timed, and `whole_model_s` is that time scaled to 50.

    The optimum is the share of energy in the leading singular values of one matrix, by torch in float64.
    """
    name = "h.0.attn.c_proj.weight"
    way({name: matrices[name]})  # imports and warms up

    found = benchmark.pedantic(way, args=(matrices,), rounds=1)

    optimum = optimal_share(matrices[name])
    error = abs(found.captured[name] / optimum - 1)
    size_bytes = sum(weight.nbytes for weight in matrices.values())
    tell(benchmark, size_bytes, error=error, captured=found.captured[name], whole_model_s=found.whole_model_s, scaled=True)
    assert error < allowed, "fast but wrong"


@pytest.mark.benchmark(group="extract pca:10, whole file")
def test_the_speed_of_components_of_a_file(benchmark, gpt2_file):
    seed = benchmark.pedantic(extract, args=(gpt2_file, f"pca:{RANK}"), rounds=1)

    found = {entry.name: entry.captured_energy for entry in seed.entries if entry.method == "pca"}
    name = "h.11.attn.c_proj.weight"
    optimum = optimal_share(dict(mapped(gpt2_file))[name])
    tell(benchmark, gpt2_file.stat().st_size, captured=found[name], error=abs(found[name] / optimum - 1))
    assert len(found) == len(BLOCK) * BLOCKS + 2
    assert found[name] == pytest.approx(optimum, rel=ENERGY_ERROR), "fast but wrong"


# --- assemble: 124 million normal values ------------------------------------------------------------------------------


def filled_by_numpy(buffer: Tensor) -> dict[str, Tensor]:
    np.random.Generator(np.random.Philox(key=0)).standard_normal(dtype=np.float32, out=buffer.numpy())
    return {"buffer": buffer}


def filled_by_torch(buffer: Tensor) -> dict[str, Tensor]:
    return {"buffer": buffer.normal_(generator=torch.Generator().manual_seed(0))}


def worst_deviation(weights: dict[str, Tensor], expected: dict[str, tuple[float, float]]) -> float:
    """Largest distance of a mean or std from the expected one, in its standard errors under normal values."""
    deviations = []
    for name, (mean, std) in expected.items():
        found, count = tensor_moments(weights[name]), weights[name].numel()
        deviations += [abs(found.mean - mean) / std * math.sqrt(count), abs(found.std / std - 1) * math.sqrt(2 * count)]
    return max(deviations)


@pytest.mark.benchmark(group="assemble")
def test_the_speed_of_assembly_from_moments(benchmark, gpt2_seed):
    weights = benchmark.pedantic(assemble, args=(gpt2_seed,), rounds=3)

    deviation = worst_deviation(weights, {e.name: (e.parts["mean"].item(), e.parts["std"].item()) for e in gpt2_seed.entries})
    tell(benchmark, sum(weight.nbytes for weight in weights.values()), standard_errors=deviation)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {e.name: e.shape for e in gpt2_seed.entries}
    assert deviation < 6, "not the seed's moments; the rng_seed is fixed, and by chance this would be one in a million"


@pytest.mark.benchmark(group="assemble")
@pytest.mark.parametrize("fill", [filled_by_numpy, filled_by_torch], ids=["numpy-philox", "torch-normal_"])
def test_the_speed_of_a_bare_random_fill(benchmark, gpt2_seed, fill):
    """As many values as GPT-2 has, into one buffer that is already there: no names, no scales, no streams per tensor."""
    buffer = torch.ones(gpt2_seed.parameters)

    weights = benchmark.pedantic(fill, args=(buffer,), rounds=3)

    deviation = worst_deviation(weights, {"buffer": (0.0, 1.0)})
    tell(benchmark, buffer.nbytes, standard_errors=deviation)
    assert deviation < 6


@pytest.mark.benchmark(group="assemble components")
def test_the_speed_of_assembly_from_components(benchmark):
    original = subject("digits-mlp").original()
    seed = extract(original, "pca:8+vectors")

    weights = benchmark(assemble, seed)

    error = 0.0
    for entry in (e for e in seed.entries if e.method == "pca"):
        parts = {name: part.double().numpy() for name, part in entry.parts.items()}
        plain = (parts["scores"] @ parts["components"] + parts["mean"]).astype(np.float32)
        error = max(error, float(np.abs(weights[entry.name].numpy() - plain).max()))
    tell(benchmark, sum(weight.nbytes for weight in weights.values()), error=error)
    assert error == 0.0, "decoding is exact in float64 and cast once"
    assert torch.equal(weights["0.bias"], original.state_dict()["0.bias"])


# --- store: a seed file beside plain safetensors with a checksum ------------------------------------------------------

STORED = [("digits-mlp", f"pca:{RANK}"), ("docs-gpt", "exact")]
STORED_IDS = [f"{name}-{codec}" for name, codec in STORED]


def plain_arrays(seed: Seed) -> dict[str, Tensor]:
    return {f"{e.name}/{name}": part.contiguous() for e in seed.entries for name, part in e.parts.items()}


def save_plainly(arrays: dict[str, Tensor], path) -> str:
    safetensors.torch.save_file(arrays, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_plainly(path) -> tuple[str, dict[str, Tensor]]:
    raw = path.read_bytes()
    return hashlib.sha256(raw).hexdigest(), safetensors.torch.load(raw)


@pytest.fixture(params=STORED, ids=STORED_IDS)
def seed(request) -> Seed:
    name, codec = request.param
    return extract(subject(name).original(), codec)


@pytest.mark.benchmark(group="store save")
def test_the_speed_of_saving(benchmark, seed, tmp_path):
    size_bytes = benchmark(store.save, seed, tmp_path / "a.safetensors")

    tell(benchmark, size_bytes)
    assert (tmp_path / "a.safetensors").read_bytes() == store.to_bytes(seed)


@pytest.mark.benchmark(group="store save")
def test_the_speed_of_saving_without_a_seed(benchmark, seed, tmp_path):
    path = tmp_path / "a.safetensors"

    digest = benchmark(save_plainly, plain_arrays(seed), path)

    tell(benchmark, path.stat().st_size)
    assert digest == hashlib.sha256(safetensors.torch.save(plain_arrays(seed))).hexdigest()


@pytest.mark.benchmark(group="store load")
def test_the_speed_of_loading(benchmark, seed, tmp_path):
    size_bytes = store.save(seed, tmp_path / "a.safetensors")

    loaded = benchmark(store.load, tmp_path / "a.safetensors")

    tell(benchmark, size_bytes)
    assert store.to_bytes(loaded) == store.to_bytes(seed)


@pytest.mark.benchmark(group="store load")
def test_the_speed_of_loading_without_a_seed(benchmark, seed, tmp_path):
    path = tmp_path / "a.safetensors"
    digest = save_plainly(plain_arrays(seed), path)

    found, arrays = benchmark(load_plainly, path)

    tell(benchmark, path.stat().st_size)
    assert found == digest
    assert all(torch.equal(array, plain_arrays(seed)[name]) for name, array in arrays.items())
