"""Speed of codecs that keep every value, there and back, beside what torch and zstandard do without a seed.

    weights -> [extract] -> Seed -> [assemble] -> weights

One matrix of a GPT-2 block, on one thread. Each benchmark times one codec or one peer, then asserts that the result is
right; no time is asserted. Skipped unless asked for with `--benchmark`.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import zstandard
from torch import Tensor

from seeds.codecs import parse
from seeds.draw import Draw
from seeds.subject import one_thread

SHAPE = (768, 3072)
LARGEST = 127  # level of int8
HALF_A_STEP = {"exact": 0.0, "zstd": 0.0, "float16": 2.0**-11, "int8": 0.5 / 127, "int4": 0.5 / 7}  # of a row's largest value
ROUNDED_UP = 1 + 2.0**-16  # scales of int8 and int4
GOALS = {  # the peer's name, and how many times as long a codec may take
    "exact": ("test_the_speed_of_a_plain_copy", 20.0),  # the check for NaN reads every value again
    "zstd": ("test_the_speed_of_plain_zstandard", 3.0),  # compresses twice to keep the smaller, and moves every byte twice
    "float16": ("test_the_speed_of_a_plain_cast", 3.0),  # looks for the largest value too
    "int8": ("test_the_speed_of_quantization_by_torch", 1.0),
    "int4": ("test_the_speed_of_quantization_by_torch", 1.5),
}


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


@pytest.fixture(scope="module")
def weight() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)) * 0.02


def there_and_back(name: str) -> Callable[[Tensor], Tensor]:
    codec = parse(name).matrices
    return lambda weight: codec.decode(codec.encode(weight)[0], SHAPE, Draw(0, "w"))


def by_torch(weight: Tensor) -> Tensor:
    scales = weight.abs().amax(1) / LARGEST
    return torch.quantize_per_channel(weight, scales, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8).dequantize()


def by_zstandard(weight: Tensor) -> Tensor:
    raw = zstandard.decompress(zstandard.compress(weight.numpy().tobytes()))
    return torch.from_numpy(np.frombuffer(raw, dtype=np.float32).reshape(SHAPE).copy())


def error_of(found: Tensor, weight: Tensor) -> float:
    """Largest error, as a share of the largest magnitude of its row."""
    return ((found.double() - weight.double()).abs() / weight.double().abs().amax(1, keepdim=True)).max().item()


def tell(benchmark, size_bytes: int, error: float, **notes) -> None:
    """Size of what is kept, speed, error and circumstances."""
    speed = 4 * SHAPE[0] * SHAPE[1] / benchmark.stats.stats.min / 1e9
    about = {"bytes": size_bytes, "gb_per_s": speed, "error": error, "threads": torch.get_num_threads(), "device": "cpu"}
    benchmark.extra_info.update(about | notes)


@pytest.mark.benchmark(group="codecs")
@pytest.mark.parametrize("name", GOALS)
def test_the_speed_of_a_codec(benchmark, weight, name):
    found = benchmark.pedantic(there_and_back(name), args=(weight,), rounds=9, warmup_rounds=1)

    parts, _ = parse(name).matrices.encode(weight)
    error, (peer, at_most) = error_of(found, weight), GOALS[name]
    tell(benchmark, sum(part.nbytes for part in parts.values()), error, against=peer, at_most=at_most)
    assert error <= HALF_A_STEP[name] * ROUNDED_UP, "fast but wrong"


@pytest.mark.benchmark(group="codecs")
def test_the_speed_of_a_plain_copy(benchmark, weight):
    """The roof: nothing that gives a tensor of its own is faster."""
    found = benchmark.pedantic(torch.clone, args=(weight,), rounds=9, warmup_rounds=1)

    tell(benchmark, found.nbytes, error_of(found, weight))
    assert torch.equal(found, weight)


@pytest.mark.benchmark(group="codecs")
def test_the_speed_of_a_plain_cast(benchmark, weight):
    """To half precision and back, of whatever magnitude."""
    found = benchmark.pedantic(lambda weight: weight.half().float(), args=(weight,), rounds=9, warmup_rounds=1)

    tell(benchmark, found.nbytes // 2, error_of(found, weight))
    assert torch.equal(found, there_and_back("float16")(weight))


@pytest.mark.benchmark(group="codecs")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")  # deprecated, and still the peer that torch has
def test_the_speed_of_quantization_by_torch(benchmark, weight):
    """8 bits and a scale for each row, as the codec int8 has them, with no check for NaN."""
    found = benchmark.pedantic(by_torch, args=(weight,), rounds=9, warmup_rounds=1)

    error = error_of(found, weight)
    tell(benchmark, weight.numel() + 4 * len(weight), error)
    assert error <= 0.5 / LARGEST * ROUNDED_UP  # it multiplies by a rounded inverse


@pytest.mark.benchmark(group="codecs")
def test_the_speed_of_plain_zstandard(benchmark, weight):
    """The bytes as they lie, at the package's own level, with no look at their planes."""
    found = benchmark.pedantic(by_zstandard, args=(weight,), rounds=9, warmup_rounds=1)

    tell(benchmark, len(zstandard.compress(weight.numpy().tobytes())), error_of(found, weight))
    assert torch.equal(found, weight)
