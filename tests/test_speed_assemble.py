"""Speed of assembly: normal values with the seed's moments beside a bare random fill, and components there and back.

    subject -> extract -> Seed -> store -> [assemble] -> evaluate -> verdict

On one thread. Each benchmark times one thing, then asserts that the result is right; no time is ever asserted. Skipped
unless asked for with `--benchmark`.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from seeds.assemble import assemble
from seeds.extract import extract
from seeds.moments import tensor_moments
from seeds.subject import one_thread, subject
from tests.timing import aim, tell

WORST = 6  # standard errors, of 148 means and spreads; the rng_seed is fixed, and by chance this would be one in a million


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


@pytest.fixture(scope="module")
def gpt2_seed():
    return subject("gpt2").published_seed()


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
    """124 million values in 148 tensors that are new in memory: each of their pages costs the kernel a fault."""
    weights = benchmark.pedantic(assemble, args=(gpt2_seed,), rounds=5)

    deviation = worst_deviation(weights, {e.name: (e.parts["mean"].item(), e.parts["std"].item()) for e in gpt2_seed.entries})
    tell(benchmark, sum(weight.nbytes for weight in weights.values()), standard_errors=deviation)
    aim(benchmark, "test_the_speed_of_a_bare_random_fill[numpy-philox]", 1.3)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {e.name: e.shape for e in gpt2_seed.entries}
    assert deviation < WORST, "not the seed's moments"


@pytest.mark.benchmark(group="assemble")
@pytest.mark.parametrize("fill", [filled_by_numpy, filled_by_torch], ids=["numpy-philox", "torch-normal_"])
def test_the_speed_of_a_bare_random_fill(benchmark, gpt2_seed, fill):
    """As many values as GPT-2 has, into one buffer that is already there: no names, no scales, no streams per tensor."""
    buffer = torch.ones(gpt2_seed.parameters)

    weights = benchmark.pedantic(fill, args=(buffer,), rounds=5)

    deviation = worst_deviation(weights, {"buffer": (0.0, 1.0)})
    tell(benchmark, buffer.nbytes, standard_errors=deviation)
    assert deviation < WORST


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
